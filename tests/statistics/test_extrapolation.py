"""The chances that the extrapolation gives come true as often as it says, on curves that its bank does not hold.

Nothing can be exactly calibrated for every family of curves at once. What is held is that a small chance is right
within a factor of two, and that of the trials which the rule would stop no more than its threshold would have won.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks import extrapolation_calibration as calibration

RARE = 1e-3  # the probability that a calibrated estimator fails one of these tests


def check_small_chances(cases: np.ndarray) -> None:
    """Given a chance of about 5 %, half to twice as many come true; of all below 5 %, at most 5 %."""
    about = cases[(cases[:, 0] >= 0.02) & (cases[:, 0] < 0.1)]
    given, true = about[:, 0].mean(), int(about[:, 1].sum())
    assert binom.sf(true - 1, len(about), 2 * given) > RARE
    assert binom.cdf(true, len(about), given / 2) > RARE
    below = cases[cases[:, 0] < 0.05]
    assert below[:, 1].mean() <= 0.05
    assert len(below) > 0.3 * len(cases)  # it does decide


def check_order(cases: np.ndarray) -> None:
    """The larger the chance, the more come true."""
    shares = [
        cases[(cases[:, 0] >= low) & (cases[:, 0] < high), 1].mean()
        for low, high in ((0.0, 0.02), (0.02, 0.2), (0.2, 0.6), (0.6, 0.95), (0.95, 1.01))
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.05 and shares[-1] > 0.7


@pytest.mark.slow
def test_synthetic_curves():
    cases = calibration.synthetic_cases(1500, seed=1)
    check_small_chances(cases)
    check_order(cases)
    # it says more than how often a trial beats the best
    base = cases[:, 1].mean()
    assert np.mean((cases[:, 0] - cases[:, 1]) ** 2) < base * (1 - base) / 2


@pytest.mark.slow
def test_synthetic_curves_many():
    check_small_chances(calibration.synthetic_cases(4000, seed=2))


@pytest.mark.slow
def test_classifiers_on_digits():
    """Drawn from 40 curves, so no independent cases: the bounds are those on shares alone."""
    cases = calibration.digits_cases(calibration.digits_curves(40, 30, seed=3), 400, seed=3)
    about = cases[(cases[:, 0] >= 0.02) & (cases[:, 0] < 0.1)]
    assert about[:, 1].mean() <= 0.1
    below = cases[cases[:, 0] < 0.05]
    assert below[:, 1].mean() <= 0.05
    assert len(below) > 0.2 * len(cases)
    check_order(cases)
