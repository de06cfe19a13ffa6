"""One cycle up and down (Smith and Topin, 2017, "Super-convergence")."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from kt_ext.schedules.base import AbstractSchedule, fraction, positive
from kt_ext.schedules.cosine import half_cosine


@dataclass(frozen=True)
class OneCycle(AbstractSchedule):
    """Up to the base rate and down again far below where it began, as Optax's ``cosine_`` and ``linear_onecycle``.

    The base is the peak: Optax's ``peak_value``. ``"cosine"`` comes down in one curve; ``"linear"`` comes down to where
    it began at ``down``, and from there to the end.

    Args:
        steps: how long the cycle takes; the last factor holds ever after.
        up: the fraction of the steps that goes up.
        start: the first factor (Optax's ``1 / div_factor``).
        end: the last factor, as a multiple of ``start`` (Optax's ``1 / final_div_factor``).
        shape: ``"cosine"`` or ``"linear"``.
        down: the fraction of the steps after which a linear cycle is where it began; of no use to a cosine.

    Raises:
        ValueError: an argument is out of range.
    """

    steps: int
    up: float = 0.3
    start: float = 1 / 25
    end: float = 1e-4
    shape: str = "cosine"
    down: float = 0.85

    def __post_init__(self) -> None:
        positive("steps", self.steps)
        fraction("up", self.up)
        positive("start", self.start)
        positive("end", self.end)
        fraction("down", self.down)
        if self.shape not in ("cosine", "linear"):
            raise ValueError(f"shape={self.shape!r}: must be 'cosine' or 'linear'")
        if self.shape == "linear" and self.down <= self.up:
            raise ValueError(f"down={self.down}: must be larger than up={self.up}; what goes up comes down after it")

    def __call__(self, step: float) -> float:
        points = [(0, self.start), (int(self.up * self.steps), 1.0)]
        if self.shape == "linear":
            points.append((int(self.down * self.steps), self.start))
        points.append((self.steps, self.start * self.end))
        for (begin, first), (end, last) in pairwise(points):
            if step < end:
                done = (step - begin) / (end - begin)
                left = half_cosine(done) if self.shape == "cosine" else 1 - done
                return last + (first - last) * left
        return points[-1][1]
