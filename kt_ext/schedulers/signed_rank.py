"""The Wilcoxon signed-rank test.

Wilcoxon (1945), "Individual Comparisons by Ranking Methods", Biometrics Bulletin 1(6); zeros are dropped as he did.
"""

from __future__ import annotations

import math

import numpy as np

MOST_EXACT = 50  # beyond so many differences the normal approximation is as good and does not grow


def signed_rank_p(differences: np.ndarray) -> float:
    """The p-value against the alternative that ``differences``, shape (n,), lie above 0; infinities may be among them.

    Exact up to 50 non-zero differences, ties included (each of the 2**n assignments of signs to the ranks is equally
    likely); the normal approximation, corrected for ties and not for continuity, beyond. 1.0 if all are zero.
    """
    differences = differences[differences != 0]
    n = len(differences)
    if n == 0:
        return 1.0
    _, places, counts = np.unique(np.abs(differences), return_inverse=True, return_counts=True)
    # Ties share the mean of their ranks, which may end in .5; twice that is an integer.
    doubled = (2 * np.cumsum(counts) - counts + 1)[places]
    observed = int(doubled[differences > 0].sum())
    if n <= MOST_EXACT:
        return _exact_p(doubled, observed)
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((counts.astype(float) ** 3 - counts).sum()) / 48
    z = (observed / 2 - n * (n + 1) / 4) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2)) / 2


def _exact_p(ranks: np.ndarray, observed: int) -> float:
    """The probability that a random subset of the integers ``ranks`` sums to ``observed`` or more."""
    probabilities = np.zeros(int(ranks.sum()) + 1)
    probabilities[0] = 1.0
    for rank in ranks:
        probabilities /= 2
        probabilities[rank:] += probabilities[:-rank].copy()
    return float(probabilities[observed:].sum())
