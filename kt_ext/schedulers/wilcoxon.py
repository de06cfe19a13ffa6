"""Stop a trial whose curve lies significantly above the best trial's.

The idea is that of Optuna's WilcoxonPruner, which compares trials instance by instance; here the pairs are epochs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.schedulers.checks import integer, probability
from kt_ext.schedulers.signed_rank import signed_rank_p
from kt_ext.schedulers.stopping_rule import StoppingRule


class WilcoxonRule(StoppingRule):
    """Stops a trial that is worse than the best one, epoch for epoch, by a Wilcoxon signed-rank test.

    The best trial is the one with the best objective at any epoch, still running or not; in a tie the first. The two
    curves are compared over the epochs that both have reached. A trial is stopped if the one-sided p-value is below
    ``p_threshold`` and the means over the last ``window`` of these epochs differ by more than the standard deviation of
    either curve there: a difference within what the curves scatter or still fall does not decide.

    Successive epochs of one curve are no independent samples, so ``p_threshold`` sets how strict the rule is and is not
    its rate of errors. With n epochs no p-value is below ``2 ** -n``.

    Args:
        scheduler: decides first.
        p_threshold: in [0, 1].
        warmup_epochs: no trial is judged in its first so many epochs, >= 0.
        window: how many last epochs the means are of, >= 2.
        every: epochs from one judgement to the next, >= 1; the first is at ``warmup_epochs + every``.

    Raises:
        ValueError, TypeError: an argument is out of range.
    """

    def __init__(
        self,
        scheduler: AbstractScheduler,
        p_threshold: float = 0.05,
        warmup_epochs: int = 0,
        window: int = 5,
        every: int = 1,
    ) -> None:
        super().__init__(scheduler)
        self.p_threshold = probability("p_threshold", p_threshold)
        self.warmup_epochs = integer("warmup_epochs", warmup_epochs, at_least=0, remedy="0 judges from the start")
        self.window = integer("window", window, at_least=2, remedy="one epoch has no spread")
        self.every = integer("every", every, at_least=1, remedy="1 judges after every epoch")
        self._clear()

    def _clear(self) -> None:
        self._best = (math.inf, -1)  # objective, trial; by the trial's number in a tie

    def _note(self, trial_id: int, curve: list[float]) -> None:
        self._best = min(self._best, (curve[-1], trial_id))

    def _stops(self, trial_id: int, curve: list[float]) -> bool:
        after_warmup = len(curve) - self.warmup_epochs
        objective, best = min(self._best, (curve[-1], trial_id))
        if after_warmup <= 0 or after_warmup % self.every or best == trial_id or math.isinf(objective):
            return False
        epochs = min(len(curve), len(self._curves[best]))
        mine, others = np.array(curve[:epochs]), np.array(self._curves[best][:epochs])
        both_worst = np.isinf(mine) & np.isinf(others)  # no difference; their subtraction is NaN
        differences = np.where(both_worst, 0.0, mine) - np.where(both_worst, 0.0, others)
        if not signed_rank_p(differences) < self.p_threshold:
            return False
        return _apart(mine[-self.window :], others[-self.window :])

    def _arguments(self) -> dict[str, Any]:
        names = ("p_threshold", "warmup_epochs", "window", "every")
        return {name: getattr(self, name) for name in names}


def _apart(mine: np.ndarray, others: np.ndarray) -> bool:
    """Whether the mean of ``mine`` is above that of ``others`` by more than either one's standard deviation."""
    if not np.isfinite(others).all():
        return False
    if not np.isfinite(mine).all():
        return True
    with np.errstate(over="ignore"):  # a diverging loss may have a standard deviation of inf: then nothing is apart
        return bool(mine.mean() - others.mean() > max(mine.std(), others.std()))
