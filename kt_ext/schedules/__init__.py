"""Learning-rate schedules as pure functions of the step, which ``kt_ext.TuningCallback`` applies per batch or epoch."""

from __future__ import annotations

from kt_ext.schedules.attach import Attached, Schedule, attach, attached
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
from kt_ext.schedules.plateau import PlateauState, ReduceOnPlateau
from kt_ext.schedules.range_test import RangeTest, suggest_learning_rate
from kt_ext.schedules.serial import from_json, to_json

__all__ = [
    "AbstractSchedule",
    "Attached",
    "Chain",
    "Constant",
    "CosineDecay",
    "CosineRestarts",
    "Cyclical",
    "ExponentialDecay",
    "InverseTimeDecay",
    "OneCycle",
    "PiecewiseConstant",
    "PlateauState",
    "PolynomialDecay",
    "RangeTest",
    "ReduceOnPlateau",
    "Schedule",
    "StepDecay",
    "Warmup",
    "attach",
    "attached",
    "from_json",
    "suggest_learning_rate",
    "to_json",
]
