"""Architecture search as a Keras Tuner tuner."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import keras_tuner

from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.nas.estimators import CurveExtrapolation, Estimator, Inherit, LowFidelity, ZeroCost, make_estimator
from kt_ext.nas.space import Architecture
from kt_ext.nas.strategy import AbstractStrategy
from kt_ext.networks.hypermodel import ArchitectureHyperModel
from kt_ext.oracles.architecture import MAX_EPOCHS, MAX_TRIALS, ArchitectureOracle
from kt_ext.oracles.constraints import Bound
from kt_ext.schedulers import FIFO, ExtrapolationRule
from kt_ext.tuners.arguments import split_arguments
from kt_ext.tuners.base import SegmentTuner
from kt_ext.tuners.final_ranking import FinalRanking
from kt_ext.tuners.inheritance import inherit_weights
from kt_ext.tuners.low_fidelity import cheaper, cheaper_data
from kt_ext.tuners.screening import ZeroCostScreen


class NASTuner(SegmentTuner):
    """Searches for a network's architecture, and for its other hyperparameters beside.

    For example:

        space = kt_ext.nas.ChainSpace(ops=["conv3x3", "sep3x3"], max_depth=6, widths=[16, 32, 64])
        model = space.hypermodel(input_shape=(32, 32, 3), head=kt_ext.nas.classifier(10))
        tuner = kt_ext.NASTuner(model, strategy="evolution", objective="val_accuracy", max_trials=200, max_epochs=10)
        tuner.search(x, y, validation_data=(xv, yv))
        tuner.best_architecture().plot("best.png")

    Args:
        hypermodel: what ``space.hypermodel`` of a ``kt_ext.nas`` space gives.
        strategy: ``"random"``, ``"grid"``, ``"evolution"``, ``"local_search"``, ``"predictor"``, ``"bayesian"``,
            ``"controller"``, ``"morphism"``, or an object of ``kt_ext.nas`` such as ``Evolution(population=50)``.
        objective: as in Keras Tuner.
        max_trials: how many architectures are trained; None: 100.
        max_epochs: how many epochs each; None: 10, or what ``LowFidelity(epochs=...)`` says.
        scheduler: who runs and how long, such as ``kt_ext.schedulers.ASHA(max_epochs=27)``, in place of the two.
        constraints: bounds on metrics, and on ``"params"``, ``"flops"`` (multiply-adds), ``"memory"`` (bytes) and the
            hypermodel's own measures; these are kept by every architecture that is proposed.
        estimator: how the worth of an architecture is estimated: ``"full"``, ``"low_fidelity"``, ``"extrapolation"``,
            ``"inherit"``, ``"zero_cost"``, or an object of ``kt_ext.nas`` such as ``LowFidelity(data=0.25)``.
        others: a searcher for the hyperparameters that are not the architecture's; see ``kt_ext.oracles``.
        repeats: whether an architecture may be tried again.
        **kwargs: every other argument of ``keras_tuner.Tuner``, of ``kt_ext.oracles.SchedulerOracle`` and of
            ``kt_ext.tuners.base.SegmentTuner``: directory, project_name, overwrite, executions_per_trial,
            distribution_strategy, seed, max_total_epochs, max_seconds, target, initial_values, warm_start,
            multi_objective, max_retries_per_trial, executor, workers, gpus_per_worker, lease_seconds,
            heartbeat_seconds, trial_timeout, checkpoint_directory, share_models, ... Not ``searcher``: architectures
            come from ``strategy``, other values from ``others``. With ``LowFidelity`` max_total_epochs, max_seconds and
            target end the search at low fidelity only, not the final ranking.

    Raises:
        TypeError, ValueError: an argument is wrong, or no architecture keeps the constraints.
    """

    def __init__(
        self,
        hypermodel: ArchitectureHyperModel | None = None,
        strategy: str | AbstractStrategy = "evolution",
        objective: str | keras_tuner.Objective | list[Any] | None = None,
        max_trials: int | None = None,
        max_epochs: int | None = None,
        *,
        scheduler: AbstractScheduler | None = None,
        constraints: Mapping[str, Bound] | None = None,
        estimator: Any = "full",
        others: str | AbstractSearcher = "random",
        repeats: bool = False,
        **kwargs: Any,
    ) -> None:
        if not isinstance(hypermodel, ArchitectureHyperModel):
            raise TypeError(
                f"hypermodel={hypermodel!r}: must be what the hypermodel() of a space gives, such as "
                "kt_ext.nas.nb201().hypermodel((32, 32, 3), kt_ext.nas.classifier(10))"
            )
        self.estimator = make_estimator(estimator)
        for_oracle, for_tuner = split_arguments(kwargs)
        low = self.estimator if isinstance(self.estimator, LowFidelity) else None
        scheduler, full_epochs = _scheduler(scheduler, max_trials, max_epochs, self.estimator)
        if isinstance(self.estimator, CurveExtrapolation):
            scheduler = ExtrapolationRule(scheduler, self.estimator.threshold, self.estimator.min_epochs)
        self.architectures = hypermodel.space
        oracle = ArchitectureOracle(
            hypermodel.space,
            strategy,
            objective,
            scheduler=scheduler,
            constraints=constraints,
            measures={name: functools.partial(_measured, hypermodel, name) for name in hypermodel.measure_names},
            others=others,
            inherit=isinstance(self.estimator, Inherit),
            repeats=repeats,
            network=hypermodel.network,
            **for_oracle,
        )
        super().__init__(oracle, hypermodel if low is None else cheaper(hypermodel, low), **for_tuner)
        self._ranking = None if low is None else FinalRanking(self, hypermodel, full_epochs, low.best, for_tuner)

    @property
    def final(self) -> SegmentTuner | None:
        """The tuner that trained the best few at full fidelity; None without ``LowFidelity``, and before that."""
        return None if self._ranking is None else self._ranking.done

    @property
    def rank_correlation(self) -> float:
        """Spearman's coefficient between the scores at low and at full fidelity of those that have both, else NaN."""
        return math.nan if self._ranking is None else self._ranking.correlation()

    def search(
        self,
        *fit_args: Any,
        verbose: int | str = 1,
        data_fn: Callable[[], Mapping[str, Any]] | None = None,
        **fit_kwargs: Any,
    ) -> None:
        """As in ``kt_ext.SchedulerTuner``; with ``LowFidelity`` the best few are trained in full afterwards.

        Raises:
            TypeError, ValueError: as there, and where the data cannot be had at low fidelity.
        """
        low, given, named = self.estimator, fit_args, fit_kwargs
        if isinstance(low, LowFidelity):
            given, named = cheaper_data(low, fit_args, fit_kwargs, data_fn, self._own_oracle.seed)
        elif isinstance(low, ZeroCost):
            self._own_oracle.screen(ZeroCostScreen(self.hypermodel, low, fit_args, fit_kwargs, self._own_oracle.seed))
        super().search(*given, verbose=verbose, data_fn=data_fn, **named)
        if self._ranking is not None:
            self._ranking.run(fit_args, {**fit_kwargs, "data_fn": data_fn}, verbose)
            if verbose and not self._is_worker():
                print(self._ranking.summary())

    def on_new_model(self, trial: Any, model: keras.Model) -> None:
        """A trial that has a parent begins with its weights."""
        inherit_weights(self, trial, model, only_exact=isinstance(self.estimator, Inherit) and self.estimator.exact)

    # Results: those at full fidelity, once there are any

    def best_architecture(self) -> Architecture:
        """The architecture of the best trial. Raises IndexError before the first result."""
        return self.architectures.architecture(self.get_best_hyperparameters()[0])

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[keras_tuner.HyperParameters]:
        """The best trials' hyperparameters, best first; after a final ranking those of the trials in it."""
        ranked = self.final
        return (
            super().get_best_hyperparameters(num_trials)
            if ranked is None
            else ranked.get_best_hyperparameters(num_trials)
        )

    def get_best_models(self, num_models: int = 1) -> list[keras.Model]:
        """The best trials' models with the weights of their best epochs; after a final ranking of those in it."""
        return super().get_best_models(num_models) if self.final is None else self.final.get_best_models(num_models)

    def results_summary(self, num_trials: int = 10) -> None:
        """Print the best trials; after a final ranking those in it."""
        if self.final is None:
            super().results_summary(num_trials)
        else:
            self.final.results_summary(num_trials)


def _measured(hypermodel: ArchitectureHyperModel, name: str, arch: Architecture) -> float:
    return hypermodel.measure(arch, (name,))[name]


def _scheduler(
    given: AbstractScheduler | None, max_trials: int | None, max_epochs: int | None, estimator: Estimator
) -> tuple[AbstractScheduler, int]:
    """Who decides how long trials are trained, and how long a full training is."""
    epochs = estimator.epochs if isinstance(estimator, LowFidelity) else None
    if given is None:
        full = MAX_EPOCHS if max_epochs is None else max_epochs
        return FIFO(MAX_TRIALS if max_trials is None else max_trials, full if epochs is None else epochs), full
    if max_trials is not None or max_epochs is not None or epochs is not None:
        raise ValueError(
            f"max_trials={max_trials}, max_epochs={max_epochs}, LowFidelity(epochs={epochs}): the scheduler "
            "has its own; leave these out"
        )
    return given, given.max_epochs
