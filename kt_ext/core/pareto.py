"""Which of several vectors of objectives dominate which; every component is minimised, ``inf`` is the worst."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def dominating(point: Sequence[float], others: np.ndarray) -> np.ndarray:
    """Which of ``others``, shape (n, k), dominate ``point``, shape (k,): a mask of shape (n,).

    One dominates another that it is no worse than in any component and better than in at least one.
    """
    dominated = np.asarray(point)
    return np.logical_and((others <= dominated).all(axis=1), (others < dominated).any(axis=1))


def dominated_by(points: np.ndarray) -> np.ndarray:
    """By how many of ``points``, shape (n, k), each is dominated, shape (n,); 0 for those on the Pareto front."""
    return np.array([int(dominating(point, points).sum()) for point in points], dtype=int)
