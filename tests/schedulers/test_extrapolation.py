"""The extrapolation rule: which trial stops, at which epoch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kt_ext.core.simulate import simulate
from kt_ext.estimators import CurveEstimator
from kt_ext.schedulers import ASHA, FIFO, ExtrapolationRule

EPOCHS = np.arange(1, 31)
GOOD = 0.1 + 0.8 * np.exp(-EPOCHS / 6)
BAD = 0.5 + 0.4 * np.exp(-EPOCHS / 2)
SLOW = 0.05 + 0.9 * np.exp(-EPOCHS / 10)  # behind the good one for most of its time, and better in the end


def epochs(*curves, workers=1, **arguments):
    rule = ExtrapolationRule(FIFO(len(curves), 30), **arguments)
    return simulate(rule, lambda trial, epoch: float(curves[trial][epoch - 1]), workers=workers).epochs


def first_below(curve, best, threshold=0.05, judged=range(4, 31)):
    """The first epoch at which the estimator gives the curve less than ``threshold`` to beat the best; else 30."""
    estimator = CurveEstimator()
    for epoch in judged:
        lowest = min(best, curve[:epoch].min())
        if epoch < 30 and estimator.chance_below(EPOCHS[:epoch], curve[:epoch], 30, lowest) < threshold:
            return epoch
    return 30


def test_a_bad_trial_stops_and_a_slow_one_that_will_win_does_not():
    assert epochs(GOOD, BAD, SLOW) == {0: 30, 1: 5, 2: 30}
    assert epochs(GOOD, BAD)[1] == first_below(BAD, GOOD.min())


def test_a_bad_trial_is_not_stopped_while_it_is_the_best():
    assert epochs(BAD, GOOD)[1] == 30
    assert epochs(BAD, GOOD)[0] == first_below(BAD, math.inf)


def test_running_trials_count():
    """Two workers abreast: the bad trial is judged by what the good one has reached by then."""
    together = epochs(GOOD, BAD, workers=2)
    assert together[0] == 30
    assert epochs(GOOD, BAD)[1] < together[1] < 30


@pytest.mark.parametrize(
    ("arguments", "judged"),
    [
        ({"min_epochs": 10}, range(10, 31)),
        ({"min_epochs": 5, "every": 4}, range(5, 31, 4)),
        ({"every": 7}, range(4, 31, 7)),
    ],
)
def test_when_trials_are_judged(arguments, judged):
    stopped_at = epochs(GOOD, BAD, **arguments)[1]
    assert stopped_at == first_below(BAD, GOOD.min(), judged=judged) < 30


def test_the_threshold():
    assert epochs(GOOD, BAD, threshold=0.0)[1] == 30
    assert epochs(GOOD, BAD, threshold=0.5)[1] == first_below(BAD, GOOD.min(), 0.5) < epochs(GOOD, BAD)[1]
    assert epochs(GOOD, BAD, threshold=1.0)[1] == 4


def test_infinite_objectives():
    diverges = GOOD.copy()
    diverges[5:] = math.inf
    assert epochs(GOOD, diverges)[1] == 6
    assert epochs(np.full(30, math.inf), np.full(30, math.inf)) == {0: 30, 1: 30}  # nobody is better
    returns = np.concatenate([np.full(6, math.inf), SLOW[:24]])
    assert epochs(returns)[0] == 30
    assert epochs(GOOD, returns)[1] == 4


def test_around_asha_it_judges_between_the_rungs():
    """Three trials go beyond rung 3; ASHA trains the two that lag behind to rung 9, the rule ends them on their way."""
    curves = [np.full(30, 0.95)] * 27
    curves[0], curves[9], curves[18] = GOOD, BAD, BAD

    def trained(scheduler):
        return simulate(scheduler, lambda trial, epoch: float(curves[trial][epoch - 1]), workers=1).epochs

    plain, ruled = trained(ASHA(27, max_trials=27)), trained(ExtrapolationRule(ASHA(27, max_trials=27)))
    assert [plain[trial] for trial in (0, 9, 18)] == [27, 9, 9]
    # Those two count at rung 9, which they never reach: a third of the three that set out for it goes on.
    assert [ruled[trial] for trial in (0, 9, 18)] == [27, 6, 6]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 1.5}, "threshold=1.5: must be a number in [0, 1]"),
        ({"min_epochs": 2}, "min_epochs=2: must be an integer >= 3; two points say nothing of a curve"),
        ({"every": 0}, "every=0: must be an integer >= 1; 1 judges after every epoch"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as caught:
        ExtrapolationRule(FIFO(1, 1), **arguments)
    assert str(caught.value) == message
