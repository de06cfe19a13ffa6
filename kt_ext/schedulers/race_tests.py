"""Which configurations of a race are statistically worse than its best.

As in irace (López-Ibáñez, Dubois-Lacoste, Pérez Cáceres, Birattari, Stützle, 2016, "The irace package: Iterated racing
for automatic algorithm configuration"); the post-hoc test is that of Conover (1999), "Practical Nonparametric
Statistics", pages 369-371. All degrees of freedom are integers, for which the tails are finite sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from kt_ext.core.ranks import row_ranks
from kt_ext.schedulers.signed_rank import signed_rank_p


def friedman_worse(results: np.ndarray, level: float) -> np.ndarray:
    """Whether each configuration is worse than that of the lowest mean rank, shape (k,), bool.

    Friedman's test says whether there is a difference at all, Conover's post-hoc test where. Two configurations are
    compared by Wilcoxon's signed-rank test, two-sided, exact where irace takes the normal approximation.

    Args:
        results: objectives, minimised and finite, shape (n instances, k configurations), n and k >= 2.
        level: the probability of an error of the first kind, in (0, 1).
    """
    ranks = row_ranks(results)
    n, k = ranks.shape
    sums = ranks.sum(axis=0)
    behind = sums - sums.min()
    if k == 2:
        differences = results[:, 0] - results[:, 1]
        p = 2 * min(signed_rank_p(differences), signed_rank_p(-differences))
        return (behind > 0) & (p < level)
    if friedman_p(results) >= level:
        return np.zeros(k, dtype=bool)
    freedom = (n - 1) * (k - 1)
    spread = math.sqrt(max(0.0, 2 * (n * (ranks**2).sum() - (sums**2).sum()) / freedom))
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.where(behind > 0, behind / spread, 0.0)  # inf where all instances rank alike
    return np.array([2 * t_tail(distance, freedom) < level for distance in distances])


def friedman_p(results: np.ndarray) -> float:
    """The p-value of Friedman's test that all columns are alike, corrected for ties; 1 if all rows are constant."""
    ranks = row_ranks(results)
    n, k = ranks.shape
    between = n * ((ranks.mean(axis=0) - (k + 1) / 2) ** 2).sum()
    within = ((ranks - (k + 1) / 2) ** 2).sum() / (n * (k - 1))
    return chi2_tail(between / within, k - 1) if within > 0 else 1.0


def t_worse(results: np.ndarray, level: float) -> np.ndarray:
    """Whether each configuration is worse than that of the lowest mean by a one-sided paired t-test, shape (k,), bool.

    As irace's ``t-test``, without a correction for the number of comparisons. Arguments as above.
    """
    results = results / max(np.abs(results).max(), 1e-300)  # squares of large objectives would overflow
    means = results.mean(axis=0)
    best = int(np.argmin(means))
    return np.array([paired_t_p(column - results[:, best]) < level for column in results.T])


def paired_t_p(differences: np.ndarray) -> float:
    """The p-value against the alternative that the mean of ``differences``, shape (n,), lies above 0."""
    n, mean, spread = len(differences), float(differences.mean()), float(differences.std(ddof=1))
    if spread <= 1e-15 * abs(mean):  # always the same difference
        return 0.0 if mean > 0 else 1.0
    return t_tail(mean / spread * math.sqrt(n), n - 1) if spread > 0 else 1.0


def chi2_tail(x: float, freedom: int) -> float:
    """The probability that a chi-squared variable of ``freedom`` degrees exceeds ``x``."""
    even = freedom % 2 == 0
    total = 0.0 if even else math.erfc(math.sqrt(x / 2))
    term = math.exp(-x / 2) * (1.0 if even else math.sqrt(2 * x / math.pi))
    for k in range(2 if even else 3, freedom + 1, 2):
        total += term
        term *= x / k
    return total


def t_tail(t: float, freedom: int) -> float:
    """The probability that a variable of Student's distribution exceeds ``t`` (Abramowitz and Stegun, 26.7.3 and 4)."""
    even = freedom % 2 == 0
    angle = math.atan2(abs(t), math.sqrt(freedom))
    cosine = math.cos(angle)
    total, term = 0.0, math.sin(angle) * (1.0 if even else cosine)
    for k in range(2 if even else 3, freedom + 1, 2):
        total += term
        term *= cosine**2 * (k - 1) / k
    within = total if even else 2 / math.pi * (angle + total)
    return (1 - within) / 2 if t > 0 else (1 + within) / 2


#: By name: which configurations are worse, from results of shape (n, k) and a level.
TESTS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {"friedman": friedman_worse, "t": t_worse}
