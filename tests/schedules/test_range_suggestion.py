"""The range test's schedule and what is read from its losses."""

from __future__ import annotations

import math

import pytest

from kt_ext.schedules import RangeTest, suggest_learning_rate
from kt_ext.schedules.range_test import length_of_descent, smooth


def test_rates():
    schedule = RangeTest(1e-4, 1e-1, steps=4)
    assert [schedule(step) for step in range(6)] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1e-1, 1e-1])


def test_the_steepest_descent_over_the_logarithm():
    rates = [0.001, 0.01, 0.02, 0.04, 1.0]
    # by 0.5 over a tenfold rate, by 0.4 over a doubled one: the second is steeper; by 0.1 least
    assert suggest_learning_rate(rates, [3.0, 2.5, 2.1, 2.0, 2.5], smoothing=0) == 0.01
    assert suggest_learning_rate(rates, [3.0, 2.9, 2.8, 2.0, 2.5], smoothing=0) == 0.02


def test_smoothing_is_corrected_for_its_start():
    assert smooth([2.0, 2.0, 2.0], 0.98) == pytest.approx([2.0, 2.0, 2.0])
    assert smooth([1.0, 4.0], 0.5) == pytest.approx([1.0, (0.25 * 1 + 0.5 * 4) / 0.75])


@pytest.mark.parametrize(
    ("losses", "count"),
    [
        ([3.0, 2.0, 1.0, 3.9, 4.1, 0.1], 4),  # more than four times the best
        ([3.0, 2.0, math.nan, 1.0], 2),
        ([3.0, math.inf], 1),
        ([math.nan], 0),
        ([-1.0, -2.0, 5.0], 3),  # a loss below zero has no such measure
        ([1.0, 1.0], 2),
    ],
)
def test_where_losses_diverge(losses, count):
    assert length_of_descent(losses, smoothing=0.0) == count


def test_a_fall_after_the_divergence_does_not_count():
    rates = [0.001, 0.01, 0.1, 1.0, 10.0]
    assert suggest_learning_rate(rates, [3.0, 2.9, 2.0, 90.0, 1.0], smoothing=0) == 0.01


@pytest.mark.parametrize(
    ("rates", "losses", "message"),
    [
        ([0.1, 0.2], [1.0], "losses: are 1, and the rates 2"),
        ([0.2, 0.1], [1.0, 0.5], "rates: must be positive and strictly ascending"),
        ([0.1, 0.2], [1.0, 1.5], "losses: never fell from batch 0 to 2, where"),
        ([0.1, 0.2], [math.nan, 1.5], "losses: never fell from batch 0 to 0, where"),
    ],
)
def test_what_cannot_be_read(rates, losses, message):
    with pytest.raises(ValueError, match=message):
        suggest_learning_rate(rates, losses)


def test_the_first_tenth_does_not_count():
    rates = [0.01 * 2**n for n in range(20)]
    losses = [9.0, 5.0, 4.9, 4.8, 4.7, 4.6, 4.0, *[3.9] * 13]
    assert suggest_learning_rate(rates, losses, smoothing=0) == rates[5]
