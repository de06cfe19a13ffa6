"""The arrays that models learn from: what was observed, kept up to date."""

from __future__ import annotations

import math

import numpy as np

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.space import Choice, Condition, Float, Parameter, Space
from kt_ext.searchers.evidence import Evidence

SPACE = Space([Parameter("m", Choice(("a", "b"))), Parameter("x", Float(0, 1), (Condition("m", ("b",)),))])


def record(history: History, trial_id: int, *objectives: float) -> None:
    for objective in objectives:
        history.record(Observation(trial_id, history.epochs_of(trial_id) + 1, objective))


def some() -> History:
    """Trial 7 has ended, 3 runs without a report, 5 runs."""
    history = History()
    for trial_id, values in ((7, {"m": "a"}), (3, {"m": "b", "x": 0.25}), (5, {"m": "b", "x": 1.0})):
        history.start(trial_id, values)
    record(history, 7, 0.5, 0.75, 0.25)
    record(history, 5, math.inf, 0.5)
    history.end(7)
    return history


def test_a_row_for_each_trial_in_the_order_of_start():
    evidence = Evidence().follow(some(), SPACE)
    assert evidence.ids == [7, 3, 5]
    np.testing.assert_array_equal(evidence.units, [[0.25, math.nan], [0.75, 0.25], [0.75, 1.0]])
    assert evidence.epochs.tolist() == [3, 0, 2]
    assert evidence.running.tolist() == [False, True, True]


def test_the_best_objective_up_to_an_epoch():
    evidence = Evidence().follow(some(), SPACE)
    assert [evidence.best_until(0, epoch) for epoch in (0, 1, 2, 3, 9)] == [math.inf, 0.5, 0.5, 0.25, 0.25]
    assert [evidence.best_until(1, epoch) for epoch in (1, 9)] == [math.inf, math.inf]
    assert [evidence.best_until(2, epoch) for epoch in (1, 2)] == [math.inf, 0.5]
    rows, best = evidence.at(2)
    assert (rows.tolist(), best.tolist()) == ([0, 2], [0.5, 0.5])


def test_the_highest_epoch_that_so_many_reached():
    evidence = Evidence().follow(some(), SPACE)
    assert [evidence.highest(at_least) for at_least in (1, 2, 3, 4)] == [3, 2, 0, 0]


def test_an_epoch_that_was_left_out():
    history = History()
    history.start(0, {"m": "a"})
    for epoch, objective in ((2, 0.5), (4, 0.25)):
        history.record(Observation(0, epoch, objective))
    evidence = Evidence().follow(history, SPACE)
    assert [evidence.best_until(0, epoch) for epoch in (1, 2, 3, 4)] == [math.inf, 0.5, 0.5, 0.25]


def same(left: Evidence, right: Evidence) -> bool:
    return (
        left.ids == right.ids
        and np.array_equal(left.units, right.units, equal_nan=True)
        and left.epochs.tolist() == right.epochs.tolist()
        and left.running.tolist() == right.running.tolist()
        and [left.at(epoch)[1].tolist() for epoch in range(6)] == [right.at(epoch)[1].tolist() for epoch in range(6)]
    )


def test_followed_step_by_step_it_is_as_if_read_at_once():
    history, evidence = some(), Evidence()
    evidence.follow(history, SPACE)
    history.start(9, {"m": "a"})
    record(history, 3, 0.75, 0.125)
    history.end(5)
    evidence.follow(history, SPACE)
    record(history, 9, 0.0)
    history.resume(7)
    record(history, 7, 0.0625)
    assert same(evidence.follow(history, SPACE), Evidence().follow(history, SPACE))


def test_values_that_change_are_counted_and_encoded_anew():
    history, evidence = some(), Evidence()
    assert evidence.follow(history, SPACE).changes == 0
    history.assign(3, {"m": "b", "x": 0.5})
    assert evidence.follow(history, SPACE).changes == 1
    assert evidence.units[1].tolist() == [0.75, 0.5]
    history.start(9, {"m": "a"})
    assert evidence.follow(history, SPACE).changes == 1


def test_another_space_or_history_is_read_afresh():
    evidence = Evidence()
    evidence.follow(some(), SPACE)
    grown = Space([*SPACE.parameters, Parameter("y", Float(0, 1))])
    np.testing.assert_array_equal(evidence.follow(some(), grown).units[:, 2], [math.nan] * 3)
    other = History()
    other.start(0, {"m": "b", "x": 0.0})
    assert same(evidence.follow(other, SPACE), Evidence().follow(other, SPACE))
    assert evidence.ids == [0]
    assert evidence.follow(History(), SPACE).units.shape == (0, 2)


def test_one_that_ended_without_a_report_counts_as_bad():
    """It failed, or its model broke a constraint; one that is still running may yet do well."""
    history, space = History(), Space([Parameter("x", Float(0.0, 1.0))])
    for trial_id in range(3):
        history.start(trial_id, {"x": trial_id / 4})
    record(history, 0, 0.5)
    history.end(1)
    evidence = Evidence().follow(history, space)
    assert evidence.epochs.tolist() == [1, 1, 0]
    assert [evidence.best_until(row, 1) for row in range(3)] == [0.5, math.inf, math.inf]
