"""Ranks with ties."""

from __future__ import annotations

import numpy as np


def row_ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each entry in its row, from 1 for the smallest; ties share the mean of their ranks.

    Args:
        values: shape (n, k), without NaN.

    Returns:
        Shape (n, k).
    """
    ranks = np.empty(values.shape)
    for row, ranked in zip(values, ranks, strict=True):
        _, places, counts = np.unique(row, return_inverse=True, return_counts=True)
        ranked[:] = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks
