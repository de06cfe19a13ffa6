"""True Keras Tuner oracles that decide with kt_ext's schedulers and searchers."""

from kt_ext.oracles.architecture import ArchitectureOracle
from kt_ext.oracles.asha import ASHAOracle
from kt_ext.oracles.auto import AutoOracle
from kt_ext.oracles.base import SchedulerOracle
from kt_ext.oracles.bayesian import BayesianOracle
from kt_ext.oracles.bohb import BOHBOracle
from kt_ext.oracles.hyperband import HyperbandOracle
from kt_ext.oracles.pbt import PB2Oracle, PBTOracle
from kt_ext.oracles.racing import RacingOracle
from kt_ext.oracles.strategies import (
    ControllerOracle,
    EvolutionOracle,
    LocalSearchOracle,
    MorphismOracle,
    PredictorOracle,
)

__all__ = [
    "ASHAOracle",
    "ArchitectureOracle",
    "AutoOracle",
    "BOHBOracle",
    "BayesianOracle",
    "ControllerOracle",
    "EvolutionOracle",
    "HyperbandOracle",
    "LocalSearchOracle",
    "MorphismOracle",
    "PB2Oracle",
    "PBTOracle",
    "PredictorOracle",
    "RacingOracle",
    "SchedulerOracle",
]
