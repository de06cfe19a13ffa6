"""Schedules that go one way: constant, in steps, exponential, by inverse time, polynomial."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kt_ext.schedules.base import AbstractSchedule, ascending, not_negative, positive


@dataclass(frozen=True)
class Constant(AbstractSchedule):
    """The same factor at every step. Raises ValueError if it is negative or not finite."""

    factor: float = 1.0

    def __post_init__(self) -> None:
        not_negative("factor", self.factor)

    def __call__(self, step: float) -> float:
        return self.factor


@dataclass(frozen=True)
class PiecewiseConstant(AbstractSchedule):
    """``factors[i]`` up to and including step ``boundaries[i]``, the last one ever after.

    As ``keras.optimizers.schedules.PiecewiseConstantDecay``. Optax changes one step earlier: at the boundary itself.

    Args:
        boundaries: steps, strictly ascending.
        factors: one more than there are boundaries.

    Raises:
        ValueError: the boundaries are not ascending, or the numbers of the two do not fit.
    """

    boundaries: tuple[float, ...]
    factors: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "boundaries", tuple(self.boundaries))
        object.__setattr__(self, "factors", tuple(self.factors))
        ascending("boundaries", self.boundaries)
        for factor in self.factors:
            not_negative("factors", factor)
        if len(self.factors) != len(self.boundaries) + 1:
            raise ValueError(
                f"factors={self.factors}: must be one more than boundaries={self.boundaries}; "
                "the first holds before the first boundary"
            )

    def __call__(self, step: float) -> float:
        return self.factors[sum(step > boundary for boundary in self.boundaries)]


@dataclass(frozen=True)
class StepDecay(AbstractSchedule):
    """``factor ** (step // steps)``: one reduction every so many steps. Raises ValueError if either is not positive."""

    steps: float
    factor: float = 0.1

    def __post_init__(self) -> None:
        positive("steps", self.steps)
        positive("factor", self.factor)

    def __call__(self, step: float) -> float:
        return self.factor ** (step // self.steps)


@dataclass(frozen=True)
class ExponentialDecay(AbstractSchedule):
    """``rate ** (step / steps)``, or with ``staircase`` ``rate ** floor(step / steps)``, as Keras and Optax have it.

    Raises ValueError if ``steps`` or ``rate`` is not positive.
    """

    steps: float
    rate: float
    staircase: bool = False

    def __post_init__(self) -> None:
        positive("steps", self.steps)
        positive("rate", self.rate)

    def __call__(self, step: float) -> float:
        periods = step / self.steps
        return self.rate ** (math.floor(periods) if self.staircase else periods)


@dataclass(frozen=True)
class InverseTimeDecay(AbstractSchedule):
    """``1 / (1 + rate * step / steps)``, with ``staircase`` of the floor of ``step / steps``, as Keras has it.

    Raises ValueError if ``steps`` is not positive or ``rate`` is negative.
    """

    steps: float
    rate: float
    staircase: bool = False

    def __post_init__(self) -> None:
        positive("steps", self.steps)
        not_negative("rate", self.rate)

    def __call__(self, step: float) -> float:
        periods = step / self.steps
        return 1 / (1 + self.rate * (math.floor(periods) if self.staircase else periods))


@dataclass(frozen=True)
class PolynomialDecay(AbstractSchedule):
    """``(1 - end) * (1 - step / steps) ** power + end``, and ``end`` after ``steps``, as Keras and Optax have it.

    Args:
        steps: how long the decay takes.
        end: the last factor: Keras's ``end_learning_rate`` as a fraction of the base.
        power: 1 is a straight line.
        cycle: after ``steps`` start again from ``step / steps`` rounded up times as many steps, as Keras does.

    Raises:
        ValueError: ``steps`` or ``power`` is not positive, or ``end`` is negative.
    """

    steps: float
    end: float = 0.0
    power: float = 1.0
    cycle: bool = False

    def __post_init__(self) -> None:
        positive("steps", self.steps)
        not_negative("end", self.end)
        positive("power", self.power)

    def __call__(self, step: float) -> float:
        steps = self.steps * max(1, math.ceil(step / self.steps)) if self.cycle else self.steps
        # A product that is rounded down, as 0.1 * 3 is not, must not give a negative base to a power.
        left = max(0.0, 1 - step / steps)
        return (1 - self.end) * left**self.power + self.end
