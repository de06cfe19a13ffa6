"""Stop a trial that is good enough."""

from __future__ import annotations

from typing import Any, Literal

from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.schedulers.checks import number
from kt_ext.schedulers.stopping_rule import StoppingRule


class Target(StoppingRule):
    """Stops a trial as soon as it has reached ``target``: it is good enough, and its epochs go to others.

    Args:
        scheduler: decides first.
        target: the objective that is enough, in the metric's own units.
        direction: whether the metric is minimised (``"min"``) or maximised (``"max"``). A scheduler always minimises
            and sees a maximised metric with its sign turned, so ``Target(scheduler, 0.95, "max")`` stops at -0.95.

    Raises:
        ValueError, TypeError: an argument is out of range.
    """

    stops_the_good = True

    def __init__(self, scheduler: AbstractScheduler, target: float, direction: Literal["min", "max"] = "min") -> None:
        super().__init__(scheduler)
        self.target = number("target", target, remedy="give the value of the metric that is good enough")
        if direction not in ("min", "max"):
            raise ValueError(f"direction={direction!r}: must be 'min' or 'max', as the objective's")
        self.direction = direction

    def _stops(self, trial_id: int, curve: list[float]) -> bool:
        return curve[-1] <= (self.target if self.direction == "min" else -self.target)

    def _arguments(self) -> dict[str, Any]:
        return {"target": self.target, "direction": self.direction}
