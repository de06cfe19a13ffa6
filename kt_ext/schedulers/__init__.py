"""Schedulers: who runs, and how long."""

from kt_ext.schedulers.adaptive import AdaptivePerturb
from kt_ext.schedulers.asha import ASHA
from kt_ext.schedulers.extrapolation import ExtrapolationRule
from kt_ext.schedulers.fifo import FIFO
from kt_ext.schedulers.hyperband import Hyperband
from kt_ext.schedulers.median import MedianRule
from kt_ext.schedulers.pasha import PASHA
from kt_ext.schedulers.patience import Patience
from kt_ext.schedulers.pb2 import PB2Explorer
from kt_ext.schedulers.pbt import PBT
from kt_ext.schedulers.perturb import Perturb
from kt_ext.schedulers.plateau import Plateau
from kt_ext.schedulers.racing import Racing
from kt_ext.schedulers.stopping_rule import StoppingRule
from kt_ext.schedulers.target import Target
from kt_ext.schedulers.wilcoxon import WilcoxonRule

__all__ = [
    "ASHA",
    "FIFO",
    "PASHA",
    "PBT",
    "AdaptivePerturb",
    "ExtrapolationRule",
    "Hyperband",
    "MedianRule",
    "PB2Explorer",
    "Patience",
    "Perturb",
    "Plateau",
    "Racing",
    "StoppingRule",
    "Target",
    "WilcoxonRule",
]
