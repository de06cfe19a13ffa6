"""Iterated racing as a Keras Tuner oracle."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import numpy as np

from kt_ext.core.searcher import AbstractSearcher
from kt_ext.oracles.base import SchedulerOracle
from kt_ext.oracles.hyperparameters import SEED
from kt_ext.oracles.recorded import exclusive
from kt_ext.oracles.trials import Status, Trial
from kt_ext.schedulers import Racing
from kt_ext.searchers import EliteSearcher

INSTANCES = ("seeds", "folds")


class RacingOracle(SchedulerOracle):
    """Iterated racing (López-Ibáñez et al., 2016): each trial is a configuration, each of its steps an instance.

    A trial's score is the mean objective over its instances; the best trials are those of the most instances.

    Args:
        objective: as in Keras Tuner.
        max_trials, max_instances, first_test, each_test, test, confidence, min_survivors, trials_per_race: see
            ``kt_ext.schedulers.Racing``.
        instances: what an instance is, ``"seeds"`` or ``"folds"``; see ``kt_ext.RacingTuner``.
        epochs: how many epochs a model is trained on an instance. A search is gone on with where both are the same.
        searcher: ``"elites"`` draws around the best of the races before; see ``SchedulerOracle`` for others.
        max_total_instances: the search ends when all trials together have seen so many, in place of
            ``max_total_epochs``; irace's ``maxExperiments``.
        **kwargs: the other arguments of ``SchedulerOracle``: seed, budgets, initial_values, warm_start, constraints,
            hyperparameters, retries. ``target`` is for the mean over all ``max_instances``.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        objective: Any = None,
        max_trials: int = 30,
        max_instances: int = 10,
        first_test: int = 5,
        each_test: int = 1,
        test: Literal["friedman", "t"] = "friedman",
        confidence: float = 0.95,
        min_survivors: int = 3,
        trials_per_race: int = 10,
        instances: str = "seeds",
        epochs: int = 10,
        searcher: str | AbstractSearcher = "elites",
        max_total_instances: int | None = None,
        **kwargs: Any,
    ) -> None:
        if instances not in INSTANCES:
            raise ValueError(f"instances={instances!r}: must be one of {', '.join(INSTANCES)}")
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise ValueError(f"epochs={epochs!r}: must be an integer >= 1, the epochs of one training")
        if "max_total_epochs" in kwargs:
            raise ValueError(
                f"max_total_epochs={kwargs['max_total_epochs']!r}: a race counts instances; give max_total_instances"
            )
        if kwargs.get("multi_objective", "sum") != "sum":
            raise ValueError(
                f"multi_objective={kwargs['multi_objective']!r}: a race compares one number; leave it at 'sum'"
            )
        if max_total_instances is not None and (
            isinstance(max_total_instances, bool) or not isinstance(max_total_instances, int) or max_total_instances < 1
        ):
            raise ValueError(
                f"max_total_instances={max_total_instances!r}: must be an integer >= 1, or None for no limit"
            )
        scheduler = Racing(
            max_instances,
            max_trials,
            first_test,
            each_test,
            test,
            confidence,
            min_survivors,
            trials_per_race,
            instance=f"{epochs} epochs, {instances}",
        )
        if searcher == "elites":
            searcher = EliteSearcher(scheduler.trials_per_race, scheduler.min_survivors)
        super().__init__(scheduler, searcher, objective, max_total_epochs=max_total_instances, **kwargs)
        self.budget = dataclasses.replace(self.budget, argument="max_total_instances")

    def best_of(self, number: int) -> tuple[float, int]:
        """The minimised mean over the trial's instances, and its best instance; (inf, 0) before the first."""
        objectives = self.search.history.curve(number)[1]
        mean = float(objectives.mean()) if len(objectives) else math.inf
        return mean, self.search.history.best(number)[1]

    def merit(self, number: int) -> float:
        """The mean over all instances; a trial that has not seen all claims nothing."""
        return self.best_of(number)[0] if self._instances(number) == self.scheduler.max_epochs else math.inf

    @exclusive
    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The trials of the most instances, the best of them first: a mean over few is partly luck."""
        scored = [trial for trial in self.trials.values() if trial.status == Status.COMPLETED]
        scored = [trial for trial in scored if math.isfinite(self.best_of(int(trial.trial_id))[0])]
        scored.sort(key=lambda trial: (-self._instances(int(trial.trial_id)), self.best_of(int(trial.trial_id))[0]))
        return scored[:num_trials]

    def _instances(self, number: int) -> int:
        return self.search.history.epochs_of(number)


def instance_seed(trial: Trial, instance: int) -> int:
    """The seed of an instance, 0 to 2**31 - 1: the same for all trials of a search, which makes comparisons paired.

    A trial's own seed is the search's plus its number; a worker sees the trial alone.
    """
    of_search = (trial.hyperparameters.values.get(SEED, 0) - int(trial.trial_id)) & 0x7FFFFFFF
    return int(np.random.SeedSequence([of_search, instance]).generate_state(1)[0] & 0x7FFFFFFF)
