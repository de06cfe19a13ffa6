"""Iterated racing.

López-Ibáñez, Dubois-Lacoste, Pérez Cáceres, Birattari, Stützle (2016), "The irace package: Iterated racing for
automatic algorithm configuration", Operations Research Perspectives 3, https://doi.org/10.1016/j.orp.2016.09.002.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait
from kt_ext.core.ranks import row_ranks
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.schedulers.checks import integer, probability, same_configuration
from kt_ext.schedulers.race_tests import TESTS
from kt_ext.schedulers.running import Running


class Racing(AbstractScheduler):
    """Runs configurations on one instance after the other, and drops those that are statistically worse.

    An instance is a seed or a fold of the data, say; it takes the place of an epoch: the objective that a trial reports
    at epoch k is its result on instance k, and nothing is learned from one instance for the next.

    ``trials_per_race`` new trials make up a race, with the elites of the race before. All see ``first_test`` instances,
    then they are tested; whoever survives sees ``each_test`` more, is tested again, and so on. A race ends with
    ``min_survivors`` trials, or at ``max_instances``; its best by mean rank are the elites of the next. A test drops
    only trials that have seen no more instances than it compares, so an elite is not dropped for a newcomer's luck. The
    last race is not ended early: who survives it sees all instances.

    With one worker this is elitist irace, with the number of new trials given in place of a budget, and instances in
    the same order in each race. A worker that finds nothing to do in a race starts a trial of the next one. A trial
    whose objective is not finite is stopped at once.

    Args:
        max_instances: how many instances there are.
        max_trials: how many trials are started in all races together.
        first_test: instances before the first test of a race, from 2 to ``max_instances``; T_first in the paper.
        each_test: instances from one test to the next; T_each in the paper.
        test: ``"friedman"`` (by ranks: only which is better counts) or ``"t"`` (paired, by means: how much, too).
        confidence: of the test, in (0, 1).
        min_survivors: a race ends when so few are left; the paper's is ``floor(2 + log2(number of parameters))``.
        trials_per_race: new trials in each race; the searcher of the elites must be given the same.
        instance: what an instance is; a search is only gone on with where this is the same.

    Raises:
        ValueError: an argument is out of range.
    """

    unit = "instance"

    def __init__(
        self,
        max_instances: int,
        max_trials: int,
        first_test: int = 5,
        each_test: int = 1,
        test: Literal["friedman", "t"] = "friedman",
        confidence: float = 0.95,
        min_survivors: int = 3,
        trials_per_race: int = 10,
        instance: str = "instance",
    ) -> None:
        self.max_instances = integer("max_instances", max_instances, at_least=2, remedy="use FIFO for one instance")
        self.max_trials = integer("max_trials", max_trials, at_least=1, remedy="give the number of configurations")
        self.first_test = integer("first_test", first_test, at_least=2, remedy="one instance cannot be tested")
        if self.first_test > self.max_instances:
            raise ValueError(
                f"first_test={first_test}: must be <= max_instances={max_instances}; lower it or raise max_instances"
            )
        self.each_test = integer("each_test", each_test, at_least=1, remedy="1 tests after every instance")
        if test not in TESTS:
            raise ValueError(f"test={test!r}: must be one of {', '.join(TESTS)}; 'friedman' is irace's")
        self.test = test
        self.confidence = probability("confidence", confidence)
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence={confidence!r}: must be above 0 and below 1, such as 0.95")
        self.min_survivors = integer("min_survivors", min_survivors, at_least=1, remedy="1 races to a single winner")
        self.trials_per_race = integer("trials_per_race", trials_per_race, at_least=1, remedy="give 10, say")
        self.instance = instance
        self.max_epochs = self.max_instances
        self.rung_epochs = tuple(range(1, self.max_instances + 1))  # a mean over instances must lack none

        self._started = 0
        self._exhausted = False
        self._running = Running()
        self._race = 0
        self._step = self.first_test  # how many instances the next test compares
        self._results: dict[int, list[float]] = {}  # of the trials that were not dropped, those of the next race too

    def suggest(self, rng: np.random.Generator) -> Run | Wait | Done:
        for trial_id in self._members():
            done = len(self._results[trial_id])
            if done < self._step and trial_id not in self._running:
                self._running.start(trial_id, done=done, until=self._step)
                return Run(trial_id, self._step, restore=CheckpointRef(trial_id, done))
        if self._may_start and self._race_of(self._started) <= self._race + 1:
            trial_id = self._started
            self._started += 1
            self._results[trial_id] = []
            self._running.start(trial_id, done=0, until=self.first_test)
            return Run(trial_id, self.first_test)
        return Wait() if self._running else Done()

    def observe(self, observation: Observation, rng: np.random.Generator) -> Run | Pause | Stop:
        trial_id, done = observation.trial_id, observation.epoch
        until = self._running.advance(observation)
        if not math.isfinite(observation.objective):
            self.forget(trial_id)
            return Stop(trial_id)
        self._results[trial_id].append(float(observation.objective))  # numpy scalars are no JSON
        if done < until:
            return Run(trial_id, until)
        self._running.end(trial_id)
        self._go_on()
        return Stop(trial_id) if done == self.max_instances else Pause(trial_id)

    def forget(self, trial_id: int) -> None:
        self._running.end(trial_id)
        del self._results[trial_id]
        self._go_on()

    def exhaust(self) -> None:
        self._exhausted = True
        self._go_on()

    def state(self) -> dict[str, Any]:
        return {
            "configuration": self._configuration(),
            "started": self._started,
            "exhausted": self._exhausted,
            "running": self._running.state(),
            "race": self._race,
            "step": self._step,
            "results": [[trial_id, list(results)] for trial_id, results in self._results.items()],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        same_configuration(self._configuration(), state["configuration"])
        self._started = state["started"]
        self._exhausted = state["exhausted"]
        self._running.load_state(state["running"])
        self._race = state["race"]
        self._step = state["step"]
        self._results = {trial_id: list(results) for trial_id, results in state["results"]}

    @property
    def _may_start(self) -> bool:
        return self._started < self.max_trials and not self._exhausted

    def _race_of(self, trial_id: int) -> int:
        return trial_id // self.trials_per_race

    def _members(self) -> list[int]:
        """The trials of the race that were not dropped: elites of earlier races, and its own."""
        return [trial_id for trial_id in self._results if self._race_of(trial_id) <= self._race]

    @property
    def _is_last_race(self) -> bool:
        return not self._may_start and self._race_of(self._started - 1) <= self._race

    def _go_on(self) -> None:
        """Test, and begin the next step or race, as long as nobody has anything left to run for it."""
        while self._step_is_complete():
            self._drop_worse()
            if self._step < self.max_instances and (self._is_last_race or len(self._members()) > self.min_survivors):
                self._step = min(self._step + self.each_test, self.max_instances)
            elif self._is_last_race:
                return
            else:
                self._begin_race()

    def _step_is_complete(self) -> bool:
        if self._may_start and self._race_of(self._started) <= self._race:
            return False
        return all(len(self._results[trial_id]) >= self._step for trial_id in self._members())

    def _drop_worse(self) -> None:
        members = self._members()
        if len(members) < 2:
            return
        worse = TESTS[self.test](self._compared(members), 1 - self.confidence)
        for trial_id, is_worse in zip(members, worse, strict=True):
            if is_worse and len(self._results[trial_id]) == self._step:  # an elite may have seen more
                del self._results[trial_id]

    def _begin_race(self) -> None:
        members = self._members()
        if members:
            means = row_ranks(self._compared(members)).mean(axis=0)
            for place in np.argsort(means, kind="stable")[self.min_survivors :].tolist():
                del self._results[members[place]]
        self._race += 1
        self._step = self.first_test

    def _compared(self, members: list[int]) -> np.ndarray:
        """Results on the instances of this step, shape (step, members)."""
        return np.array([self._results[trial_id][: self._step] for trial_id in members]).T

    def _configuration(self) -> dict[str, Any]:
        names = ["max_instances", "max_trials", "first_test", "each_test", "test", "confidence", "min_survivors"]
        names += ["trials_per_race", "instance"]
        return {"scheduler": "Racing"} | {name: getattr(self, name) for name in names}
