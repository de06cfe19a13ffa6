"""Schedules made of schedules: a warm-up, and one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field

from kt_ext.schedules.base import AbstractSchedule, a_schedule, ascending, not_negative, positive
from kt_ext.schedules.decay import Constant


@dataclass(frozen=True)
class Warmup(AbstractSchedule):
    """Linearly from ``start`` up to where ``then`` begins, in ``steps``; then ``then``, which counts from 0 there.

    ``Warmup(w, start, CosineDecay(n, end))`` is ``keras.optimizers.schedules.CosineDecay`` whose ``warmup_target`` is
    the base (Goyal et al., 2017).

    Raises:
        ValueError: ``steps`` is not positive, ``start`` is negative, or ``then`` is no schedule.

    Examples:
        >>> from kt_ext.schedules import StepDecay
        >>> [Warmup(2, then=StepDecay(2, 0.5))(step) for step in range(7)]
        [0.0, 0.5, 1.0, 1.0, 0.5, 0.5, 0.25]
    """

    steps: float
    start: float = 0.0
    then: AbstractSchedule = field(default_factory=Constant)

    def __post_init__(self) -> None:
        positive("steps", self.steps, "leave the warm-up out")
        not_negative("start", self.start)
        a_schedule("then", self.then)

    def __call__(self, step: float) -> float:
        if step >= self.steps:
            return self.then(step - self.steps)
        return self.start + (self.then(0) - self.start) * step / self.steps


@dataclass(frozen=True)
class Chain(AbstractSchedule):
    """``schedules[i]`` until step ``boundaries[i]``, where the next one begins to count from 0: Optax's join_schedules.

    Raises:
        ValueError: there is not one boundary less than there are schedules, or they are not strictly ascending.
    """

    schedules: tuple[AbstractSchedule, ...]
    boundaries: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedules", tuple(self.schedules))
        object.__setattr__(self, "boundaries", tuple(self.boundaries))
        for schedule in self.schedules:
            a_schedule("schedules", schedule)
        ascending("boundaries", self.boundaries)
        if len(self.boundaries) != len(self.schedules) - 1:
            raise ValueError(
                f"boundaries={self.boundaries}: must be one less than the {len(self.schedules)} schedules; "
                "the first schedule begins at step 0"
            )

    def __call__(self, step: float) -> float:
        number = sum(step >= boundary for boundary in self.boundaries)
        return self.schedules[number](step - (self.boundaries[number - 1] if number else 0))
