"""Population based training as Keras Tuner tuners."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import keras_tuner

from kt_ext.core.explorer import AbstractExplorer
from kt_ext.core.lineage import Schedule
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.oracles import PB2Oracle, PBTOracle
from kt_ext.oracles.hyperparameters import KEEP, SCHEDULE, own_values, with_values
from kt_ext.oracles.lineage import Lineage, lineage_rows, schedule_from
from kt_ext.tuners.arguments import split_arguments
from kt_ext.tuners.base import SegmentTuner
from kt_ext.tuners.replay import with_live_values


class PopulationTuner(SegmentTuner):
    """What the tuners of a population have in common: its lineage, and the schedule that led to the best."""

    def lineage(self) -> Lineage:
        """Every exploit so far, in order: who, when, whose state, values before and after; it prints as a table."""
        return lineage_rows(self._own_oracle)

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[keras_tuner.HyperParameters]:
        """The values that the best members had at their best epochs; with them travels the schedule that led there.

        ``kt_ext.schedule_from`` reads it, also after ``get_config`` and ``from_config``.
        """
        return [self._at_best_epoch(trial) for trial in self.oracle.get_best_trials(num_trials)]

    def _at_best_epoch(self, trial: Any) -> keras_tuner.HyperParameters:
        """From the trial alone, so that a worker of a chief can do it, too."""
        hp = trial.hyperparameters
        if SCHEDULE not in hp.values:  # it never had a finite objective
            return hp
        schedule = with_live_values(self, schedule_from(hp))
        own = own_values(hp.values)
        control = {name: v for name, v in hp.values.items() if name not in own and name != KEEP}
        return with_values(hp, {**control, **schedule.stretches[-1].values, SCHEDULE: schedule.to_json()})

    def best_schedule(self) -> Schedule:
        """The values that led to the best epoch of the best member, for ``kt_ext.ScheduleReplay``.

        Raises ValueError if no member has a finite objective.
        """
        best = self._own_oracle.get_best_trials(1)
        if not best or best[0].score is None:
            raise ValueError(f"no trial in {self.project_dir} has a finite {self._own_oracle.objective.name}")
        return with_live_values(self, self._own_oracle.schedule(best[0].trial_id))


class PBTTuner(PopulationTuner):
    """Trains a population of models at once; the worst take over the best's weights and values, changed a little.

    Weights, the optimizer's state and hyperparameters are copied in mid-training (Jaderberg et al., 2017):

        tuner = kt_ext.PBTTuner(build, objective="val_accuracy", population_size=8, max_epochs=40, directory="runs")
        tuner.search(x, y, validation_data=(xv, yv), batch_size=64)
        model = tuner.get_best_models()[0]
        tuner.best_schedule()                   # the values along the way

    Each trial is one member. With fewer workers than members they take turns, and ``population_size * max_epochs``
    epochs are trained, no more.

    Args:
        hypermodel: as in Keras Tuner: a ``HyperModel`` or a function from ``hp`` to a compiled model.
        objective: as in Keras Tuner.
        population_size: how many members, >= 1.
        max_epochs: how many epochs each is trained.
        perturbation_interval: epochs from one comparison of the members to the next.
        burn_in: no comparison before this many epochs.
        quantile_fraction: the share of the members that take over, and of those they take from, in (0, 0.5].
        resample_probability: the probability that a value is drawn anew instead of perturbed.
        perturbation_factors: what a number may be multiplied by; the result stays inside its own domain. With few
            comparisons the default steps further; see ``kt_ext.schedulers.AdaptivePerturb``.
        exploit: ``"truncation"``, ``"tournament"`` or ``"ttest"``; see ``kt_ext.schedulers.PBT``.
        mutable: names of the hyperparameters that may change in mid-training; None: all but those that shape the
            model's variables, found by building the model with different values. See also ``kt_ext.mutable``.
        synchronous: whether members wait for all others at each comparison; ``"auto"`` waits for half of them.
        searcher: where the first values come from; see ``kt_ext.oracles.SchedulerOracle``.
        explorer: proposes the values to go on with, in place of ``resample_probability``, ``perturbation_factors`` and
            ``mutable``: ``kt_ext.schedulers.Perturb(...)`` is the paper's rule.
        **kwargs: every other argument of ``keras_tuner.Tuner``, of ``kt_ext.oracles.SchedulerOracle`` and of
            ``kt_ext.tuners.base.SegmentTuner``: directory, project_name, overwrite, executions_per_trial,
            distribution_strategy, seed, max_total_epochs, max_seconds, target, initial_values, warm_start,
            multi_objective, constraints, max_retries_per_trial, executor, workers, gpus_per_worker, lease_seconds,
            heartbeat_seconds, trial_timeout, checkpoint_directory, share_models, ...

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: str | keras_tuner.Objective | list[Any] | None = None,
        population_size: int = 8,
        max_epochs: int = 100,
        perturbation_interval: int = 1,
        burn_in: int = 0,
        quantile_fraction: float = 0.25,
        resample_probability: float = 0.25,
        perturbation_factors: Sequence[float] = (0.8, 1.2),
        exploit: Literal["truncation", "tournament", "ttest"] = "truncation",
        mutable: Iterable[str] | None = None,
        synchronous: bool | Literal["auto"] = "auto",
        searcher: str | AbstractSearcher = "random",
        explorer: AbstractExplorer | None = None,
        **kwargs: Any,
    ) -> None:
        for_oracle, for_tuner = split_arguments(kwargs)
        oracle = PBTOracle(
            objective,
            population_size,
            max_epochs,
            perturbation_interval,
            burn_in,
            quantile_fraction,
            resample_probability,
            perturbation_factors,
            exploit,
            mutable,
            synchronous,
            searcher,
            explorer,
            **for_oracle,
        )
        super().__init__(oracle, hypermodel, **for_tuner)


class PB2Tuner(PopulationTuner):
    """Population based bandits: as ``PBTTuner``, but a Gaussian process learns which changes improve the objective.

    Parker-Holder et al. (2020). The process is one of time and values on the domains' own scales, with integers,
    booleans and unordered choices.

    Args:
        hypermodel, objective, population_size, max_epochs, perturbation_interval, burn_in: as in ``PBTTuner``.
        quantile_fraction, exploit, mutable, synchronous, searcher, **kwargs: as there, those of
            ``kt_ext.tuners.base.SegmentTuner`` among the last.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: str | keras_tuner.Objective | list[Any] | None = None,
        population_size: int = 8,
        max_epochs: int = 100,
        perturbation_interval: int = 1,
        burn_in: int = 0,
        quantile_fraction: float = 0.25,
        exploit: Literal["truncation", "tournament", "ttest"] = "truncation",
        mutable: Iterable[str] | None = None,
        synchronous: bool | Literal["auto"] = "auto",
        searcher: str | AbstractSearcher = "random",
        **kwargs: Any,
    ) -> None:
        for_oracle, for_tuner = split_arguments(kwargs)
        oracle = PB2Oracle(
            objective,
            population_size,
            max_epochs,
            perturbation_interval,
            burn_in,
            quantile_fraction,
            exploit,
            mutable,
            synchronous,
            searcher,
            **for_oracle,
        )
        super().__init__(oracle, hypermodel, **for_tuner)
