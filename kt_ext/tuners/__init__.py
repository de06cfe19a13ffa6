"""Keras Tuner tuners: one short file for each."""

from kt_ext.tuners.asha import ASHATuner
from kt_ext.tuners.auto import AutoTuner
from kt_ext.tuners.bayesian import BayesianTuner
from kt_ext.tuners.bohb import BOHBTuner
from kt_ext.tuners.hyperband import HyperbandTuner
from kt_ext.tuners.nas import NASTuner
from kt_ext.tuners.pbt import PB2Tuner, PBTTuner
from kt_ext.tuners.racing import RacingTuner
from kt_ext.tuners.scheduler import SchedulerTuner

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
    "SchedulerTuner",
]
