"""Which observations a model over values and epochs learns from, and on which scale."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.space import Float, Parameter, Space
from kt_ext.searchers.evidence import Evidence
from kt_ext.searchers.fidelity_rows import epochs_after, rows_of, standardised

LINE = Space([Parameter("x", Float(0, 1))])


def trials(*curves: list[float]) -> tuple[History, Evidence]:
    """Trial k at x = k / 100; all report epoch 1 before any reports epoch 2."""
    history = History()
    for trial_id in range(len(curves)):
        history.start(trial_id, {"x": trial_id / 100})
    for epoch in range(1, max(map(len, curves)) + 1):
        for trial_id, curve in enumerate(curves):
            if epoch <= len(curve):
                history.record(Observation(trial_id, epoch, curve[epoch - 1]))
    return history, Evidence().follow(history, LINE)


def test_a_row_for_each_trial_with_a_report():
    _, evidence = trials([0.5, 0.75], [], [math.inf], [0.5, 0.25, 0.125])
    rows = rows_of(evidence, evidence.epochs, 10)
    np.testing.assert_allclose(rows.units, [[0.0], [0.02], [0.03]])
    assert rows.epochs.tolist() == [2, 1, 3]
    assert rows.objectives.tolist() == [0.5, math.inf, 0.125]
    assert rows_of(evidence, np.array([1, 0, 0, 2]), 10).objectives.tolist() == [0.5, 0.25]


def test_of_too_many_the_best_of_the_furthest_are_kept_and_some_of_the_others():
    # 3 epochs: trials 0 to 3, the later the better; 1 epoch: the other 20, all better than these
    _, evidence = trials(*([9.0, 9.0, 8.0 - trial] for trial in range(4)), *([0.0] for _ in range(20)))
    rows = rows_of(evidence, evidence.epochs, 6)
    # halves: 3, 2, 1; of 0, 4 ... 23 the first, the middle and the last
    np.testing.assert_allclose(100 * rows.units[:, 0], [0, 1, 2, 3, 13, 23], rtol=1e-9)
    assert rows.epochs.tolist() == [3, 3, 3, 3, 1, 1]
    assert rows.objectives.tolist() == [8.0, 7.0, 6.0, 5.0, 0.0, 0.0]


@pytest.mark.parametrize("at_most", [10, 11, 50, 98, 99])
def test_as_many_rows_as_asked_for_each_once(at_most):
    _, evidence = trials(*([float(trial % 7)] for trial in range(99)))
    units = rows_of(evidence, evidence.epochs, at_most).units[:, 0]
    assert len(units) == len(set(units.tolist())) == at_most


@pytest.mark.parametrize(
    ("reports", "expected"), [(0, [0, 0, 0]), (2, [1, 1, 0]), (4, [2, 1, 1]), (6, [3, 1, 2]), (9, [3, 1, 2])]
)
def test_how_far_trials_had_got_after_so_many_reports(reports, expected):
    history, evidence = trials([1.0, 1.0, 1.0], [1.0], [1.0, 1.0])  # in the order 0 1 2 0 2 0
    assert epochs_after(history, evidence, reports).tolist() == expected


def test_mean_0_and_deviation_1():
    scaled = standardised(np.array([1.0, 2.0, 3.0, 4.0]), 2.0)
    np.testing.assert_allclose(scaled, (np.arange(4) - 1.5) / math.sqrt(1.25))


def test_the_bad_are_cut_off_at_the_limit():
    """Median 3 and lower quartile 2: what is above 3 + 2 (3 - 2) = 5 counts as 5."""
    expected = standardised(np.array([1.0, 2.0, 3.0, 5.0, 5.0]), 9.0)
    np.testing.assert_allclose(standardised(np.array([1.0, 2.0, 3.0, 1e9, 7.0]), 2.0), expected)


def test_infinite_objectives_count_as_the_worst():
    scaled = standardised(np.array([1.0, math.inf, 2.0, 3.0, math.inf]), 9.0)
    assert scaled[1] == scaled[4] > scaled[3] > scaled[2] > scaled[0]
    assert np.isfinite(scaled).all()


@pytest.mark.parametrize("objectives", [[], [math.inf] * 3, [0.1] * 10])
def test_nothing_to_tell_apart(objectives):
    """The computed deviation of ten times 0.1 is not quite 0."""
    assert standardised(np.array(objectives), 2.0).tolist() == [0.0] * len(objectives)


def test_one_that_diverged_is_told_from_equal_ones():
    scaled = standardised(np.array([0.3, math.inf, 0.3]), 2.0)
    assert scaled[1] > scaled[0] == scaled[2]
