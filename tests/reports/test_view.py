"""The view of a search whose terminal, limits or scheduler are out of the ordinary."""

from __future__ import annotations

import math
import os
import time

import pytest

from kt_ext.core.lock import ProjectLock
from kt_ext.oracles import SchedulerOracle
from kt_ext.reports.page import page
from kt_ext.reports.reasons import why_paused, why_stopped
from kt_ext.reports.record import JOURNAL, LOCK, read
from kt_ext.reports.watch import line, silence, view
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import LOSS, Workers, by_values, placed, small_space
from reports.played import Clock
from reports.records import reported

HOLDER = {"pid": 7, "host": "node", "since": "today", "command": "train.py"}


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def searching(directory, scheduler, **also):
    return placed(SchedulerOracle(scheduler, objective=LOSS, seed=3, hyperparameters=small_space(), **also), directory)


def test_a_small_terminal_has_the_number_of_workers():
    record = reported(*[[float(k)] for k in range(1, 6)])
    head = ["FIFO", "trials", "epochs", "best", ""]
    shown = {lines: view(record, HOLDER, size=(100, lines), own=True) for lines in (1, 6, 7, 8, 9, 10, 12, 40)}
    assert [[row.split("(")[0].split(" ")[0] for row in rows[:5]] for rows in shown.values()] == [head] * 8
    assert shown[1][5:] == shown[6][5:] == shown[7][5:] == ["workers  5"]
    assert shown[8][5:] == ["workers", "  and 5 more"]
    rows = [f"  tuner{k}       trial {k}  1/20 epochs  1  " for k in range(5)]
    assert shown[9][5:] == ["workers", rows[0], "  and 4 more"]
    assert shown[10][5:] == ["workers", *rows[:2], "  and 3 more"]
    assert shown[12][5:] == shown[40][5:] == ["workers", *rows]


def test_a_long_epoch_counts_while_it_is_trained():
    record = reported([3600.0, 7200.0])
    assert view(record, HOLDER, 1800.0)[3].startswith("epochs   2 in 2 h 30 min,")
    assert line(record, HOLDER, 1800.0).startswith("2 h 30 min: ")
    assert view(record, None, 1800.0)[3] == "epochs   2 in 2 h"
    assert line(record, None, 1800.0).startswith("2 h: ")


def test_the_night_before_a_search_went_on_is_no_part_of_it(tmp_path):
    journal, lock = tmp_path / JOURNAL, tmp_path / LOCK
    journal.touch()
    os.utime(journal, (0, 0))
    assert silence(tmp_path) > 1e9
    lock.touch()
    os.utime(lock, (time.time() + 60, time.time() + 60))
    assert silence(tmp_path) == 0.0


def test_a_limit_without_end_is_none(tmp_path, clock):
    oracle = searching(tmp_path, FIFO(4, 3), max_seconds=math.inf)
    workers = Workers(oracle, clock.timed(by_values))
    workers.run(steps=1)
    holder = ProjectLock.holder(tmp_path / "project" / LOCK)
    assert holder["limits"]["max_seconds"] == math.inf
    assert line(read(tmp_path / "project"), holder) == "0 s: 1 trials (1 running), 0 epochs; best none yet"
    workers.run(steps=1)
    assert ", at most 11 s left" in line(read(tmp_path / "project"), holder)
    oracle.finish()


class Own(FIFO):
    """A scheduler of a user's, who named it nowhere."""

    def _configuration(self):
        return {"max_trials": self.max_trials, "factor": 2, "variant": "stopping"}


def test_a_scheduler_of_ones_own_needs_no_name(tmp_path, clock):
    oracle = searching(tmp_path, Own(4, 3))
    Workers(oracle, clock.timed(lambda trial, epoch: {"loss": math.nan if epoch == 2 else 1.0})).run()
    oracle.finish()
    record = read(tmp_path / "project")
    assert record.rung_epochs == ()
    assert view(record, HOLDER, size=(200, 40))[:3] == [
        f"a scheduler of one's own in {tmp_path}/project",
        "state    led by process 7 on node, last event 0 s ago",
        "trials   4 of 4 started: 4 done",
    ]
    assert "4 trials (4 done)" in line(record, HOLDER)
    assert "<p>A search for loss (min)</p>" in page(record)
    assert why_paused(record.scheduler, 2) == "paused after epoch 2, not among the best 1/2 there so far"
    assert why_paused({}, 2) == "paused after epoch 2"
    assert why_stopped({"variant": "stopping"}, 1, 2) == "stopped after epoch 1"
