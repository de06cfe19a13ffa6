"""Keras Tuner tuners: one short file for each."""

from kt_ext.tuners.asha import ASHATuner
from kt_ext.tuners.pbt import PB2Tuner, PBTTuner
from kt_ext.tuners.scheduler import SchedulerTuner

__all__ = ["ASHATuner", "PB2Tuner", "PBTTuner", "SchedulerTuner"]
