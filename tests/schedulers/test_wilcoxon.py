"""The Wilcoxon rule: which trial stops, at which epoch; and the test it rests on, against scipy's and brute force."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from kt_ext.core.simulate import simulate
from kt_ext.schedulers import FIFO, WilcoxonRule
from kt_ext.schedulers.signed_rank import signed_rank_p

BEST = [0.5, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]


def epochs(second, first=BEST, **arguments):
    """How long trial 1 trains after trial 0, whose curve is ``first``."""
    curves = [first, second]
    rule = WilcoxonRule(FIFO(2, len(first)), **arguments)
    found = simulate(rule, lambda trial, epoch: curves[trial][epoch - 1], workers=1).epochs
    assert found[0] == len(first)  # nobody to compare the first with
    return found[1]


def test_a_trial_above_the_best_in_every_epoch():
    """After n such epochs p = 2**-n: 1/32 < 0.05 at the fifth, 1/128 < 0.01 at the seventh."""
    worse = [objective + 0.2 for objective in BEST]
    assert epochs(worse) == 5
    assert epochs(worse, p_threshold=0.01) == 7
    assert epochs(worse, p_threshold=0.0) == 8
    assert epochs(worse, warmup_epochs=5) == 6
    assert epochs(worse, every=3) == 6
    assert epochs(worse, warmup_epochs=1, every=2) == 5


def test_a_difference_within_the_spread_of_the_last_epochs_does_not_decide():
    falling = [objective + 0.02 for objective in BEST]
    # over epochs 1-5, 2-6 and 3-7 the best's standard deviations are 0.08, 0.04 and 0
    assert epochs(falling) == 7
    assert epochs(falling, window=3) == 5


def test_equal_curves_and_better_ones_go_on():
    assert epochs(BEST) == 8
    assert epochs([objective - 0.1 for objective in BEST]) == 8


def test_a_worse_beginning_alone_does_not_decide():
    curve = [0.9, 0.8, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3]
    assert signed_rank_p(np.subtract(curve, BEST)) == 1 / 8
    assert epochs(curve, p_threshold=0.13, warmup_epochs=4, window=2) == 8


def test_the_best_itself_is_not_stopped():
    """Trial 1 has the best epoch of all and is above trial 0 in the others."""
    assert epochs([0.1] + [0.9] * 7) == 8


def test_infinite_objectives():
    assert epochs([math.inf] * 8) == 5
    assert epochs(BEST, first=[0.2] + [math.inf] * 7) == 8  # no difference shows where the best has diverged
    assert epochs([math.inf] * 8, first=[math.inf] * 8) == 8


def exact_p(differences):
    """The share of all assignments of signs whose rank sum is no less than the one observed."""
    from scipy.stats import rankdata

    differences = differences[differences != 0]
    ranks = rankdata(np.abs(differences))
    signs = np.array(list(product((0, 1), repeat=len(ranks))))
    return np.mean(signs @ ranks >= (differences > 0) @ ranks)


def test_signed_rank_against_scipy_on_a_thousand_cases():
    from scipy.stats import wilcoxon

    rng = np.random.default_rng(0)
    for _ in range(500):
        differences = rng.normal(rng.normal(0, 0.3), 1, rng.integers(1, 51))
        expected = wilcoxon(differences, alternative="greater", method="exact").pvalue
        assert signed_rank_p(differences) == pytest.approx(expected, rel=1e-9)
    for _ in range(500):  # with ties and zeros
        differences = rng.integers(-5, rng.integers(5, 8), rng.integers(70, 200)).astype(float)
        # newer versions of scipy call the method "asymptotic" and know this name too
        expected = wilcoxon(differences, alternative="greater", method="approx").pvalue
        assert signed_rank_p(differences) == pytest.approx(expected, rel=1e-9)


def test_signed_rank_with_ties_and_zeros_against_all_assignments():
    rng = np.random.default_rng(1)
    for _ in range(200):
        differences = rng.integers(-3, 5, rng.integers(1, 11)).astype(float)
        if differences.any():
            assert signed_rank_p(differences) == pytest.approx(exact_p(differences), rel=1e-12)


def test_signed_rank_of_zeros_and_infinities():
    assert signed_rank_p(np.zeros(9)) == 1.0
    assert signed_rank_p(np.array([])) == 1.0
    assert signed_rank_p(np.full(5, math.inf)) == pytest.approx(1 / 32)
    assert signed_rank_p(np.array([1.0, 2.0, -math.inf])) == pytest.approx(5 / 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"p_threshold": 1.5}, "p_threshold=1.5: must be a number in [0, 1]"),
        ({"warmup_epochs": -1}, "warmup_epochs=-1: must be an integer >= 0; 0 judges from the start"),
        ({"window": 1}, "window=1: must be an integer >= 2; one epoch has no spread"),
        ({"every": 0}, "every=0: must be an integer >= 1; 1 judges after every epoch"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as caught:
        WilcoxonRule(FIFO(1, 1), **arguments)
    assert str(caught.value) == message
