"""Objectives as normal scores of their ranks: what a model learns does not depend on the objective's scale."""

from __future__ import annotations

import numpy as np


def normal_scores(objectives: np.ndarray) -> np.ndarray:
    """The standard normal quantiles of the objectives' ranks, (rank - 0.5) / n, shape (n,); ties share their mean rank.

    The same for every increasing transformation of the objectives; ``inf`` is simply the worst (Salinas, Shen and
    Perrone, 2020, "A quantile-based approach for hyperparameter transfer learning").

    Args:
        objectives: shape (n,), no NaN.
    """
    # Imported late: it takes longer than all that searchers without a model need.
    from scipy.special import ndtri

    _, inverse, counts = np.unique(objectives, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    return ndtri((mean_rank[inverse] - 0.5) / max(len(objectives), 1))
