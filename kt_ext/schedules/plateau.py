"""Reduce the learning rate when a metric stops improving, as ``keras.callbacks.ReduceLROnPlateau``, without Keras."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from kt_ext.schedules.base import AbstractSchedule, a_schedule, fraction, not_negative
from kt_ext.schedules.decay import Constant


@dataclass(frozen=True)
class PlateauState:
    """How far a training has come.

    Attributes:
        factor: the product of the reductions so far.
        best: the best value so far, minimised; ``inf`` before the first.
        wait: epochs since the last improvement or reduction.
        cooldown: epochs until it starts to wait again.
    """

    factor: float = 1.0
    best: float = math.inf
    wait: int = 0
    cooldown: int = 0


@dataclass(frozen=True)
class ReduceOnPlateau:
    """Multiplies the learning rate by ``factor`` after ``patience`` epochs without an improvement.

    It depends on what happens, so it is no function of the step alone: ``next`` makes a new state of the last one, and
    ``__call__`` takes the state beside the step.

    Args:
        factor: of each reduction, in (0, 1).
        patience: epochs, >= 0.
        min_delta: how much better counts as an improvement, in units of the metric.
        cooldown: epochs after a reduction in which no epoch counts as waiting, >= 0.
        lowest: the product of all reductions goes no lower: Keras's ``min_lr`` as a fraction of the base.
        of: the schedule that it reduces.

    Raises:
        ValueError: an argument is out of range.
    """

    factor: float = 0.1
    patience: int = 10
    min_delta: float = 1e-4
    cooldown: int = 0
    lowest: float = 0.0
    of: AbstractSchedule = field(default_factory=Constant)

    def __post_init__(self) -> None:
        fraction("factor", self.factor, "a factor of 1 or more would not reduce")
        not_negative("patience", self.patience)
        not_negative("min_delta", self.min_delta)
        not_negative("cooldown", self.cooldown)
        not_negative("lowest", self.lowest)
        a_schedule("of", self.of)

    def __call__(self, step: float, state: PlateauState) -> float:
        """The factor at ``step``."""
        return self.of(step) * state.factor

    def next(self, state: PlateauState, metric: float) -> PlateauState:
        """The state after one more epoch.

        Args:
            state: the state before it; ``PlateauState()`` at first.
            metric: the epoch's value, minimised; one that is not finite is no improvement.
        """
        if state.cooldown > 0:
            state = replace(state, cooldown=state.cooldown - 1, wait=0)
        if math.isfinite(metric) and metric < state.best - self.min_delta:
            return replace(state, best=metric, wait=0)
        if state.cooldown > 0:
            return state
        state = replace(state, wait=state.wait + 1)
        if state.wait < self.patience or state.factor <= self.lowest:
            return state
        return replace(state, factor=max(state.factor * self.factor, self.lowest), wait=0, cooldown=self.cooldown)
