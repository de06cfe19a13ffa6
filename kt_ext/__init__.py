"""Hyperparameter and architecture search for Keras, as a plugin for Keras Tuner."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kt_ext._environment import check
from kt_ext._version import __version__

check()

if TYPE_CHECKING:
    from kt_ext import (
        core,
        estimators,
        execution,
        integrations,
        nas,
        oracles,
        plots,
        reports,
        schedulers,
        schedules,
        searchers,
        training,
    )
    from kt_ext.core.lineage import Schedule
    from kt_ext.oracles.lineage import schedule_from
    from kt_ext.reports.optuna_study import to_optuna_study
    from kt_ext.training.callback import TuningCallback
    from kt_ext.training.range_test import learning_rate_range_test
    from kt_ext.training.replay import ScheduleReplay, hyperparameters
    from kt_ext.tuners import (
        ASHATuner,
        AutoTuner,
        BayesianTuner,
        BOHBTuner,
        HyperbandTuner,
        NASTuner,
        PB2Tuner,
        PBTTuner,
        RacingTuner,
        SchedulerTuner,
    )
    from kt_ext.tuners.mutable import mutable

__all__ = [
    "ASHATuner",
    "AutoTuner",
    "BOHBTuner",
    "BayesianTuner",
    "HyperbandTuner",
    "NASTuner",
    "PB2Tuner",
    "PBTTuner",
    "RacingTuner",
    "Schedule",
    "ScheduleReplay",
    "SchedulerTuner",
    "TuningCallback",
    "__version__",
    "core",
    "estimators",
    "execution",
    "hyperparameters",
    "integrations",
    "learning_rate_range_test",
    "mutable",
    "nas",
    "oracles",
    "plots",
    "reports",
    "schedule_from",
    "schedulers",
    "schedules",
    "searchers",
    "to_optuna_study",
    "training",
]

# Imported when first used: a script that simulates schedulers, or a launcher, never waits for Keras.
_WHERE = {
    "ASHATuner": "kt_ext.tuners",
    "AutoTuner": "kt_ext.tuners",
    "BOHBTuner": "kt_ext.tuners",
    "BayesianTuner": "kt_ext.tuners",
    "HyperbandTuner": "kt_ext.tuners",
    "NASTuner": "kt_ext.tuners",
    "PB2Tuner": "kt_ext.tuners",
    "PBTTuner": "kt_ext.tuners",
    "RacingTuner": "kt_ext.tuners",
    "Schedule": "kt_ext.core.lineage",
    "ScheduleReplay": "kt_ext.training.replay",
    "SchedulerTuner": "kt_ext.tuners",
    "TuningCallback": "kt_ext.training.callback",
    "hyperparameters": "kt_ext.training.replay",
    "learning_rate_range_test": "kt_ext.training.range_test",
    "mutable": "kt_ext.tuners.mutable",
    "schedule_from": "kt_ext.oracles.lineage",
    "to_optuna_study": "kt_ext.reports.optuna_study",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    if name in __all__ or name == "tuners":  # kt_ext.tuners.base is what all tuners share
        return importlib.import_module(f"kt_ext.{name}")
    raise AttributeError(f"module 'kt_ext' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
