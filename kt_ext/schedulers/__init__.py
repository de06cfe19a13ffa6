"""Schedulers: who runs, and how long."""

from kt_ext.schedulers.asha import ASHA
from kt_ext.schedulers.fifo import FIFO

__all__ = ["ASHA", "FIFO"]
