"""Cosine annealing, once or with warm restarts (SGDR: Loshchilov and Hutter, ICLR 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kt_ext.schedules.base import AbstractSchedule, at_least_one, not_negative, positive


@dataclass(frozen=True)
class CosineDecay(AbstractSchedule):
    """From 1 to ``end`` along half a cosine, and ``end`` after ``steps``, as Keras (its ``alpha``) and Optax have it.

    Raises ValueError if ``steps`` is not positive or ``end`` is negative.

    Examples:
        >>> [round(CosineDecay(4)(step), 3) for step in range(6)]
        [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    steps: float
    end: float = 0.0

    def __post_init__(self) -> None:
        positive("steps", self.steps)
        not_negative("end", self.end)

    def __call__(self, step: float) -> float:
        return (1 - self.end) * half_cosine(min(step / self.steps, 1.0)) + self.end


@dataclass(frozen=True)
class CosineRestarts(AbstractSchedule):
    """Cosine annealing that begins anew again and again, as ``keras.optimizers.schedules.CosineDecayRestarts``.

    Args:
        steps: how long the first period takes.
        longer: each period takes so many times as long as the one before it, >= 1 (Keras's ``t_mul``).
        lower: each period starts at so many times the height of the one before it (Keras's ``m_mul``).
        end: the factor that each period goes down to (Keras's ``alpha``).

    Raises:
        ValueError: an argument is out of range.
    """

    steps: float
    longer: float = 2.0
    lower: float = 1.0
    end: float = 0.0

    def __post_init__(self) -> None:
        positive("steps", self.steps)
        at_least_one("longer", self.longer, "shorter and shorter periods would come to an end")
        positive("lower", self.lower)
        not_negative("end", self.end)

    def __call__(self, step: float) -> float:
        period = self._period(step / self.steps)
        done = step - self.steps * self._periods_before(period)
        height = self.lower**period * half_cosine(done / (self.steps * self.longer**period))
        return (1 - self.end) * height + self.end

    def _period(self, time: float) -> int:
        """The number of the period at ``time``, in units of the first period's length."""
        if self.longer == 1:
            return math.floor(time)
        guess = math.floor(math.log(1 + time * (self.longer - 1), self.longer))
        # The logarithm may be rounded to the other side of a restart.
        if self._periods_before(guess + 1) <= time:
            return guess + 1
        return guess - 1 if self._periods_before(guess) > time else guess

    def _periods_before(self, period: int) -> float:
        """When the period starts: the sum of the geometric series."""
        return period if self.longer == 1 else (self.longer**period - 1) / (self.longer - 1)


def half_cosine(done: float) -> float:
    """From 1 at ``done`` = 0 to 0 at ``done`` = 1."""
    return 0.5 * (1 + math.cos(math.pi * done))
