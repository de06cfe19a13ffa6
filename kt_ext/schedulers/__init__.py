"""Schedulers: who runs, and how long."""

from kt_ext.schedulers.adaptive import AdaptivePerturb
from kt_ext.schedulers.asha import ASHA
from kt_ext.schedulers.fifo import FIFO
from kt_ext.schedulers.pb2 import PB2Explorer
from kt_ext.schedulers.pbt import PBT
from kt_ext.schedulers.perturb import Perturb

__all__ = ["ASHA", "FIFO", "PBT", "AdaptivePerturb", "PB2Explorer", "Perturb"]
