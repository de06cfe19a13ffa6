"""Our domains draw what Keras Tuner's hyperparameters draw."""

from __future__ import annotations

import math

import numpy as np
import pytest
from keras_tuner.engine import hyperparameters as hp_module

from kt_ext.core.space import Boolean, Choice, Fixed, Float, Int

SCALES = ("linear", "log", "reverse_log")
UNITS = np.random.default_rng(0).random(200).tolist()


def random_floats(scale: str, stepped: bool, number: int = 200):
    rng = np.random.default_rng(number)
    for _ in range(number):
        low = float(rng.choice([rng.uniform(0.01, 1), rng.uniform(1, 100), 10.0 ** rng.integers(-5, 2)]))
        if scale == "linear" and rng.random() < 0.5:
            low = -low
        high = low + abs(low) * float(rng.choice([0.0, 0.5, 3.0, 99.0, 1e4]))
        step = None
        if stepped and scale == "linear":
            # Not a divisor of the range, where Keras Tuner's // may miss the upper end: see the test below.
            step = (high - low) / (int(rng.integers(1, 20)) + 0.5) or 1.0
        elif stepped:
            step = float(rng.choice([1.5, 2.0, 10.0]))
        yield low, high, step


def random_ints(scale: str, stepped: bool, number: int = 200):
    rng = np.random.default_rng(number)
    for _ in range(number):
        low = int(rng.integers(1, 1000)) - (500 if scale == "linear" else 0)
        high = low + int(rng.choice([0, 1, 7, 100, 100_000]))
        step = int(rng.integers(1 if scale == "linear" else 2, 20)) if stepped else None
        yield low, high, step


@pytest.mark.parametrize("stepped", [False, True])
@pytest.mark.parametrize("scale", SCALES)
def test_floats(scale, stepped):
    for low, high, step in random_floats(scale, stepped):
        theirs = hp_module.Float("p", low, high, step=step, sampling=scale)
        ours = Float(low, high, step, scale)
        for unit in UNITS:
            # Only the bounds may tell the two apart.
            expected = min(max(theirs.prob_to_value(unit), low), high)
            assert ours.from_unit(unit) == expected
            assert type(ours.from_unit(unit)) is float
        for unit in UNITS[:20]:
            value = ours.from_unit(unit)
            back = ours.to_unit(value)
            if step is None:
                assert back == pytest.approx(min(max(theirs.value_to_prob(value), 0.0), 1.0))
            else:
                # The centre of its step, which is theirs too unless // loses a step to rounding.
                assert ours.from_unit(back) == value
                lost = 1 / ours.count if scale == "linear" else 0.0
                assert theirs.value_to_prob(value) == pytest.approx(back) or (
                    theirs.value_to_prob(value) == pytest.approx(back - lost)
                )


@pytest.mark.parametrize("stepped", [False, True])
@pytest.mark.parametrize("scale", SCALES)
def test_ints(scale, stepped):
    for low, high, step in random_ints(scale, stepped):
        theirs = hp_module.Int("p", low, high, step=step, sampling=scale)
        ours = Int(low, high, step, scale)
        for unit in UNITS:
            value = ours.from_unit(unit)
            assert type(value) is int and low <= value <= high
            assert value == min(max(theirs.prob_to_value(unit), low), high)
            assert ours.to_unit(value) == pytest.approx(theirs.value_to_prob(value))


@pytest.mark.parametrize("values", [("a", "b", "c"), (4, 1, 2), (0.1, 0.2), ("x", "x", "y"), ("one",)])
def test_choices(values):
    theirs, ours = hp_module.Choice("p", list(values)), Choice(values)
    assert [ours.from_unit(unit) for unit in UNITS] == [theirs.prob_to_value(unit) for unit in UNITS]
    assert [ours.to_unit(value) for value in values] == [theirs.value_to_prob(value) for value in values]


def test_booleans_and_fixed():
    for theirs, ours in ((hp_module.Boolean("p"), Boolean()), (hp_module.Fixed("p", 3), Fixed(3))):
        drawn = [theirs.prob_to_value(unit) for unit in [*UNITS, 0.5]]
        assert [ours.from_unit(unit) for unit in [*UNITS, 0.5]] == drawn
        assert [ours.to_unit(value) for value in drawn] == [theirs.value_to_prob(value) for value in drawn]


@pytest.mark.parametrize(("high", "step", "values"), [(1.0, 0.1, 11), (0.5, 0.1, 6), (0.7, 0.1, 8), (0.6, 0.2, 4)])
def test_the_upper_end_that_keras_tuner_never_draws(high, step, values):
    """Its documentation lists the upper end among the values; (high - low) // step is one too small by rounding."""
    almost_one = 1 - 2**-53
    assert hp_module.Float("p", 0.0, high, step=step).prob_to_value(almost_one) == pytest.approx(high - step)
    ours = Float(0.0, high, step)
    assert ours.from_unit(almost_one) == high
    assert ours.count == values


def test_the_values_that_keras_tuner_draws_out_of_bounds():
    """Rounding lifts its logarithmic floats above max_value; ours are clipped."""
    rng = np.random.default_rng(0)
    outside = 0
    for _ in range(2000):
        low, high = sorted(10 ** rng.uniform(-6, 2, 2))
        theirs = hp_module.Float("p", low, high, sampling="log").prob_to_value(math.nextafter(1.0, 0.0))
        outside += theirs > high
        assert low <= Float(low, high, scale="log").from_unit(math.nextafter(1.0, 0.0)) <= high
    assert outside > 0
