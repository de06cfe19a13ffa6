"""Hyperparameter and architecture search for Keras, as a plugin for Keras Tuner."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kt_ext._environment import check
from kt_ext._version import __version__

check()

if TYPE_CHECKING:
    from kt_ext import core, oracles, schedulers, searchers
    from kt_ext.training.callback import TuningCallback
    from kt_ext.tuners import ASHATuner, SchedulerTuner

__all__ = [
    "ASHATuner",
    "SchedulerTuner",
    "TuningCallback",
    "__version__",
    "core",
    "oracles",
    "schedulers",
    "searchers",
]

# Imported when first used: a script that simulates schedulers, or a launcher, never waits for Keras.
_WHERE = {
    "ASHATuner": "kt_ext.tuners",
    "SchedulerTuner": "kt_ext.tuners",
    "TuningCallback": "kt_ext.training.callback",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    if name in __all__:
        return importlib.import_module(f"kt_ext.{name}")
    raise AttributeError(f"module 'kt_ext' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
