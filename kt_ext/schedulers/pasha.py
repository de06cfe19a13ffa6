"""Progressive asynchronous successive halving.

Bohdal, Balles, Wistuba, Ermis, Archambeau, Zappella (2023), "PASHA: Efficient HPO and NAS with Progressive Resource
Allocation", ICLR, https://arxiv.org/abs/2207.06940, Algorithm 1.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any

import numpy as np

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.schedulers.checks import integer, probability, same_configuration
from kt_ext.schedulers.ranking import CrossingNoise, SoftRanking
from kt_ext.schedulers.rungs import PromotionRung, checked_epochs, geometric_epochs
from kt_ext.schedulers.running import Running


class PASHA(AbstractScheduler):
    """ASHA that goes no further than the ranking of trials requires: more epochs only while they change the order.

    It starts with the two lowest rungs. Whenever a trial arrives at the top rung, those that did are ranked there and
    at the rung below; if a trial has left its group of about equally good ones (see ``SoftRanking``), the next rung is
    opened, up to ``max_epochs``. How large a difference is noise is estimated from trials that cross each other twice
    (see ``CrossingNoise``); the estimate of the rungs below holds until there is a new one.

    While the ranking is stable, no trial is trained beyond the top rung that is open, which may be the second of all:
    the search tells which trial is best, not how good it becomes. So at its end, when no trial runs and none is left
    to start or promote, the best ``finish`` trials are trained on from where they paused, best of the highest rung
    first, until as many have come to ``max_epochs``.

    Ties and objectives that are not finite: as in ``ASHA``; a trial that diverges on the way to the top rung is the
    last of its ranking.

    Args:
        max_epochs: the cap: the most epochs that a trial is trained.
        min_epochs: the first rung, from 1 to ``max_epochs``.
        factor: the reduction factor, eta in the paper, >= 2: rungs lie at ``min_epochs * factor**k`` epochs.
        max_trials: how many trials may be started; None: ``factor ** number of rungs``, as in ``ASHA``.
        finish: how many trials are trained to ``max_epochs`` at least; 0: the paper's search alone.
        noise_quantile: of the distances between trials that cross twice, from 0 to 1; N percent in the paper.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        max_epochs: int,
        min_epochs: int = 1,
        factor: int = 3,
        max_trials: int | None = None,
        finish: int = 1,
        noise_quantile: float = 0.9,
    ) -> None:
        self.max_epochs, self.min_epochs, self.factor = checked_epochs(max_epochs, min_epochs, factor)
        self.rung_epochs = geometric_epochs(self.min_epochs, self.max_epochs, self.factor)
        if max_trials is None:
            max_trials = self.factor ** len(self.rung_epochs)
        self.max_trials = integer("max_trials", max_trials, at_least=1, remedy="None takes factor ** number of rungs")
        self.finish = integer("finish", finish, at_least=0, remedy="1 trains the best trial to max_epochs")
        self.noise_quantile = probability("noise_quantile", noise_quantile)

        self._rungs = [PromotionRung(epoch, self.factor) for epoch in self.rung_epochs]
        self._top = min(1, len(self._rungs) - 1)  # the highest rung that is open
        self._epsilon = 0.0
        self._ranking = SoftRanking()  # of the top rung and the one below
        self._noise = CrossingNoise(self.noise_quantile)
        self._started = 0
        self._exhausted = False
        self._running = Running()
        self._curves: dict[int, list[float]] = {}  # the objective at each epoch of those that run or pause
        self._full = 0  # how many were trained to max_epochs, or are on their way in the end
        self._finishing: set[int] = set()

    @property
    def top_epochs(self) -> int:
        """The highest rung that is open, in epochs."""
        return self.rung_epochs[self._top]

    @property
    def epsilon(self) -> float:
        """Which difference between two trials is taken for noise, in objective units."""
        return self._epsilon

    def suggest(self, rng: np.random.Generator) -> Run | Wait | Done:
        for k in reversed(range(self._top)):
            trial_id = self._rungs[k].promote()
            if trial_id is not None:
                return self._resume(trial_id, k, until=self.rung_epochs[k + 1])
        if self._started < self.max_trials and not self._exhausted:
            trial_id = self._started
            self._started += 1
            self._curves[trial_id] = []
            self._running.start(trial_id, done=0, until=self.min_epochs)
            return Run(trial_id, until=self.min_epochs)
        if len(self._running) == len(self._finishing) and self._full < self.finish:
            for k in reversed(range(len(self._rungs) - 1)):
                trial_id = self._rungs[k].take()
                if trial_id is not None:
                    self._full += 1
                    self._finishing.add(trial_id)
                    return self._resume(trial_id, k, until=self.max_epochs)
        return Wait() if self._running else Done()

    def observe(self, observation: Observation, rng: np.random.Generator) -> Run | Pause | Stop:
        trial_id, epoch, objective = observation.trial_id, observation.epoch, float(observation.objective)
        until = self._running.advance(observation)
        finite = math.isfinite(objective)
        if finite:
            curve = self._curves[trial_id]
            curve += [objective] * (epoch - len(curve))  # an epoch that was left out: as the one after it
            if epoch < until:
                return Run(trial_id, until)
        if trial_id in self._finishing:
            self._full -= not finite  # then another may finish
        else:
            k = bisect_left(self.rung_epochs, until)
            self._rungs[k].reach(trial_id, objective if finite else math.inf)
            if 0 < k == self._top < len(self._rungs) - 1:
                self._compare(trial_id, objective if finite else math.inf)
            self._full += finite and epoch == self.max_epochs
        if not finite or epoch == self.max_epochs:
            self.forget(trial_id)
            return Stop(trial_id)
        self._running.end(trial_id)
        return Pause(trial_id)

    def forget(self, trial_id: int) -> None:
        # One that was to finish is not replaced: the user's own early stopping may have ended it, and would the next
        self._running.end(trial_id)
        self._finishing.discard(trial_id)
        del self._curves[trial_id]

    def retire(self, trial_id: int) -> None:
        # It counts among those that set out for the rung, a share of which is promoted. In the ranking it has no place:
        # that it did badly between the rungs does not say at which of them the order was wrong.
        until = self._running.until(trial_id)
        if trial_id not in self._finishing:
            self._rungs[bisect_left(self.rung_epochs, until)].reach(trial_id, math.inf)
        self.forget(trial_id)

    def exhaust(self) -> None:
        self._exhausted = True

    def state(self) -> dict[str, Any]:
        return {
            "configuration": self._configuration(),
            "started": self._started,
            "exhausted": self._exhausted,
            "running": self._running.state(),
            "rungs": [rung.state() for rung in self._rungs],
            "top": self._top,
            "epsilon": self._epsilon,
            "ranking": self._ranking.state(),
            "noise": self._noise.state(),
            "curves": [[trial_id, list(curve)] for trial_id, curve in self._curves.items()],
            "full": self._full,
            "finishing": sorted(self._finishing),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        same_configuration(self._configuration(), state["configuration"])
        self._started = state["started"]
        self._exhausted = state["exhausted"]
        self._running.load_state(state["running"])
        for rung, rung_state in zip(self._rungs, state["rungs"], strict=True):
            rung.load_state(rung_state)
        self._top = state["top"]
        self._epsilon = state["epsilon"]
        self._ranking.load_state(state["ranking"])
        self._noise.load_state(state["noise"])
        self._curves = {trial_id: list(curve) for trial_id, curve in state["curves"]}
        self._full = state["full"]
        self._finishing = set(state["finishing"])

    def _resume(self, trial_id: int, k: int, until: int) -> Run:
        """The trial goes on from rung ``k``."""
        self._running.start(trial_id, done=self.rung_epochs[k], until=until)
        return Run(trial_id, until, restore=CheckpointRef(trial_id, self.rung_epochs[k]))

    def _compare(self, trial_id: int, objective: float) -> None:
        """A trial arrived at the top rung (inf: it diverged before), and opens the next one if the order is new."""
        curve = self._curves[trial_id]
        self._ranking.add(curve[self.rung_epochs[self._top - 1] - 1], objective)
        if objective < math.inf:
            self._noise.add(curve)
        if self._noise.epsilon is not None:
            self._epsilon = self._noise.epsilon
        if not self._ranking.holds(self._epsilon):
            self._top += 1
            self._ranking = SoftRanking()
            self._noise = CrossingNoise(self.noise_quantile)

    def _configuration(self) -> dict[str, Any]:
        names = ("max_epochs", "min_epochs", "factor", "max_trials", "finish", "noise_quantile")
        return {"scheduler": "PASHA"} | {name: getattr(self, name) for name in names}
