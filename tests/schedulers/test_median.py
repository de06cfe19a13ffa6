"""The median stopping rule: which trial stops, at which epoch."""

from __future__ import annotations

import math

import pytest

from kt_ext.core.simulate import simulate
from kt_ext.schedulers import FIFO, MedianRule

# Running averages after 1, 2, 3, 4 epochs: 8 7 6 5 | 4 4 4 4 | 6 5 4 3
FIRST = [[8.0, 6.0, 4.0, 2.0], [4.0, 4.0, 4.0, 4.0], [6.0, 4.0, 2.0, 0.0]]


def epochs(last, workers=1, **arguments):
    curves = [*FIRST, last]
    rule = MedianRule(FIFO(4, 4), **{"min_trials": 3, **arguments})
    return simulate(rule, lambda trial, epoch: curves[trial][epoch - 1], workers=workers).epochs


@pytest.mark.parametrize(
    ("curve", "stopped_at"),
    [
        ([6.0, 5.0, 4.0, 4.0], 4),  # equal to the median 6, 5, 4 is not worse; at epoch 4 it is over anyway
        ([6.1, 0.0, 0.0, 0.0], 1),
        ([6.0, 5.1, 0.0, 0.0], 2),
        ([6.0, 5.0, 4.1, 0.0], 3),
        ([3.9, 9.0, 9.0, 9.0], 4),  # its best so far counts, not its latest
        ([math.inf, 0.0, 0.0, 0.0], 1),
    ],
)
def test_a_best_worse_than_the_median_of_the_averages(curve, stopped_at):
    assert epochs(curve) == {0: 4, 1: 4, 2: 4, 3: stopped_at}


def test_too_few_others():
    assert epochs([9.0, 9.0, 9.0, 9.0], min_trials=4)[3] == 4


def test_the_median_of_an_even_number_is_the_mean_of_the_middle_two():
    # of trials 0 and 1: 6 5.5 5 4.5; trial 2 is judged by them: 6, 4, 2, 0 is never worse
    assert epochs([6.0, 5.1, 4.1, 4.0], min_trials=2) == {0: 4, 1: 4, 2: 4, 3: 2}
    assert epochs([6.0, 5.0, 4.0, 4.0], min_trials=2) == {0: 4, 1: 4, 2: 4, 3: 4}


@pytest.mark.parametrize(
    ("warmup_epochs", "every", "stopped_at"), [(1, 1, 2), (2, 1, 3), (0, 2, 2), (0, 3, 3), (1, 2, 3)]
)
def test_when_trials_are_judged(warmup_epochs, every, stopped_at):
    assert epochs([9.0] * 4, warmup_epochs=warmup_epochs, every=every)[3] == stopped_at


def test_running_trials_count_among_the_others():
    """Four workers abreast: at each epoch trial 3 reports last, so it is judged by the three before it."""
    assert epochs([6.0, 5.1, 0.0, 0.0], workers=4) == {0: 4, 1: 4, 2: 4, 3: 2}


def test_diverged_trials_raise_the_median_only():
    curves = [[math.inf] * 2, [math.inf] * 2, [1.0, 1.0], [2.0, 2.0]]
    rule = MedianRule(FIFO(4, 2), min_trials=2)
    # the median of inf, inf, 1 is inf: nobody is worse
    assert simulate(rule, lambda trial, epoch: curves[trial][epoch - 1], workers=1).epochs == {0: 2, 1: 2, 2: 2, 3: 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"warmup_epochs": -1}, "warmup_epochs=-1: must be an integer >= 0; 0 judges from the start"),
        ({"min_trials": 0}, "min_trials=0: must be an integer >= 1; 5 is usual"),
        ({"every": 0}, "every=0: must be an integer >= 1; 1 judges after every epoch"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as caught:
        MedianRule(FIFO(1, 1), **arguments)
    assert str(caught.value) == message
