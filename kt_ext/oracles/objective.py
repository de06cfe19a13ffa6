"""Keras Tuner's objectives as one number to minimise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from keras_tuner.engine import metrics_tracking

from kt_ext.oracles.constraints import Constraints

MULTI_OBJECTIVE = "multi_objective"


class ObjectiveReader:
    """Reads a Keras Tuner objective (one metric, a signed sum of several, or the default) from reported metrics.

    Args:
        objective: a ``keras_tuner.Objective``.
        constraints: bounds that a report must keep.
        pareto: whether several objectives are compared by domination: then ``minimised`` is what a report says alone,
            and the oracle, which knows the others, ranks it (``kt_ext.oracles.multi_objective``).

    Attributes:
        names: the objective's metrics.
        maximise: whether a larger value of the objective is better.
    """

    def __init__(self, objective: Any, constraints: Constraints | None = None, pareto: bool = False) -> None:
        self.objective = objective
        self.constraints = Constraints() if constraints is None else constraints
        self.pareto = pareto
        directions = getattr(objective, "name_to_direction", None)
        self.names = tuple(directions) if directions is not None else (objective.name,)
        self.maximise = objective.direction == "max"
        self._directions = dict(directions or {objective.name: objective.direction})

    @property
    def wanted(self) -> tuple[str, ...]:
        """The metrics that must be in every report: the objective's and those with bounds."""
        return tuple(dict.fromkeys((*self.names, *self.constraints.names)))

    def missing(self, metrics: Mapping[str, float]) -> list[str]:
        """Those of ``wanted`` that a report lacks."""
        return [name for name in self.wanted if name not in metrics]

    def lacking(self, metrics: Mapping[str, float]) -> str:
        """What a report lacks, in words: ``objective 'val_loss'``, or ``constraint 'val_latency_ms'``."""
        missing = self.missing(metrics)
        for role, names in (("objective", self.names), ("constraint", self.constraints.names)):
            mine = [name for name in missing if name in names]
            if mine:
                return f"{role} {', '.join(mine)!r}"
        return ""

    def minimised(self, metrics: Mapping[str, float]) -> float:
        """The objective to minimise; NaN, both infinities and a bound that is not kept become ``inf``, the worst."""
        value = self.objective.get_value(metrics)
        if not math.isfinite(value) or self.constraints.breaches(metrics):
            return math.inf
        return -value if self.maximise else value

    def vector(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """Each of the objective's metrics to minimise, in the order of ``names``.

        All are ``inf`` where one is NaN or infinite or a bound is not kept: a model that diverged is of no use, however
        small it is.
        """
        values = [-metrics[name] if self._directions[name] == "max" else metrics[name] for name in self.names]
        if not all(map(math.isfinite, values)) or self.constraints.breaches(metrics):
            return (math.inf,) * len(values)
        return tuple(values)

    def in_own_units(self, minimised: float) -> float:
        """A minimised value as the user knows it."""
        return -minimised if self.maximise else minimised

    def direction(self, metric: str) -> str:
        """``"min"`` or ``"max"`` for any metric, as Keras Tuner infers it (which is slow: asked once for each name)."""
        if metric not in self._directions:
            self._directions[metric] = metrics_tracking.infer_metric_direction(metric) or "min"
        return self._directions[metric]

    def __str__(self) -> str:
        """What must be the same when a search is gone on with; bounds are not part of it."""
        return f"{self.objective}{' by Pareto rank' if self.pareto else ''}"
