"""Bounds on reported metrics: what a model must keep to be of any use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: The metric that a tuner fills in by itself: ``model.count_params()``.
PARAMS = "params"

Bound = float | tuple[float | None, float | None]


class Constraints:
    """Bounds that every epoch must keep; one that does not is infeasible and never a trial's best.

    Args:
        given: metric names to an upper bound, or to a pair (lower, upper) of which one may be None. Both belong to what
            is allowed.

    Attributes:
        names: the metrics that must be in every report.

    Raises:
        TypeError, ValueError: a name or a bound is none.
    """

    def __init__(self, given: Mapping[str, Bound] | None = None) -> None:
        if given is not None and not isinstance(given, Mapping):
            raise TypeError(f"constraints={given!r}: must be a dictionary such as {{'params': 1e6}}, or None")
        self._bounds = {_checked_name(name): _pair(name, bound) for name, bound in (given or {}).items()}
        self.names = tuple(self._bounds)

    def breaches(self, metrics: Mapping[str, float]) -> list[str]:
        """What is wrong with these metrics, one text for each bound that is not kept; names they lack are left out."""
        said = []
        for name, (low, high) in self._bounds.items():
            if name not in metrics:
                continue
            value = metrics[name]
            if high is not None and not value <= high:
                said.append(f"{name}={value:.10g} is not <= {high:.10g}")
            elif low is not None and not value >= low:
                said.append(f"{name}={value:.10g} is not >= {low:.10g}")
        return said

    def to_json(self) -> dict[str, list[float | None]]:
        """Metric names to [lower, upper]."""
        return {name: list(pair) for name, pair in self._bounds.items()}


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise TypeError(f"constraints: {name!r} must be the name of a metric, such as 'params' or 'val_latency_ms'")
    return name


def _pair(name: str, bound: Any) -> tuple[float | None, float | None]:
    low, high = bound if isinstance(bound, (tuple, list)) and len(bound) == 2 else (None, bound)
    one = low if high is None else high
    ends = [end for end in (low, high) if end is not None]
    if one is None or not all(_is_finite(end) for end in ends):
        raise ValueError(
            f"constraints[{name!r}]={bound!r}: must be a finite upper bound, or a pair (lower, upper) of which one may "
            "be None, such as (0.8, None)"
        )
    if len(ends) == 2 and low > high:
        raise ValueError(f"constraints[{name!r}]={bound!r}: the lower bound is above the upper; swap them")
    return (None if low is None else float(low)), (None if high is None else float(high))


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
