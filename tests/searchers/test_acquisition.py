"""Expected improvement: the literal formula, its far tail, and arguments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kt_ext.searchers.acquisition import expected_improvement, log_expected_improvement


def literal(mean: float, std: float, best: float) -> float:
    """Jones, Schonlau and Welch, 1998, equation 15."""
    z = (best - mean) / std
    cumulative = 0.5 * math.erfc(-z / math.sqrt(2))
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return (best - mean) * cumulative + std * density


def test_the_literal_formula():
    rng = np.random.default_rng(0)
    mean, std = rng.normal(0, 3, 1000), rng.uniform(0.5, 2, 1000)
    expected = [literal(m, s, 0.3) for m, s in zip(mean, std, strict=True)]
    np.testing.assert_allclose(expected_improvement(mean, std, 0.3), expected, rtol=1e-9)
    np.testing.assert_allclose(log_expected_improvement(mean, std, 0.3), np.log(expected), rtol=1e-9)


@pytest.mark.parametrize("z", [-50.0, -1e3, -1e5, -6e7, -7e7, -1e9])
def test_far_from_the_incumbent(z):
    """Where the formula underflows: the asymptotic series phi(z) / z^2 (1 - 3 / z^2 + 15 / z^4)."""
    series = -z * z / 2 - math.log(2 * math.pi) / 2 - 2 * math.log(-z) + math.log1p(-3 / z**2 + 15 / z**4)
    (found,) = log_expected_improvement(np.array([-z]), np.array([1.0]), 0.0)
    assert found == pytest.approx(series, rel=1e-12, abs=1e-6)


@pytest.mark.parametrize("seam", [-1.0, -1 / math.sqrt(np.finfo(float).eps)])
def test_no_jump_where_the_formula_changes(seam):
    z = seam * np.array([1 - 1e-9, 1 + 1e-9])
    left, right = log_expected_improvement(-z, np.ones(2), 0.0)
    slope = -z.mean() + 2 / -z.mean()
    assert left - right == pytest.approx(slope * (z[0] - z[1]), rel=1.0, abs=1e-7)
    assert left > right


def test_nearer_is_better_however_far():
    mean = np.logspace(0, 12, 500)
    logarithm = log_expected_improvement(mean, np.ones(500), 0.0)
    assert np.isfinite(logarithm).all()
    assert (np.diff(logarithm) < 0).all()


def test_a_certain_prediction():
    mean = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(expected_improvement(mean, np.zeros(3), 2.5), [1.5, 0.5, 0.0])
    np.testing.assert_array_equal(log_expected_improvement(mean, np.zeros(3), 2.0), [0.0, -np.inf, -np.inf])


def test_wrong_arguments():
    with pytest.raises(ValueError, match="best=nan: must be a number"):
        expected_improvement(np.zeros(1), np.ones(1), math.nan)
    with pytest.raises(ValueError, match=r"std=-1.0: must be >= 0"):
        expected_improvement(np.zeros(2), np.array([1.0, -1.0]), 0.0)
