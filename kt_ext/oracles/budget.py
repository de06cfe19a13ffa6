"""When a search ends before its scheduler is done: epochs, seconds, or a target reached."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Limits of a whole search, counted over all its sessions.

    Args:
        max_total_epochs: epochs of all trials together, never exceeded, whatever the number of workers.
        max_seconds: wall-clock seconds; a running trial ends at its next report.
        target: the objective's value that is good enough, in the objective's own units.
        maximise: the objective's direction.
        argument: by which name the user gave ``max_total_epochs``.
    """

    max_total_epochs: int | None = None
    max_seconds: float | None = None
    target: float | None = None
    maximise: bool = False
    argument: str = "max_total_epochs"

    def __post_init__(self) -> None:
        if self.max_total_epochs is not None and (
            isinstance(self.max_total_epochs, bool)
            or not isinstance(self.max_total_epochs, int)
            or self.max_total_epochs < 1
        ):
            raise ValueError(
                f"max_total_epochs={self.max_total_epochs!r}: must be an integer >= 1, or None for no limit"
            )
        if self.max_seconds is not None and not (_is_number(self.max_seconds) and self.max_seconds > 0):
            raise ValueError(f"max_seconds={self.max_seconds!r}: must be a number > 0, or None for no limit")
        if self.target is not None and not (_is_number(self.target) and math.isfinite(self.target)):
            raise ValueError(f"target={self.target!r}: must be a finite value of the objective, or None for no target")

    def limits(self) -> dict[str, float | None]:
        """What bounds the time that is left."""
        return {"max_total_epochs": self.max_total_epochs, "max_seconds": self.max_seconds}

    def reached(self, *, epochs: int, in_flight: int, seconds: float, best: float) -> str | None:
        """Why no further epoch may start, or None.

        Args:
            epochs: done by all trials together.
            in_flight: epochs that other workers are training now.
            seconds: since the search began, pauses between sessions not counted.
            best: minimised objective of the best trial so far, ``inf`` without one.
        """
        if self.max_total_epochs is not None and epochs + in_flight >= self.max_total_epochs:
            return f"{self.argument}={self.max_total_epochs} reached"
        if self.max_seconds is not None and seconds >= self.max_seconds:
            return f"max_seconds={self.max_seconds:g} reached"
        if self.target is not None and best <= (-self.target if self.maximise else self.target):
            return f"target={self.target:g} reached with {-best if self.maximise else best:g}"
        return None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
