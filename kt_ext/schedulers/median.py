"""The median stopping rule.

Golovin, Solnik, Moitra, Kochanski, Karro, Sculley (2017), "Google Vizier: A Service for Black-Box Optimization",
section 3.2.2: stop a trial at step s if its best objective up to s is worse than the median of the running averages,
up to s, of the objectives of the other trials.
"""

from __future__ import annotations

import math
from bisect import insort
from typing import Any

from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.schedulers.checks import integer
from kt_ext.schedulers.stopping_rule import StoppingRule


class MedianRule(StoppingRule):
    """Stops a trial whose best objective so far is worse than the median of the others' running averages.

    The others are all that have reached the same epoch, still running or not: a search need not wait for the first to
    be complete, as Vizier does. The rule has no model of a curve, needs no checkpoints, and the average, not the
    latest value, makes it lenient with trials that learn slowly at first.

    Args:
        scheduler: decides first.
        warmup_epochs: no trial is judged in its first so many epochs, >= 0.
        min_trials: how many others must have reached the epoch, >= 1.
        every: epochs from one judgement to the next, >= 1; the first is at ``warmup_epochs + every``.

    Raises:
        ValueError, TypeError: an argument is out of range.

    Examples:
        Six trials, each worse than the one before; the fourth is the first that has three others beside it:

        >>> from kt_ext.core.simulate import simulate
        >>> from kt_ext.schedulers import FIFO
        >>> rule = MedianRule(FIFO(max_trials=6, max_epochs=10), min_trials=3)
        >>> simulate(rule, lambda trial, epoch: trial + 1 / epoch, workers=1).epochs
        {0: 10, 1: 10, 2: 10, 3: 1, 4: 1, 5: 1}
    """

    def __init__(
        self, scheduler: AbstractScheduler, warmup_epochs: int = 0, min_trials: int = 5, every: int = 1
    ) -> None:
        super().__init__(scheduler)
        self.warmup_epochs = integer("warmup_epochs", warmup_epochs, at_least=0, remedy="0 judges from the start")
        self.min_trials = integer("min_trials", min_trials, at_least=1, remedy="5 is usual")
        self.every = integer("every", every, at_least=1, remedy="1 judges after every epoch")
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[int, float] = {}  # of each trial's objectives
        self._averages: dict[int, list[float]] = {}  # epoch -> ascending, of all trials that reached it

    def _note(self, trial_id: int, curve: list[float]) -> None:
        self._sums[trial_id] = self._sums.get(trial_id, 0.0) + curve[-1]
        insort(self._averages.setdefault(len(curve), []), self._sums[trial_id] / len(curve))

    def _stops(self, trial_id: int, curve: list[float]) -> bool:
        after_warmup = len(curve) - self.warmup_epochs
        if after_warmup <= 0 or after_warmup % self.every:
            return False
        others = self._averages.get(len(curve), [])  # the trial itself is noted later
        return len(others) >= self.min_trials and min(curve) > _median(others)

    def _arguments(self) -> dict[str, Any]:
        return {"warmup_epochs": self.warmup_epochs, "min_trials": self.min_trials, "every": self.every}


def _median(ascending: list[float]) -> float:
    middle = len(ascending) // 2
    if len(ascending) % 2:
        return ascending[middle]
    low, high = ascending[middle - 1], ascending[middle]
    return math.inf if math.isinf(high) else low / 2 + high / 2  # the sum of two large ones may overflow
