"""Domination and the Pareto rank as they are defined, one pair at a time.

Fonseca and Fleming (1993), "Genetic algorithms for multiobjective optimization: formulation, discussion and
generalization": a vector dominates another if it is no worse in any component and better in at least one, and the rank
of an individual grows with the number of those that dominate it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def worst_if_useless(values: Sequence[float]) -> tuple[float, ...]:
    """A report with anything that is not finite is as bad as can be in everything."""
    for value in values:
        if math.isnan(value) or math.isinf(value):
            return tuple(math.inf for _ in values)
    return tuple(values)


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Both minimised."""
    no_worse = all(x <= y for x, y in zip(a, b, strict=True))
    better = any(x < y for x, y in zip(a, b, strict=True))
    return no_worse and better


def rank(point: Sequence[float], before: Sequence[Sequence[float]]) -> float:
    """Of a report among those that were made at the same epoch before it."""
    point = worst_if_useless(point)
    if math.inf in point:
        return math.inf
    dominating = 0
    for other in before:
        if dominates(worst_if_useless(other), point):
            dominating += 1
    return (dominating + 1) / (len(before) + 2)


def judged_epoch(epochs: Mapping[int, Sequence[float]], ranks: Mapping[int, float]) -> int | None:
    """The epoch that a trial is judged by, going through its epochs one by one."""
    judged = None
    for epoch in sorted(epochs):
        point = worst_if_useless(epochs[epoch])
        earlier = [worst_if_useless(epochs[e]) for e in sorted(epochs) if e < epoch]
        if math.inf in point or any(dominates(other, point) for other in earlier):
            continue
        if judged is None or dominates(point, epochs[judged]) or ranks[epoch] < ranks[judged]:
            judged = epoch
    return judged


def front(points: Sequence[Sequence[float]]) -> list[int]:
    """The places of the points that no other dominates."""
    return [n for n, point in enumerate(points) if not any(dominates(other, point) for other in points)]
