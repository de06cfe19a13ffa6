"""A population's schedule with the numbers that its models' steps read."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras

from kt_ext.core.decision import Value
from kt_ext.core.lineage import Schedule
from kt_ext.oracles.hyperparameters import with_values
from kt_ext.training.replay import fill_in

if TYPE_CHECKING:
    from kt_ext.tuners.base import SegmentTuner

_log = logging.getLogger("kt_ext")


def with_live_values(tuner: SegmentTuner, schedule: Schedule) -> Schedule:
    """The schedule with where in the model its values are; without, if they cannot be changed while a model trains."""

    def build(values: Mapping[str, Value]) -> keras.Model:
        return tuner.build_checked(with_values(tuner._own_oracle.hyperparameters, values))

    if tuner.hypermodel is None:
        return schedule
    try:
        return fill_in(schedule, build)
    except ValueError as error:
        _log.info("%s", error)
        return schedule
