"""What a strategy sees of a search: which trials can be compared, by which objectives, in which order."""

from __future__ import annotations

import numpy as np

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.nas.limits import Limits
from kt_ext.nas.records import Records
from nas.strategy_table import Bag, copied, cost

SPACE = Bag()
ARCHS = [SPACE.repair({"depth": 2, "op1": first, "op2": second}) for first in "abc" for second in "abc"]


def started(n: int) -> History:
    history = History()
    for number in range(n):
        history.start(number, SPACE.values(ARCHS[number]))
    return history


def scored(history: History, at_least: int) -> list[tuple[int, float]]:
    found = Records(SPACE, 50).follow(history).scored(at_least)
    return [(one.number, float(objective)) for one, objective in zip(found.records, found.objectives, strict=True)]


def report(history: History, *rows: tuple[int, int, float]) -> None:
    for number, epoch, objective in rows:
        history.record(Observation(number, epoch, objective))


def test_too_few_are_none() -> None:
    history = started(3)
    report(history, (0, 1, 0.5), (1, 1, 0.4))
    assert scored(history, 3) == []
    assert scored(history, 2) == [(0, 0.5), (1, 0.4)]
    assert scored(started(0), 1) == []


def test_the_best_up_to_the_highest_epoch_that_so_many_reached() -> None:
    history = started(3)
    report(history, (0, 1, 0.5), (0, 2, 0.7), (0, 3, 0.1), (1, 1, 0.6), (1, 2, 0.4), (2, 1, 0.3))
    assert scored(history, 1) == [(0, 0.1)]
    assert scored(history, 2) == [(0, 0.5), (1, 0.4)]
    assert scored(history, 3) == [(0, 0.5), (1, 0.6), (2, 0.3)]


def test_in_the_order_in_which_they_got_there() -> None:
    history = started(3)
    report(history, (2, 1, 0.3), (0, 1, 0.5), (1, 1, 0.6), (1, 2, 0.4), (2, 2, 0.2))
    assert scored(history, 3) == [(2, 0.3), (0, 0.5), (1, 0.6)]
    assert scored(history, 2) == [(1, 0.4), (2, 0.2)]


def test_reports_of_some_epochs_alone() -> None:
    """The first one counts for what was before it, the last one before for what is between."""
    history = started(3)
    report(history, (0, 3, 0.3), (1, 1, 0.6), (1, 5, 0.1), (2, 2, 0.5))
    assert scored(history, 3) == [(0, 0.3), (1, 0.6), (2, 0.5)]


def test_one_that_ended_without_a_report_is_the_worst_and_the_oldest() -> None:
    history = started(4)
    report(history, (1, 1, 0.6), (2, 1, np.inf))
    history.end(3)
    assert scored(history, 1) == [(3, np.inf), (1, 0.6), (2, np.inf)]
    assert scored(history, 3) == [(3, np.inf), (1, 0.6), (2, np.inf)]
    assert scored(history, 4) == []  # trial 0 is running


def test_following_step_by_step_is_reading_it_at_once() -> None:
    history, records = started(0), Records(SPACE, 50)
    rng = np.random.default_rng(1)
    for number in range(9):
        history.start(number, SPACE.values(ARCHS[number]))
        for trial in history.pending:
            report(history, (trial, history.epochs_of(trial) + 1, float(rng.random())))
        if number % 3 == 2:
            history.end(number - 2)
        records.follow(history)
        for at_least in (1, 4, 9):
            found = records.scored(at_least)
            pairs = [(one.number, float(o)) for one, o in zip(found.records, found.objectives, strict=True)]
            assert pairs == scored(copied(history), at_least)


def test_another_history_replaces_the_first() -> None:
    records = Records(SPACE, 50).follow(started(5))
    identity = records.identity
    assert records.follow(started(2)).identity is not identity
    assert [one.arch for one in records.trials] == ARCHS[:2]
    assert not records.tried(ARCHS[4])


def test_the_same_network_was_tried_while_it_runs_and_a_limit_is_kept() -> None:
    records = Records(SPACE, 50, Limits({"cost": (None, 3)}, cost).fit).follow(started(2))  # aa, ab
    ba, bb, cc = ARCHS[3], ARCHS[4], ARCHS[8]
    assert records.tried(ba)
    assert not records.is_new(ba)
    assert records.is_new(bb)
    assert not records.tried(cc)
    assert not records.is_new(cc)


def test_the_last_ones() -> None:
    history = started(4)
    report(history, *((number, 1, 0.1 * number) for number in range(4)))
    last = Records(SPACE, 50).follow(history).scored(2).last(2)
    assert [one.number for one in last.records] == [2, 3]
    assert last.objectives.tolist() == [0.2, 0.30000000000000004]
