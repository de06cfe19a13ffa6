"""A schedule that a ``build(hp)`` function leaves on its model, for the callback that trains it to pick up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kt_ext.schedules.plateau import ReduceOnPlateau

#: A function of the step, the factor to multiply the base learning rate by; or the one kind that looks at the metric.
Schedule = Callable[[int], float] | ReduceOnPlateau

#: The attribute of a model that holds what is attached to it.
ATTRIBUTE = "_kt_ext_schedule"


@dataclass(frozen=True)
class Attached:
    """A schedule, and whether a step of it is a ``"batch"`` or an ``"epoch"``. Raises ValueError if it is neither."""

    schedule: Schedule
    per: str = "batch"

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            raise ValueError(
                f"schedule={self.schedule!r}: must be a schedule or a function of the step, e.g. "
                "kt_ext.schedules.CosineDecay(1000)"
            )
        if self.per not in ("batch", "epoch"):
            raise ValueError(f"per={self.per!r}: must be 'batch' or 'epoch', what one step of the schedule is")


def attach(model: Any, schedule: Schedule | None, per: str = "batch") -> None:
    """Have ``kt_ext.TuningCallback``, and so every tuner, train ``model`` with this schedule; None takes it away.

    It is called in ``build(hp)``, after ``compile``, and its numbers may be hyperparameters:

        kt_ext.schedules.attach(model, kt_ext.schedules.CosineDecay(hp.Int("decay_steps", 1000, 5000)))

    Args:
        model: a Keras model whose optimizer's learning rate is a number, the base.
        schedule: gives the factor for each step.
        per: whether a step is a ``"batch"`` or an ``"epoch"``.

    Raises:
        ValueError: the schedule cannot be called, or ``per`` is neither word.
    """
    attach_as(model, None if schedule is None else Attached(schedule, per))


def attach_as(model: Any, chosen: Attached | None) -> None:
    """Leave on ``model`` what was ``attached`` to another; None takes it away."""
    if chosen is not None:
        setattr(model, ATTRIBUTE, chosen)
    elif attached(model) is not None:
        delattr(model, ATTRIBUTE)


def attached(model: Any) -> Attached | None:
    """What is attached to ``model``."""
    return getattr(model, ATTRIBUTE, None)
