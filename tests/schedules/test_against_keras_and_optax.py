"""base * schedule(step) is what Keras's own class gives, and Optax's where Keras has none."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kt_ext import schedules as ours
from reference import optax_schedules as optax

theirs = keras.optimizers.schedules
BASE = 0.3
STEPS = range(130)

IN_KERAS = {
    "exponential": (ours.ExponentialDecay(7, 0.9), theirs.ExponentialDecay(BASE, 7, 0.9)),
    "exponential, staircase": (
        ours.ExponentialDecay(8, 0.9, staircase=True),
        theirs.ExponentialDecay(BASE, 8, 0.9, staircase=True),
    ),
    "step": (ours.StepDecay(8, 0.5), theirs.ExponentialDecay(BASE, 8, 0.5, staircase=True)),
    "inverse time": (ours.InverseTimeDecay(7, 0.5), theirs.InverseTimeDecay(BASE, 7, 0.5)),
    "inverse time, staircase": (
        ours.InverseTimeDecay(8, 0.5, staircase=True),
        theirs.InverseTimeDecay(BASE, 8, 0.5, staircase=True),
    ),
    "polynomial": (ours.PolynomialDecay(40, 0.1), theirs.PolynomialDecay(BASE, 40, 0.1 * BASE)),
    "polynomial, power": (
        ours.PolynomialDecay(40, 0.1, power=2.5),
        theirs.PolynomialDecay(BASE, 40, 0.1 * BASE, power=2.5),
    ),
    "polynomial, cycle": (
        ours.PolynomialDecay(16, 0.1, power=2.0, cycle=True),
        theirs.PolynomialDecay(BASE, 16, 0.1 * BASE, power=2.0, cycle=True),
    ),
    "cosine": (ours.CosineDecay(40), theirs.CosineDecay(BASE, 40)),
    "cosine, end": (ours.CosineDecay(40, 0.1), theirs.CosineDecay(BASE, 40, 0.1)),
    "restarts": (ours.CosineRestarts(16), theirs.CosineDecayRestarts(BASE, 16)),
    "restarts, all equal": (
        ours.CosineRestarts(16, longer=1.0, lower=0.5, end=0.1),
        theirs.CosineDecayRestarts(BASE, 16, 1.0, 0.5, 0.1),
    ),
    "restarts, lower": (
        ours.CosineRestarts(10.3, longer=1.5, lower=0.8, end=0.05),
        theirs.CosineDecayRestarts(BASE, 10.3, 1.5, 0.8, 0.05),
    ),
    "warm-up": (
        ours.Warmup(10, 0.1, ours.CosineDecay(40, 0.2)),
        theirs.CosineDecay(0.1 * BASE, 40, 0.2, warmup_target=BASE, warmup_steps=10),
    ),
    "piecewise constant": (
        ours.PiecewiseConstant((10, 50), (1.0, 0.5, 0.1)),
        theirs.PiecewiseConstantDecay([10, 50], [BASE, 0.5 * BASE, 0.1 * BASE]),
    ),
}

IN_OPTAX = {
    "exponential": (ours.ExponentialDecay(7, 0.9), optax.exponential_decay(BASE, 7, 0.9)),
    "exponential, staircase": (ours.StepDecay(7, 0.9), optax.exponential_decay(BASE, 7, 0.9, staircase=True)),
    "polynomial": (ours.PolynomialDecay(40, 0.1, 2.5), optax.polynomial_schedule(BASE, 0.1 * BASE, 2.5, 40)),
    "cosine": (ours.CosineDecay(40, 0.1), optax.cosine_decay_schedule(BASE, 40, 0.1)),
    "cosine one-cycle": (ours.OneCycle(100), optax.cosine_onecycle_schedule(100, BASE)),
    "cosine one-cycle, all else": (
        ours.OneCycle(97, up=0.2, start=0.1, end=0.01),
        optax.cosine_onecycle_schedule(97, BASE, 0.2, 10.0, 100.0),
    ),
    "linear one-cycle": (ours.OneCycle(100, shape="linear"), optax.linear_onecycle_schedule(100, BASE)),
    "linear one-cycle, all else": (
        ours.OneCycle(97, up=0.2, start=0.1, end=0.01, shape="linear", down=0.7),
        optax.linear_onecycle_schedule(97, BASE, 0.2, 0.7, 10.0, 100.0),
    ),
    "warm-up": (
        ours.Warmup(10, 0.1, ours.CosineDecay(40, 0.01)),
        optax.warmup_cosine_decay_schedule(0.1 * BASE, BASE, 10, 50, 0.01 * BASE),
    ),
    "chain": (
        ours.Chain([ours.CosineDecay(20), ours.Constant(0.5), ours.ExponentialDecay(5, 0.8)], [20, 60]),
        optax.join_schedules(
            [optax.cosine_decay_schedule(BASE, 20), lambda step: 0.5 * BASE, optax.exponential_decay(BASE, 5, 0.8)],
            [20, 60],
        ),
    ),
    "restarts": (
        ours.CosineRestarts(10),
        optax.join_schedules([optax.cosine_decay_schedule(BASE, 10 * 2**n) for n in range(4)], [10, 30, 70]),
    ),
}


@pytest.mark.parametrize("name", IN_KERAS)
def test_as_in_keras(name):
    mine, keras_schedule = IN_KERAS[name]
    expected = [float(keras_schedule(np.float32(step))) for step in STEPS]
    np.testing.assert_allclose([BASE * mine(step) for step in STEPS], expected, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("name", IN_OPTAX)
def test_as_in_optax(name):
    mine, optax_schedule = IN_OPTAX[name]
    expected = [float(optax_schedule(step)) for step in STEPS]
    np.testing.assert_allclose([BASE * mine(step) for step in STEPS], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("longer", [1.0, 1.1, 1.5, 2.0, 3.0])
def test_each_restart_is_exact(longer):
    """The logarithm that finds the period is rounded; the first step of a period is at the top all the same."""
    schedule, start = ours.CosineRestarts(7.0, longer=longer, lower=0.9), 0.0
    for period in range(1, 30):
        start = 7.0 * (period if longer == 1 else (longer**period - 1) / (longer - 1))
        assert schedule(start * (1 + 1e-12)) == pytest.approx(0.9**period, rel=1e-6), period
        assert schedule(start * (1 - 1e-9)) == pytest.approx(0.0, abs=1e-6), period
