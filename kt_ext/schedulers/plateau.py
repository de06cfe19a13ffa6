"""Stop a trial whose curve has become flat."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.schedulers.checks import integer, number
from kt_ext.schedulers.stopping_rule import StoppingRule


class Plateau(StoppingRule):
    """Stops a trial that gains no more than ``min_slope`` per epoch, by a line through its last ``window`` epochs.

    The line's slope has a standard error, from the scatter of the objectives about it. A trial is stopped only if the
    gain is that small even when ``standard_errors`` are added to it, so a curve that may be falling beneath its noise
    goes on: the noisier it is, the larger the window it needs.

    A window with infinite objectives has no line: the trial goes on unless all are infinite.

    Args:
        scheduler: decides first.
        window: how many epochs the line is fitted to, >= 3.
        min_slope: the gain, in units of the objective per epoch, that is too little, >= 0.
        standard_errors: how many are added to the gain, >= 0; 0 goes by the line alone.

    Raises:
        ValueError, TypeError: an argument is out of range.
    """

    def __init__(
        self, scheduler: AbstractScheduler, window: int = 10, min_slope: float = 1e-3, standard_errors: float = 2.0
    ) -> None:
        super().__init__(scheduler)
        self.window = integer("window", window, at_least=3, remedy="two points leave no scatter about their line")
        self.min_slope = number("min_slope", min_slope, at_least=0, remedy="give the gain per epoch that is too little")
        self.standard_errors = number("standard_errors", standard_errors, at_least=0, remedy="2 is usual")

    def _stops(self, trial_id: int, curve: list[float]) -> bool:
        if len(curve) < self.window:
            return False
        last = np.array(curve[-self.window :])
        if not np.isfinite(last).all():
            return bool(np.isinf(last).all())
        slope, error = line_slope(last)
        return bool(-slope + self.standard_errors * error <= self.min_slope)

    def _arguments(self) -> dict[str, Any]:
        return {"window": self.window, "min_slope": self.min_slope, "standard_errors": self.standard_errors}


def line_slope(values: np.ndarray) -> tuple[float, float]:
    """The least-squares slope of ``values``, shape (n,), n >= 3, at 0, 1, 2 ..., and its standard error."""
    x = np.arange(len(values)) - (len(values) - 1) / 2
    y = values - values.mean()
    scale = float(np.abs(y).max()) or 1.0  # the square of a diverging loss would overflow
    y = y / scale
    slope = float(x @ y / (x @ x))
    residuals = y - slope * x
    error = math.sqrt(float(residuals @ residuals) / (len(values) - 2) / float(x @ x))
    return slope * scale, error * scale
