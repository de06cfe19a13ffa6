"""Cheap estimates of what a trial is worth."""

from kt_ext.estimators.curves import CurveEstimator
from kt_ext.estimators.mixture import Mixture

__all__ = ["CurveEstimator", "Mixture"]
