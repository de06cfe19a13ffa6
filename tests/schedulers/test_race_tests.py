"""The statistics of a race, against scipy's and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from kt_ext.schedulers.race_tests import chi2_tail, friedman_p, friedman_worse, paired_t_p, t_tail, t_worse

CASES = range(200)


def results(seed: int, levels: int = 0) -> np.ndarray:
    """Random results, shape (n instances, k configurations); with ``levels``, ties abound."""
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(2, 12)), int(rng.integers(3, 9))
    drawn = rng.normal(size=shape) + rng.normal(size=shape[1])
    return np.round(drawn * levels / 3) if levels else drawn


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 8, 9, 30, 99, 100])
def test_tails(freedom):
    for x in (1e-9, 0.3, 1.0, 4.0, 15.0, 120.0):
        assert chi2_tail(x, freedom) == pytest.approx(stats.chi2.sf(x, freedom), rel=1e-9, abs=1e-14)
        for t in (x, -x):
            assert t_tail(t, freedom) == pytest.approx(stats.t.sf(t, freedom), rel=1e-7, abs=1e-13)
    assert t_tail(math.inf, freedom) == pytest.approx(0.0, abs=1e-15)
    assert t_tail(0.0, freedom) == pytest.approx(0.5)
    assert chi2_tail(0.0, freedom) == pytest.approx(1.0)


@pytest.mark.parametrize("levels", [0, 2])
def test_friedman(levels):
    compared = 0
    for seed in CASES:
        drawn = results(seed, levels)
        expected = stats.friedmanchisquare(*drawn.T).pvalue
        if math.isfinite(expected):
            compared += 1
            assert friedman_p(drawn) == pytest.approx(expected, rel=1e-9)
    assert compared > 190
    assert friedman_p(np.ones((4, 3))) == 1.0


def conover(drawn: np.ndarray, level: float) -> np.ndarray:
    """Literally, from irace's documentation: the critical difference of rank sums."""
    ranks = stats.rankdata(drawn, axis=1)
    n, k = ranks.shape
    sums, squares = ranks.sum(axis=0), (ranks**2).sum()
    freedom = (n - 1) * (k - 1)
    critical = stats.t.ppf(1 - level / 2, freedom) * math.sqrt(2 * (n * squares - (sums**2).sum()) / freedom)
    return (sums - sums.min() > critical) & (stats.friedmanchisquare(*drawn.T).pvalue < level)


@pytest.mark.parametrize("level", [0.05, 0.3])
def test_conover_after_friedman(level):
    dropped = 0
    for seed in CASES:
        drawn = results(seed)
        worse = friedman_worse(drawn, level)
        assert worse.tolist() == conover(drawn, level).tolist()
        dropped += int(worse.sum())
    assert dropped > 100


def test_always_the_same_ranking():
    """No spread of the ranks: every difference is significant as soon as Friedman's test is."""
    drawn = np.tile([0.1, 0.2, 0.3], (4, 1))
    assert friedman_p(drawn) == pytest.approx(math.exp(-4))
    assert friedman_worse(drawn, 0.05).tolist() == [False, True, True]
    assert friedman_worse(drawn[:2], 0.05).tolist() == [False, False, False]  # exp(-2) = 0.135
    assert friedman_worse(np.tile([0.2, 0.2, 0.3], (6, 1)), 0.05).tolist() == [False, False, True]


def test_two_configurations_are_compared_by_their_signed_ranks():
    better, worse = np.arange(6.0), np.arange(6.0) + np.array([1, 2, 3, 4, 5, 6])
    assert stats.wilcoxon(better, worse, method="exact").pvalue == 2 / 64
    assert friedman_worse(np.array([better, worse]).T, 0.05).tolist() == [False, True]
    assert friedman_worse(np.array([worse, better]).T, 0.05).tolist() == [True, False]
    assert friedman_worse(np.array([worse, better]).T[:5], 0.05).tolist() == [False, False]  # 2 / 32


def test_paired_t():
    for seed in CASES:
        drawn = results(seed)
        p = stats.ttest_rel(drawn[:, 1], drawn[:, 0], alternative="greater").pvalue
        assert paired_t_p(drawn[:, 1] - drawn[:, 0]) == pytest.approx(p, rel=1e-6, abs=1e-12)
        best = int(drawn.mean(axis=0).argmin())
        expected = [
            j != best and stats.ttest_rel(drawn[:, best], drawn[:, j], alternative="less").pvalue < 0.05
            for j in range(drawn.shape[1])
        ]
        assert t_worse(drawn, 0.05).tolist() == expected


def test_t_of_constant_differences_and_large_numbers():
    assert t_worse(np.tile([0.1, 0.2, 0.1], (3, 1)), 0.05).tolist() == [False, True, False]
    assert t_worse(np.full((3, 2), 1e300), 0.05).tolist() == [False, False]
    assert t_worse(np.array([[1e300, 1e290], [1.1e300, 1e290], [0.9e300, 1e291]]), 0.05).tolist() == [True, False]
    assert t_worse(np.zeros((3, 2)), 0.05).tolist() == [False, False]
