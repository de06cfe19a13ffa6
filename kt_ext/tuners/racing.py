"""Iterated racing as a Keras Tuner tuner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import keras_tuner

from kt_ext.core.searcher import AbstractSearcher
from kt_ext.oracles import RacingOracle
from kt_ext.training.folds import check_folds
from kt_ext.tuners.arguments import split_arguments
from kt_ext.tuners.base import SegmentTuner
from kt_ext.tuners.instances import run_instances


class RacingTuner(SegmentTuner):
    """Trains configurations with several seeds, or on several folds, and drops those that are statistically worse.

    Iterated racing (López-Ibáñez et al., 2016): where one training says little, because it depends on the seed or on
    which samples validate it, configurations are compared on the same instances, one after the other:

        tuner = kt_ext.RacingTuner(build, objective="val_accuracy", epochs=10, instances="folds", max_instances=10)
        tuner.search(x, y, batch_size=64)
        hp = tuner.get_best_hyperparameters()[0]

    An instance is a whole training from scratch, whose result is the objective at its best epoch. Instance k has the
    same seed for all trials: initial weights, the order of the samples, dropout. With ``"folds"`` it validates on the
    k-th of ``max_instances`` parts of x and y, drawn at random, and stratified where ``y`` are class numbers.

    The score of a trial is its mean over the instances, and the best trials are those of the most instances. The best
    model has the weights of the best epoch of the trial's best instance.

    Args:
        hypermodel: as in Keras Tuner: a ``HyperModel`` or a function from ``hp`` to a compiled model.
        objective: as in Keras Tuner.
        epochs: how many epochs each training takes; callbacks may end one early.
        instances: ``"seeds"`` or ``"folds"``.
        max_instances: how many instances there are: the most trainings of one trial.
        max_trials: how many configurations are tried in all races together.
        first_test: instances before the first test of a race.
        each_test: instances from one test to the next.
        test: ``"friedman"`` or ``"t"``; see ``kt_ext.schedulers.Racing``.
        confidence: of the test.
        min_survivors: a race ends when so few are left.
        trials_per_race: new configurations in each race.
        searcher: ``"elites"`` draws around the best of the races before; for others see
            ``kt_ext.oracles.SchedulerOracle``.
        max_total_instances: the search ends after so many trainings.
        **kwargs: every other argument of ``keras_tuner.Tuner``, of ``kt_ext.oracles.SchedulerOracle`` and of
            ``kt_ext.tuners.base.SegmentTuner``: directory, project_name, overwrite, distribution_strategy, seed,
            max_seconds, target, initial_values, warm_start, constraints, max_retries_per_trial, executor, workers,
            gpus_per_worker, lease_seconds, heartbeat_seconds, trial_timeout, checkpoint_directory, share_models, ...
            Not ``max_total_epochs`` (give ``max_total_instances``), ``multi_objective="pareto"``, nor
            ``executions_per_trial`` above 1.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: str | keras_tuner.Objective | list[Any] | None = None,
        epochs: int = 10,
        instances: Literal["seeds", "folds"] = "seeds",
        max_instances: int = 10,
        max_trials: int = 30,
        first_test: int = 5,
        each_test: int = 1,
        test: Literal["friedman", "t"] = "friedman",
        confidence: float = 0.95,
        min_survivors: int = 3,
        trials_per_race: int = 10,
        searcher: str | AbstractSearcher = "elites",
        max_total_instances: int | None = None,
        **kwargs: Any,
    ) -> None:
        if hypermodel is None:
            raise ValueError("hypermodel=None: must be given, a function from hp to a compiled model or a HyperModel")
        if kwargs.get("executions_per_trial", 1) != 1:
            raise ValueError(
                f"executions_per_trial={kwargs['executions_per_trial']!r}: a race trains each trial several times "
                "anyway; leave it out and use instances='seeds'"
            )
        for_oracle, for_tuner = split_arguments(kwargs)
        oracle = RacingOracle(
            objective,
            max_trials,
            max_instances,
            first_test,
            each_test,
            test,
            confidence,
            min_survivors,
            trials_per_race,
            instances,
            epochs,
            searcher,
            max_total_instances,
            **for_oracle,
        )
        self.epochs, self.instances = epochs, instances
        super().__init__(oracle, hypermodel, **for_tuner)

    def search(
        self,
        *fit_args: Any,
        verbose: int | str = 1,
        data_fn: Callable[[], Mapping[str, Any]] | None = None,
        **fit_kwargs: Any,
    ) -> None:
        """As in ``kt_ext.SchedulerTuner``; with ``instances="folds"`` x and y are arrays, and nothing validates.

        Raises:
            TypeError, ValueError: ``epochs`` is given, or the data cannot be divided into folds.
        """
        if "epochs" in fit_kwargs:
            raise ValueError(f"epochs={fit_kwargs['epochs']!r}: give epochs to the tuner, not to search")
        if self.instances == "folds" and data_fn is None:
            check_folds(fit_args, fit_kwargs, self._own_oracle.scheduler.max_epochs)
        super().search(*fit_args, verbose=verbose, data_fn=data_fn, **fit_kwargs)

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> None:
        """Train a trial on the instances up to ``tuner/epochs`` that it has not seen, reporting each."""
        run_instances(self, trial, args, kwargs)
