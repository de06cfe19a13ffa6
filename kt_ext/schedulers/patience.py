"""Stop a trial that has not improved for some epochs."""

from __future__ import annotations

from typing import Any

from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.schedulers.checks import integer, number
from kt_ext.schedulers.stopping_rule import StoppingRule


class Patience(StoppingRule):
    """Stops a trial whose best objective of the last ``patience`` epochs is no better than its best before them.

    Unlike Keras's EarlyStopping it asks what these epochs gained together, so many small gains count as one large.

    Args:
        scheduler: decides first.
        patience: how many epochs without improvement, >= 1.
        min_delta: an improvement is more than this, in units of the objective, >= 0.

    Raises:
        ValueError, TypeError: an argument is out of range.

    Examples:
        Trial 1 stops improving after its fifth epoch:

        >>> from kt_ext.core.simulate import simulate
        >>> from kt_ext.schedulers import FIFO
        >>> curves = lambda trial, epoch: max(1 / epoch, 0.2 * trial)
        >>> simulate(Patience(FIFO(max_trials=2, max_epochs=20), patience=3), curves, workers=1).epochs
        {0: 20, 1: 8}
    """

    def __init__(self, scheduler: AbstractScheduler, patience: int = 10, min_delta: float = 0.0) -> None:
        super().__init__(scheduler)
        self.patience = integer("patience", patience, at_least=1, remedy="give the epochs to wait for an improvement")
        self.min_delta = number("min_delta", min_delta, at_least=0, remedy="0 counts every improvement")

    def _stops(self, trial_id: int, curve: list[float]) -> bool:
        before, last = curve[: -self.patience], curve[-self.patience :]
        return bool(before) and not min(last) < min(before) - self.min_delta

    def _arguments(self) -> dict[str, Any]:
        return {"patience": self.patience, "min_delta": self.min_delta}
