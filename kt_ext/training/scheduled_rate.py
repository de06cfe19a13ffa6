"""The learning rate of a model in training: its base, multiplied by a schedule's factor."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kt_ext.schedules import Attached, PlateauState, ReduceOnPlateau, attached
from kt_ext.training.state import VARIABLE, updating_optimizer


@dataclasses.dataclass
class _Epoch:
    """An epoch in training: its schedule, the variable of the rate, and what was last written into it."""

    chosen: Attached
    variable: keras.Variable
    base: float
    first_step: int
    factor: float | None = None

    @property
    def rate(self) -> float:
        return self.base * (1.0 if self.factor is None else self.factor)


class ScheduledRate:
    """Applies a schedule to the optimizer's learning rate while an epoch is trained.

    Between two epochs the variable holds the base, so that this is what a checkpoint saves, what a mutation changes and
    what a donor's state brings along. Within an epoch it holds ``base * factor``.

    The step of a schedule per batch is the optimizer's own count of batches, with which it is saved and restored; it is
    read when an epoch begins. Where gradients are accumulated it counts each batch, as for Keras's own schedules, and
    is not ``optimizer.iterations``. With ``steps_per_execution`` k, k batches have the rate of the first of them.

    Args:
        given: the schedule; None takes what ``kt_ext.schedules.attach`` has left on the model, if anything.

    Raises:
        ValueError: the schedule is one of Keras's.
    """

    def __init__(self, given: Attached | None = None) -> None:
        if given is not None:
            _check(given)
        self._given = given
        self._plateau = PlateauState()
        self._epoch: _Epoch | None = None

    def chosen(self, model: keras.Model) -> Attached | None:
        """The schedule that ``model`` is trained with."""
        return attached(model) if self._given is None else self._given

    def begin_epoch(self, model: keras.Model, epoch: int) -> None:
        """Read the base from the optimizer and set the rate of the epoch's first step.

        Args:
            model: a compiled model.
            epoch: epochs done before this one.

        Raises:
            ValueError: there is a schedule, and the learning rate is not a number, the base to multiply.
        """
        interrupted, self._epoch = self._epoch, None
        chosen = self.chosen(model)
        if chosen is None:
            return
        _check(chosen)
        variable = _variable(model, chosen)
        held = variable.numpy()
        # An epoch that raised an error has left its last rate there, unless a checkpoint was restored since.
        resumes = interrupted is not None and interrupted.variable is variable and _same(held, interrupted.rate)
        base = interrupted.base if interrupted is not None and resumes else float(held)
        first = batches_done(model) if chosen.per == "batch" else epoch
        self._epoch = _Epoch(chosen, variable, base, first)
        self._set(self._factor(first))

    def changes_at(self, batch: int) -> bool:
        """Whether the rate of an epoch's batch, from 0, is another than that of the one before it."""
        return self._epoch is not None and self._factor_of(batch) != self._epoch.factor

    def begin_batch(self, batch: int) -> None:
        """Set the rate of an epoch's batch. On JAX the model must have its state, as after ``callback.model``."""
        self._set(self._factor_of(batch))

    def end_epoch(self) -> None:
        """Put the base back.

        If a callback of the user's (Keras's ReduceLROnPlateau) has changed the rate meanwhile, by some factor, the base
        is changed by that factor.
        """
        epoch, self._epoch = self._epoch, None
        if epoch is None:
            return
        held = epoch.variable.numpy()
        if not _same(held, epoch.rate):
            epoch.base = float(held) / (epoch.factor or 1.0)
        epoch.variable.assign(epoch.base)

    @property
    def in_epoch(self) -> bool:
        """Whether an epoch is being trained with a schedule."""
        return self._epoch is not None

    def get_base(self, model: keras.Model) -> float:
        """The base: what the rate would be without the schedule. Raises ValueError if Keras has a schedule of it."""
        return self._epoch.base if self._epoch is not None else float(_variable(model, self.chosen(model)).numpy())

    def set_base(self, model: keras.Model, base: float) -> None:
        """Another base, from the very next step on. Raises ValueError if it is negative or not finite."""
        if not (math.isfinite(base) and base >= 0):
            raise ValueError(f"learning_rate_base={base!r}: must be a finite number >= 0")
        if self._epoch is None:
            _variable(model, self.chosen(model)).assign(base)
        else:
            self._epoch.base = base
            self._epoch.variable.assign(self._epoch.rate)

    # ReduceOnPlateau, the one schedule that looks at the metric

    def needs_metric(self, model: keras.Model) -> bool:
        """Whether ``observe`` must be told the metric of every epoch."""
        chosen = self.chosen(model)
        return chosen is not None and isinstance(chosen.schedule, ReduceOnPlateau)

    def observe(self, model: keras.Model, metric: float) -> None:
        """An epoch has ended with this value of the metric, minimised."""
        chosen = self.chosen(model)
        if chosen is not None and isinstance(chosen.schedule, ReduceOnPlateau):
            self._plateau = chosen.schedule.next(self._plateau, metric)

    def state(self) -> dict[str, Any]:
        """What must be saved beside the state of the model: a JSON object."""
        return dataclasses.asdict(self._plateau)

    def load_state(self, state: Mapping[str, Any] | None) -> None:
        """Go on from a state that was saved; None from the beginning."""
        self._plateau = PlateauState(**(state or {}))

    def _factor_of(self, batch: int) -> float:
        assert self._epoch is not None
        first = self._epoch.first_step
        return self._factor(first + batch if self._epoch.chosen.per == "batch" else first)

    def _factor(self, step: int) -> float:
        assert self._epoch is not None
        schedule = self._epoch.chosen.schedule
        factor = float(schedule(step, self._plateau) if isinstance(schedule, ReduceOnPlateau) else schedule(step))
        if not (math.isfinite(factor) and factor >= 0):
            raise ValueError(f"schedule={schedule!r}: gives {factor} at step {step}; must give a finite number >= 0")
        return factor

    def _set(self, factor: float) -> None:
        assert self._epoch is not None
        if factor != self._epoch.factor:
            self._epoch.factor = factor
            self._epoch.variable.assign(self._epoch.rate)


def batches_done(model: keras.Model) -> int:
    """How many batches the optimizer of a compiled model has seen."""
    optimizer = updating_optimizer(model)
    assert optimizer is not None
    return int(optimizer.variables[0].numpy())


def _check(chosen: Attached) -> None:
    if isinstance(chosen.schedule, keras.optimizers.schedules.LearningRateSchedule):
        raise ValueError(
            f"schedule={chosen.schedule!r}: gives learning rates, and must give factors of the base; "
            "give it to the optimizer as its learning_rate, or use one of kt_ext.schedules"
        )


def _variable(model: keras.Model, chosen: Attached | None) -> keras.Variable:
    """The variable of the learning rate."""
    optimizer = updating_optimizer(model)
    rate = getattr(optimizer, "learning_rate", None)
    if not isinstance(rate, VARIABLE):
        own = getattr(optimizer, "_learning_rate", None)  # the schedule itself; learning_rate is what it gives now
        raise ValueError(
            f"schedule={None if chosen is None else chosen.schedule!r}: the optimizer's learning_rate must be a "
            f"number, the base, and is {own!r}; compile the model with learning_rate=<number>, or leave the rate to it "
            "and give no schedule of kt_ext"
        )
    return rate


def _same(held: np.ndarray, rate: float) -> bool:
    """Whether a variable holds ``rate``, as rounded to its type."""
    return bool(np.asarray(rate).astype(held.dtype) == held)
