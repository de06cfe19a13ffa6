"""Keras Tuner's objectives as one number to minimise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from keras_tuner.engine import metrics_tracking

MULTI_OBJECTIVE = "multi_objective"


class ObjectiveReader:
    """Reads a Keras Tuner objective (one metric, a signed sum of several, or the default) from reported metrics.

    Attributes:
        names: the metrics that must be in every report.
        maximise: whether a larger value of the objective is better.
    """

    def __init__(self, objective: Any) -> None:
        self.objective = objective
        directions = getattr(objective, "name_to_direction", None)
        self.names = tuple(directions) if directions is not None else (objective.name,)
        self.maximise = objective.direction == "max"
        self._directions = dict(directions or {objective.name: objective.direction})

    def missing(self, metrics: Mapping[str, float]) -> list[str]:
        """The objective's metrics that a report lacks."""
        return [name for name in self.names if name not in metrics]

    def minimised(self, metrics: Mapping[str, float]) -> float:
        """The objective to minimise; NaN and both infinities become ``inf``, the worst."""
        value = self.objective.get_value(metrics)
        if not math.isfinite(value):
            return math.inf
        return -value if self.maximise else value

    def in_own_units(self, minimised: float) -> float:
        """A minimised value as the user knows it."""
        return -minimised if self.maximise else minimised

    def direction(self, metric: str) -> str:
        """``"min"`` or ``"max"`` for any metric, as Keras Tuner infers it (which is slow: asked once for each name)."""
        if metric not in self._directions:
            self._directions[metric] = metrics_tracking.infer_metric_direction(metric) or "min"
        return self._directions[metric]
