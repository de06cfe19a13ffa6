"""Cyclical learning rates (Smith, 2015, "Cyclical learning rates for training neural networks")."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kt_ext.schedules.base import AbstractSchedule, at_least_one, positive


@dataclass(frozen=True)
class Cyclical(AbstractSchedule):
    """Up from the base to ``top`` times the base in ``half_cycle`` steps, down in as many, again and again.

    The base is the paper's ``base_lr`` and ``top`` is ``max_lr / base_lr``.

    Args:
        half_cycle: steps, the paper's ``stepsize``; 2 to 10 epochs of batches, it says.
        top: the largest factor, >= 1.
        mode: ``"triangular"``; ``"triangular2"`` halves the height of each cycle; ``"exp_range"`` multiplies the
            height by ``gamma ** step``.
        gamma: for ``exp_range``, in (0, 1].

    Raises:
        ValueError: an argument is out of range.
    """

    half_cycle: float
    top: float
    mode: str = "triangular"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        positive("half_cycle", self.half_cycle)
        at_least_one("top", self.top, "the optimizer's learning rate is the lower bound")
        positive("gamma", self.gamma)
        if self.gamma > 1:
            raise ValueError(f"gamma={self.gamma}: must be at most 1; the height of a cycle would grow without bound")
        if self.mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f"mode={self.mode!r}: must be 'triangular', 'triangular2' or 'exp_range'")

    def __call__(self, step: float) -> float:
        cycle = math.floor(1 + step / (2 * self.half_cycle))
        x = abs(step / self.half_cycle - 2 * cycle + 1)
        height = {"triangular": 1.0, "triangular2": 0.5 ** (cycle - 1), "exp_range": self.gamma**step}[self.mode]
        return 1 + (self.top - 1) * max(0.0, 1 - x) * height
