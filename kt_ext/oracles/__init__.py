"""Keras Tuner oracles: the adapter and one short file for each oracle."""

from kt_ext.oracles.asha import ASHAOracle
from kt_ext.oracles.base import SchedulerOracle
from kt_ext.oracles.pbt import PB2Oracle, PBTOracle

__all__ = ["ASHAOracle", "PB2Oracle", "PBTOracle", "SchedulerOracle"]
