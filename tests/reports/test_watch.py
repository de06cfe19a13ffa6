"""What a watcher reads and shows of a search that another process leads."""

from __future__ import annotations

import math
import os
import pty
import signal
import subprocess
import sys

import pytest

from imports import ROOT
from kt_ext.core.lock import ProjectLock
from kt_ext.oracles import SchedulerOracle
from kt_ext.reports.pace import Pace, halving_epochs, pace
from kt_ext.reports.record import LOCK, Follower, read
from kt_ext.reports.watch import line, rewind, sparkline, view
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import LOSS, Workers, asha, by_values, placed, small_space
from reports.played import Clock, asha_promotion, failing, pareto, pasha, population
from terminals import read_to_the_end, read_until

HOLDER = {"pid": 7, "host": "node", "since": "today", "command": "train.py"}


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def fifo(directory, **also):
    scheduler = FIFO(4, 3)
    settings = {"objective": LOSS, "seed": 3, "hyperparameters": small_space(), **also}
    return placed(SchedulerOracle(scheduler, **settings), directory)


def watch(project, *options, **also):
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "kt_ext", "watch", str(project), *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **also,
    )


def test_a_follower_has_what_a_reader_has_at_every_step(tmp_path, clock):
    oracle = asha(tmp_path)
    workers = Workers(oracle, clock.timed(by_values), 2)
    workers.step()
    follower = Follower(tmp_path / "project")
    while workers.step():
        assert repr(follower.update()) == repr(read(tmp_path / "project"))
    oracle.finish()


def test_a_follower_reads_nothing_twice(tmp_path, clock):
    oracle = asha(tmp_path)
    workers = Workers(oracle, clock.timed(by_values))
    workers.run(steps=8)
    follower = Follower(tmp_path / "project")
    before = len(follower.update().reports)
    journal = tmp_path / "project" / "journal.jsonl"
    with journal.open("r+b") as file:  # nobody sees that line again
        file.write(b"#" * 50)
    workers.run(steps=4)
    assert len(follower.update().reports) > before
    oracle.finish()


def test_a_follower_waits_for_the_rest_of_a_line(tmp_path, clock):
    asha_promotion(tmp_path, clock)
    journal = tmp_path / "project" / "journal.jsonl"
    whole = journal.read_bytes()
    expected = repr(read(journal.parent))
    journal.write_bytes(whole[:-30])
    follower = Follower(journal.parent)
    assert repr(follower.update()) != expected
    with journal.open("ab") as file:
        file.write(whole[-30:])
    assert repr(follower.update()) == expected


def test_a_follower_begins_anew_with_a_search_that_was_overwritten(tmp_path, clock):
    asha_promotion(tmp_path, clock)
    follower = Follower(tmp_path / "project")
    assert len(follower.update().trials) == 9
    journal = tmp_path / "project" / "journal.jsonl"
    failing(tmp_path / "other", clock)
    journal.write_bytes((tmp_path / "other/project/journal.jsonl").read_bytes())  # the same file, shorter
    assert len(follower.update().trials) == 4
    asha_promotion(tmp_path / "third", clock)
    (tmp_path / "third/project/journal.jsonl").replace(journal)  # another file
    assert len(follower.update().trials) == 9


def test_pace_of_a_search_whose_trials_all_train_to_the_end(tmp_path, clock):
    oracle = fifo(tmp_path)
    workers = Workers(oracle, clock.timed(by_values), 2)
    workers.run(steps=2)  # two trials handed out
    assert read(tmp_path / "project").total_epochs == 0
    found = pace(read(tmp_path / "project"))
    assert math.isnan(found.epochs_per_minute)
    assert found.seconds_left is None
    workers.run(steps=4)
    # two epochs of each in 4 seconds: one epoch a second; 8 of 12 epochs are left
    assert pace(read(tmp_path / "project")) == Pace(60.0, 8.0)
    # and silence counts: 4 epochs in 16 seconds
    assert pace(read(tmp_path / "project"), silent=12.0) == Pace(15.0, 32.0)
    workers.run()
    oracle.finish()
    assert pace(read(tmp_path / "project")) == Pace(60.0, 0.0)


def test_a_failed_trial_trains_no_more(tmp_path, clock):
    failing(tmp_path, clock)
    assert pace(read(tmp_path / "project")).seconds_left == 0.0


def test_time_left_is_said_only_where_it_is_known(tmp_path, clock):
    pasha(tmp_path, clock)
    assert pace(read(tmp_path / "project")).seconds_left is None
    pareto(tmp_path / "fifo", clock)
    assert pace(read(tmp_path / "fifo/project")).seconds_left == 0.0


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [
        # 9 trials to epoch 1, 3 to 3, 1 to 9
        ({"brackets": 1, "max_trials": 9}, 9 * 1 + 3 * 2 + 1 * 6),
        # brackets of 9, 5, 3 trials: 21 epochs; 5 * 3 + 5 / 3 * 6; 3 * 9
        ({"brackets": 3, "max_trials": 17}, 21 + 25 + 27),
        ({"brackets": 3, "max_trials": 34}, 2 * (21 + 25 + 27)),
    ],
)
def test_halving_passes_a_share_at_each_rung(settings, epochs):
    assert halving_epochs({"min_epochs": 1, "max_epochs": 9, "factor": 3, **settings}) == pytest.approx(epochs)


def test_time_left_of_successive_halving_is_about_what_passes_the_rungs(tmp_path, clock):
    oracle = asha(tmp_path)  # 9 trials, rungs at 1, 3 and 9: 21 epochs
    workers = Workers(oracle, clock.timed(by_values))
    workers.run(steps=8)
    record = read(tmp_path / "project")
    found = pace(record)
    assert found.seconds_left == pytest.approx(21.0 - record.total_epochs)
    assert not found.at_most
    oracle.finish()


def test_limits_bound_the_time_left(tmp_path, clock):
    oracle = fifo(tmp_path)
    workers = Workers(oracle, clock.timed(by_values))
    workers.run(steps=3)  # two epochs in 2 seconds; 10 more to the end
    record = read(tmp_path / "project")
    assert record.total_epochs == 2
    assert pace(record) == Pace(60.0, 10.0)
    assert pace(record, {"max_total_epochs": 5, "max_seconds": None}) == Pace(60.0, 3.0)
    assert pace(record, {"max_total_epochs": 5, "max_seconds": 4.5}) == Pace(60.0, 2.5, at_most=False)
    assert pace(record, {"max_seconds": 1.0}) == Pace(60.0, None)
    oracle.finish()


def test_who_leads_says_the_limits(tmp_path, clock):
    oracle = fifo(tmp_path, max_total_epochs=5, max_seconds=100.0)
    workers = Workers(oracle, clock.timed(by_values))
    workers.run(steps=3)
    record = read(tmp_path / "project")
    assert ", at most 3 s left" in view(record, ProjectLock.holder(tmp_path / "project" / LOCK))[3]
    oracle.finish()
    later = fifo(tmp_path, max_total_epochs=7, max_seconds=100.0)  # raised
    Workers(later, clock.timed(by_values)).run(steps=1)
    holder = ProjectLock.holder(tmp_path / "project" / LOCK)
    assert holder["limits"] == {"max_total_epochs": 7, "max_seconds": 100.0}
    later.finish()


def test_a_population_ends_with_its_epochs(tmp_path, clock):
    population(tmp_path, clock)
    record = read(tmp_path / "project")
    assert pace(record, silent=7.0).seconds_left == 0.0
    record.trials[0].status = "paused"
    record.trials[0].epochs.pop()
    record.trials[0].times.pop()
    assert pace(record, silent=41.0 - record.seconds).seconds_left == pytest.approx(1.0)


def test_a_sparkline_goes_up_as_the_best_gets_better(tmp_path, clock):
    oracle = fifo(tmp_path)
    losses = iter([9.0, float("nan"), 10.0, 5.0, 7.0, 2.0, 3.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    Workers(oracle, lambda trial, epoch: {"loss": next(losses)}).run()
    oracle.finish()
    record = read(tmp_path / "project")
    assert sparkline(record, "01234567") == "000447777777"
    assert sparkline(record, "01234567", width=3) == "077"
    failing(tmp_path / "maximised", clock)  # .21 .22 .23, .31, .41 .42 .43, .51 .52 .53
    assert sparkline(read(tmp_path / "maximised/project"), "0123456789") == "0013666899"


def test_no_sparkline_without_a_finite_objective(tmp_path, clock):
    oracle = fifo(tmp_path)
    Workers(oracle, lambda trial, epoch: {"loss": float("nan")}).run()
    oracle.finish()
    assert sparkline(read(tmp_path / "project")) == ""
    assert view(read(tmp_path / "project"), None)[-1] == "best     none yet"


def test_the_view_of_a_running_search(tmp_path, clock):
    oracle = fifo(tmp_path)
    Workers(oracle, clock.timed(lambda trial, epoch: {"loss": 4.0 - epoch}), 2).run(steps=6)
    lines = view(read(tmp_path / "project"), HOLDER, 1.0, (200, 40))
    record = read(tmp_path / "project")
    values = [f"rate={t.values['rate']:.5g} units={t.values['units']} kind={t.values['kind']}" for t in record.trials]
    assert lines == [
        f"FIFO(max_trials=4, max_epochs=3) in {tmp_path}/project",
        "state    led by process 7 on node, last event 1 s ago",
        "trials   2 of 4 started: 2 running",
        "epochs   4 in 5 s, 48 a minute, at most 10 s left",
        f"best     loss=2 of trial 0, epoch 2: {values[0]}",
        "         ▁▁██",
        "workers",
        f"  tuner0       trial 0  2/3 epochs  2  {values[0]}",
        f"  tuner1       trial 1  2/3 epochs  2  {values[1]}",
    ]
    assert view(record, HOLDER, 1.0, (20, 9))[-1] == "  and 2 more"
    assert {len(each) for each in view(record, HOLDER, 1.0, (20, 40))} <= set(range(20))
    assert line(record, HOLDER, 1.0) == (
        "5 s: 2 trials (2 running), 4 epochs, 48 a minute, at most 10 s left; "
        f"best loss=2 of trial 0, epoch 2: {values[0]}"
    )
    oracle.finish()


def test_names_cannot_steer_the_terminal(tmp_path, clock):
    asha_promotion(tmp_path, clock)
    record = read(tmp_path / "project")
    record.best.first_values["kind"] = "\x1b[2J\nnew"
    shown = view(record, None, size=(500, 40))
    assert "kind=?[2J?new" in shown[4]
    assert "\x1b" not in "".join(shown)


def test_rewinding_clears_what_was_shown():
    assert rewind([]) == ""
    assert rewind(["a", "b"]) == "\x1b[2F\x1b[J"


def test_watching_in_a_log_ends_with_the_search(tmp_path, clock):
    oracle = fifo(tmp_path)
    workers = Workers(oracle, clock.timed(by_values))
    workers.run(steps=2)
    process = watch(tmp_path / "project", "--every", "0.05", stdout=subprocess.PIPE, text=True)
    first = process.stdout.readline()
    assert "1 trials (1 running), 1 epochs" in first
    workers.run()
    oracle.finish()
    said = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 0
    assert "4 trials (4 done), 12 epochs; best " in said[-2]
    assert said[-1] == "No process leads it now."


def test_interrupting_a_watcher_is_no_error(tmp_path, clock):
    oracle = fifo(tmp_path)
    Workers(oracle, clock.timed(by_values)).run(steps=2)
    # A shell starts what it leaves in the background, these tests perhaps, with the interrupt ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = watch(tmp_path / "project", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0
    oracle.finish()


def test_watching_in_a_terminal_redraws(tmp_path, clock):
    oracle = fifo(tmp_path)
    workers = Workers(oracle, clock.timed(by_values))
    workers.run(steps=2)
    ours, theirs = pty.openpty()
    process = watch(tmp_path / "project", "--every", "0.05", stdout=theirs)
    os.close(theirs)
    first = read_until(ours, b"\x1b[")
    workers.run()
    oracle.finish()
    text = (first + read_to_the_end(ours)).decode()
    assert process.wait(timeout=60) == 0
    height = text.split("\x1b[")[0].count("\n")
    assert f"\x1b[{height}F\x1b[J" in text
    assert "no process leads it now" in text.rpartition("\x1b[J")[2]
