"""Schedules as JSON objects and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kt_ext.schedules.base import AbstractSchedule
from kt_ext.schedules.combine import Chain, Warmup
from kt_ext.schedules.cosine import CosineDecay, CosineRestarts
from kt_ext.schedules.cyclical import Cyclical
from kt_ext.schedules.decay import (
    Constant,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstant,
    PolynomialDecay,
    StepDecay,
)
from kt_ext.schedules.one_cycle import OneCycle
from kt_ext.schedules.plateau import ReduceOnPlateau
from kt_ext.schedules.range_test import RangeTest

#: Every schedule there is, by the name that it has in JSON.
KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Chain,
        Constant,
        CosineDecay,
        CosineRestarts,
        Cyclical,
        ExponentialDecay,
        InverseTimeDecay,
        OneCycle,
        PiecewiseConstant,
        PolynomialDecay,
        RangeTest,
        ReduceOnPlateau,
        StepDecay,
        Warmup,
    )
}


def to_json(schedule: AbstractSchedule | ReduceOnPlateau) -> dict[str, Any]:
    """A JSON object: its name as ``"schedule"``, and its fields. Raises ValueError if it is none of ``KINDS``."""
    if KINDS.get(type(schedule).__name__) is not type(schedule):
        raise ValueError(f"schedule={schedule!r}: must be one of kt_ext.schedules ({', '.join(KINDS)})")
    fields = {field.name: getattr(schedule, field.name) for field in dataclasses.fields(KINDS[type(schedule).__name__])}
    return {"schedule": type(schedule).__name__, **{name: _to_plain(value) for name, value in fields.items()}}


def from_json(data: Mapping[str, Any]) -> AbstractSchedule | ReduceOnPlateau:
    """The schedule of a JSON object that ``to_json`` made.

    Raises:
        ValueError: the schedule is unknown, or an argument is out of range.
        TypeError: an argument is unknown or missing.
    """
    arguments = {name: _from_plain(value) for name, value in data.items() if name != "schedule"}
    name = data.get("schedule")
    if name not in KINDS:
        raise ValueError(f"schedule={name!r}: must be one of {', '.join(KINDS)}")
    return KINDS[name](**arguments)


def _to_plain(value: Any) -> Any:
    if isinstance(value, AbstractSchedule):
        return to_json(value)
    return [_to_plain(one) for one in value] if isinstance(value, tuple) else value


def _from_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return from_json(value)
    return tuple(_from_plain(one) for one in value) if isinstance(value, list) else value
