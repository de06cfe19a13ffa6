"""Patience, plateau and target: at which epoch a trial stops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kt_ext.core.simulate import simulate
from kt_ext.schedulers import FIFO, Patience, Plateau, Target
from kt_ext.schedulers.plateau import line_slope


def stopped_at(rule, curve):
    """The epochs that a trial with this curve is trained; ``rule`` takes a scheduler."""
    return simulate(rule(FIFO(1, len(curve))), lambda trial, epoch: curve[epoch - 1], workers=1).epochs[0]


@pytest.mark.parametrize(
    ("curve", "min_delta", "epochs"),
    [
        ([3, 2, 2, 2, 2, 2], 0.0, 5),
        ([3, 3, 3, 3, 3, 3], 0.0, 4),  # as Keras's EarlyStopping: the first epoch and three in vain
        ([3, 3, 3, 2, 2, 2], 0.0, 6),
        ([3, 2, 9, 1, 9, 9, 9, 0], 0.0, 7),
        ([3, 2.8, 2.6, 2.4, 2.2, 2.0], 0.5, 6),  # 0.6 in three epochs
        ([3, 2.9, 2.8, 2.7, 2.6, 2.5], 0.5, 4),  # 0.3 in three epochs
        ([3, 3, 3, 2.5, 2, 2], 0.5, 4),  # just min_delta is no improvement
        ([math.inf] * 3 + [5, 4, 3], 0.0, 6),
        ([math.inf] * 6, 0.0, 4),
        ([1, math.inf, math.inf, math.inf, 0], 0.0, 4),
    ],
)
def test_patience(curve, min_delta, epochs):
    assert stopped_at(lambda scheduler: Patience(scheduler, 3, min_delta), curve) == epochs


@pytest.mark.parametrize(
    ("curve", "epochs"),
    [
        ([0.5] * 8, 4),
        ([5, 4, 3, 2, 2, 2, 2, 2, 2, 2], 7),  # the first window without the fall
        ([1, 0.95, 0.9, 0.85, 0.8, 0.75], 6),  # 0.05 per epoch is more than 0.01
        ([1, 0.995, 0.99, 0.985, 0.98, 0.975], 4),
        ([0, 1, 2, 3, 4], 4),
        ([1, 0.5, 1, 0.5, 1, 0.5], 6),  # it may be falling beneath such noise
        ([math.inf] * 6, 4),
        ([math.inf, math.inf, math.inf, 1, 1, 1, 1, 1], 7),
        ([1e300] * 6, 4),
    ],
)
def test_plateau(curve, epochs):
    assert stopped_at(lambda scheduler: Plateau(scheduler, window=4, min_slope=0.01), curve) == epochs


def test_plateau_by_the_line_alone():
    assert stopped_at(lambda scheduler: Plateau(scheduler, 4, 0.15, standard_errors=0), [1, 0.5, 1, 0.5, 1, 0.5]) == 4


@pytest.mark.parametrize("seed", range(5))
def test_slope_and_standard_error_are_scipys(seed):
    from scipy.stats import linregress

    values = np.random.default_rng(seed).normal(size=3 + 5 * seed) * 10.0**seed
    fitted = linregress(np.arange(len(values)), values)
    assert line_slope(values) == pytest.approx((fitted.slope, fitted.stderr))


def test_noise_stops_few_trials_that_still_improve():
    """True gain 0.02 per epoch against 0.01, noise of 0.02: a window too short to tell them apart must not decide."""
    rng = np.random.default_rng(0)
    curves = [1 - 0.02 * np.arange(10) + 0.02 * rng.normal(size=10) for _ in range(1000)]
    cautious = sum(stopped_at(lambda scheduler: Plateau(scheduler, 10, 0.01), curve) < 10 for curve in curves)
    assert cautious == 0  # the window is filled by the last epoch only
    longer = [np.append(curve, curve[-1]) for curve in curves]
    cautious = sum(stopped_at(lambda scheduler: Plateau(scheduler, 10, 0.01), curve) < 11 for curve in longer)
    hasty = sum(stopped_at(lambda scheduler: Plateau(scheduler, 10, 0.01, 0), curve) < 11 for curve in longer)
    assert cautious <= 2 and hasty < 30


@pytest.mark.parametrize(
    ("target", "direction", "curve", "epochs"),
    [
        (0.5, "min", [0.9, 0.6, 0.5, 0.4], 3),
        (0.5, "min", [0.9, 0.6, 0.51, 0.501], 4),
        (0.5, "max", [-0.3, -0.5, -0.6], 2),
        (-1.0, "min", [math.inf, -2.0, -3.0], 2),
    ],
)
def test_target(target, direction, curve, epochs):
    assert stopped_at(lambda scheduler: Target(scheduler, target, direction), curve) == epochs


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: Patience(s, 0), "patience=0: must be an integer >= 1; give the epochs to wait for an improvement"),
        (lambda s: Patience(s, 3, -0.1), "min_delta=-0.1: must be a finite number >= 0; 0 counts every improvement"),
        (lambda s: Plateau(s, 2), "window=2: must be an integer >= 3; two points leave no scatter about their line"),
        (
            lambda s: Plateau(s, min_slope=math.nan),
            "min_slope=nan: must be a finite number >= 0; give the gain per epoch that is too little",
        ),
        (lambda s: Plateau(s, standard_errors="2"), "standard_errors='2': must be a finite number >= 0; 2 is usual"),
        (
            lambda s: Target(s, math.inf),
            "target=inf: must be a finite number; give the value of the metric that is good enough",
        ),
        (lambda s: Target(s, 0.5, "up"), "direction='up': must be 'min' or 'max', as the objective's"),
    ],
)
def test_arguments_out_of_range(make, message):
    with pytest.raises(ValueError) as caught:
        make(FIFO(1, 1))
    assert str(caught.value) == message
