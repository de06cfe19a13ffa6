"""True Keras Tuner oracles that decide with kt_ext's schedulers and searchers."""

from kt_ext.oracles.asha import ASHAOracle
from kt_ext.oracles.auto import AutoOracle
from kt_ext.oracles.base import SchedulerOracle
from kt_ext.oracles.bayesian import BayesianOracle
from kt_ext.oracles.bohb import BOHBOracle
from kt_ext.oracles.hyperband import HyperbandOracle
from kt_ext.oracles.pbt import PB2Oracle, PBTOracle
from kt_ext.oracles.racing import RacingOracle

__all__ = [
    "ASHAOracle",
    "AutoOracle",
    "BOHBOracle",
    "BayesianOracle",
    "HyperbandOracle",
    "PB2Oracle",
    "PBTOracle",
    "RacingOracle",
    "SchedulerOracle",
]
