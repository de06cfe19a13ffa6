"""A mixture of normal distributions."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from kt_ext.estimators import Mixture


def test_one_component_is_a_normal_distribution():
    mixture, normal = Mixture(np.array([1.0]), np.array([3.0]), np.array([2.0])), NormalDist(3, 2)
    assert (mixture.mean, mixture.std) == pytest.approx((3, 2))
    for y in (-1.0, 3.0, 4.5):
        assert mixture.probability_below(y) == pytest.approx(normal.cdf(y))
    for q in (0.001, 0.5, 0.9):
        assert mixture.quantile(q) == pytest.approx(normal.inv_cdf(q))


def test_two_components():
    mixture = Mixture(np.array([0.25, 0.75]), np.array([0.0, 4.0]), np.array([1.0, 1e-9]))
    assert mixture.mean == pytest.approx(3.0)
    assert mixture.std == pytest.approx(np.sqrt(0.25 * 1 + 0.25 * 9 + 0.75 * 1))
    assert mixture.probability_below(0.0) == pytest.approx(0.125)
    assert mixture.probability_below(3.9) == pytest.approx(0.25, abs=1e-4)
    assert mixture.quantile(0.125) == pytest.approx(0.0, abs=1e-9)
    assert mixture.quantile(0.6) == pytest.approx(4.0)


@pytest.mark.parametrize("q", [0, 1, -0.1, float("nan")])
def test_quantiles_out_of_range(q):
    with pytest.raises(ValueError, match=r"^q=.*: must be in \(0, 1\)"):
        Mixture(np.array([1.0]), np.array([0.0]), np.array([1.0])).quantile(q)
