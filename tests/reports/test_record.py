"""A record read from a journal says what the oracle of that search says."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from keras_tuner.src.engine.trial import TrialStatus

from imports import ROOT
from kt_ext.core.journal import JournalDamaged
from kt_ext.oracles import SchedulerOracle
from kt_ext.oracles.hyperparameters import own_values
from kt_ext.oracles.lineage import lineage_rows
from kt_ext.reports.record import read
from kt_ext.reports.trial_record import Stretch
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import LOSS, Workers, asha, by_values, killed, placed, small_space
from reports.played import SEARCHES, Clock, asha_cut_short, asha_promotion, asha_stopping, failing, median, population


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.mark.parametrize("name", SEARCHES)
def test_the_record_says_what_the_oracle_says(name, tmp_path, clock):
    oracle = SEARCHES[name](tmp_path, clock)
    record = read(tmp_path / "project")
    search, reader = oracle.search, oracle.reader
    assert record.objective == " and ".join(reader.names)
    assert (record.maximise, record.pareto, record.seed) == (reader.maximise, reader.pareto, oracle.seed)
    assert [trial.name for trial in record.trials] == list(oracle.trials)
    assert record.seconds == oracle.clock.seconds
    assert record.total_epochs == search.history.total_epochs
    for trial, theirs in zip(record.trials, oracle.trials.values(), strict=True):
        assert trial.status == search.where[trial.number]
        epochs, objectives = search.history.curve(trial.number)
        assert trial.epochs == epochs.tolist()
        expected = [math.nan if o == math.inf else reader.in_own_units(o) for o in objectives.tolist()]
        assert trial.objectives == pytest.approx(expected, rel=0, abs=0, nan_ok=True)
        assert trial.values == own_values(search.history.values(trial.number))
        for epoch in trial.epochs:
            assert trial.values_at(epoch) == own_values(search.history.values_at(trial.number, epoch))
        score, best_epoch = record.score(trial)
        if theirs.score is not None and math.isfinite(theirs.score):
            assert (score, best_epoch) == (theirs.score, theirs.best_step)
        else:
            assert math.isnan(score)
            assert best_epoch == 0
    scored = [
        t.trial_id for t in oracle.get_best_trials(99) if t.status == TrialStatus.COMPLETED and t.score < math.inf
    ]
    assert [trial.name for trial in record.ranked()] == scored
    assert record.best.name == scored[0]


@pytest.mark.parametrize("name", ["asha_promotion", "asha_decisive"])
def test_reports_stand_in_the_order_in_which_they_came(name, tmp_path, clock):
    seen = []
    oracle = asha(tmp_path, variant=name.removeprefix("asha_"))
    seen = [(trial, epoch) for trial, epoch, _ in Workers(oracle, clock.timed(by_values), 3).run().reports]
    oracle.finish()
    record = read(tmp_path / "project")
    assert [(t.name, t.epochs[k]) for t, k in record.each_report()] == seen
    assert sum(len(trial.epochs) for trial in record.trials) == len(seen)


def test_takeovers_are_those_of_the_lineage(tmp_path, clock):
    oracle = population(tmp_path, clock)
    record = read(tmp_path / "project")
    mine = [
        (t.epoch, trial.name, record.trials[t.donor].name, trial.values_at(t.epoch), t.values)
        for trial in record.trials
        for t in trial.takeovers
    ]
    rows = lineage_rows(oracle)
    assert len(rows) >= 3
    assert sorted(mine, key=str) == sorted(
        ((r.epoch, r.member, r.donor, r.old_values, r.new_values) for r in rows), key=str
    )


def test_stretches_have_workers_and_times(tmp_path, clock):
    asha_promotion(tmp_path, clock)
    record = read(tmp_path / "project")
    assert {stretch.worker for trial in record.trials for stretch in trial.stretches} == {"tuner0", "tuner1"}
    for trial in record.trials:
        ends = [(stretch.first_epoch, stretch.last_epoch) for stretch in trial.stretches]
        assert [first for first, _ in ends] == [0, *(last for _, last in ends[:-1])]
        assert ends[-1][1] == trial.epochs[-1]
        assert all(stretch.began <= stretch.ended for stretch in trial.stretches)


def test_one_worker_works_all_the_time(tmp_path, clock):
    asha_stopping(tmp_path, clock)
    record = read(tmp_path / "project")
    assert sum(trial.worked for trial in record.trials) == record.seconds == record.total_epochs


@pytest.mark.parametrize("budget", [None, 5])
def test_a_trial_that_is_wanted_before_its_worker_has_let_go_of_it(tmp_path, clock, budget):
    oracle = asha(tmp_path, max_trials=4, max_epochs=3, max_seconds=budget)
    trials = [oracle.create_trial(worker) for worker in ("a", "b", "c", "d")]
    for trial, loss in zip(trials[:3], (3.0, 2.0, 1.0), strict=True):
        clock.now += 1.0
        assert oracle.update_trial(trial.trial_id, {"loss": loss}, step=1).status == "STOPPED"
    trials[0].status = "COMPLETED"
    oracle.end_trial(trials[0])
    assert oracle.create_trial("a").status == "IDLE"  # it is to go on with trial 2, which c still has
    record = read(tmp_path / "project")
    assert [(t.status, t.until) for t in record.trials] == [*[("paused", 1)] * 2, ("paused", 3), ("running", 1)]
    clock.now += 5.0
    oracle.update_trial("3", {"loss": 4.0}, step=1)
    trials[2].status = "COMPLETED"
    oracle.end_trial(trials[2])
    clock.now += 1.0
    oracle.create_trial("a")
    wanted = read(tmp_path / "project").trials[2]
    stays = [Stretch("c", 0.0, 0, 1, ended=3.0, last_epoch=1), Stretch("a", 9.0, 1, 3, last_epoch=1)]
    assert (wanted.status, wanted.stretches) == (("queued", stays[:1]) if budget else ("running", stays))
    oracle.finish()


def whys(directory):
    return {trial.name: (trial.status, trial.why) for trial in read(directory).trials}


def test_why_of_asha(tmp_path, clock):
    asha_promotion(tmp_path, clock)
    found = whys(tmp_path / "project")
    assert set(found.values()) == {
        ("done", "trained to the end"),
        ("paused", "paused after epoch 1, not among the best 1/3 there so far"),
        ("paused", "paused after epoch 3, not among the best 1/3 there so far"),
    }


def test_why_of_stopping(tmp_path, clock):
    asha_stopping(tmp_path, clock)
    assert {why for _, why in whys(tmp_path / "project").values()} == {
        "trained to the end",
        "stopped after epoch 1: not among the best 1/3 there",
        "stopped after epoch 3: not among the best 1/3 there",
    }
    record = read(tmp_path / "project")
    assert [t.number for t in record.trials if not t.stopped] == [t.number for t in record.trials if t.epochs[-1] == 9]


def test_why_of_a_training_that_diverged(tmp_path, clock):
    oracle = asha(tmp_path, variant="stopping", max_trials=1)
    Workers(oracle, lambda trial, epoch: {"loss": math.nan if epoch == 2 else 1.0}).run()
    oracle.finish()
    assert whys(tmp_path / "project") == {"0": ("done", "stopped after epoch 2: loss was not finite")}
    assert read(tmp_path / "project").score(read(tmp_path / "project").trials[0]) == (1.0, 1)


def test_why_of_a_rule_a_failure_and_a_budget(tmp_path, clock):
    median(tmp_path / "median", clock)
    assert ("done", "stopped after epoch 2: MedianRule") in whys(tmp_path / "median/project").values()
    failing(tmp_path / "failing", clock)
    assert whys(tmp_path / "failing/project") == {
        "0": ("done", "trained to the end"),
        "1": ("failed", "failed: memory"),
        "2": ("done", "trained to the end"),
        "3": ("done", "trained to the end"),
    }
    asha_cut_short(tmp_path / "short", clock)
    assert ("queued", "was interrupted, and waits to go on") in whys(tmp_path / "short/project").values()


def test_why_of_a_broken_constraint(tmp_path, clock):
    oracle = asha(tmp_path, constraints={"params": 10, "accuracy": (0.5, None)})

    def curve(trial, epoch):
        return {**by_values(trial, epoch), "params": 5.0}

    Workers(oracle, clock.timed(curve)).run()
    oracle.finish()
    assert ("done", "stopped after epoch 1: a constraint was broken") in whys(tmp_path / "project").values()


def test_a_killed_search_and_its_restart(tmp_path, clock):
    def search(directory):
        settings = {"objective": LOSS, "seed": 3, "hyperparameters": small_space()}
        return placed(SchedulerOracle(FIFO(4, 3), **settings), directory)

    oracle = search(tmp_path)
    Workers(oracle, clock.timed(by_values), 2).run(steps=6)
    running = [trial for trial in read(tmp_path / "project").trials if trial.status == "running"]
    assert len(running) == 2
    assert [trial.stretches[-1].ended for trial in running] == [None, None]
    assert [trial.why for trial in running] == ["", ""]
    left = killed(tmp_path / "project", tmp_path / "copy" / "project")
    seconds = read(left).seconds
    oracle.finish()
    again = search(tmp_path / "copy")
    Workers(again, clock.timed(by_values), 1).run()
    again.finish()
    record = read(left)
    for before in running:
        trial = record.trials[before.number]
        assert trial.stretches[len(before.stretches) - 1].ended == pytest.approx(seconds)
        assert len(trial.stretches) > len(before.stretches)
    assert record.total_epochs == again.search.history.total_epochs


def test_a_torn_last_line_is_left_out_and_a_damaged_one_is_an_error(tmp_path, clock):
    asha_stopping(tmp_path, clock)
    journal = tmp_path / "project" / "journal.jsonl"
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    assert len(read(journal.parent).reports) == sum(b'"e":"tell"' in line for line in lines[:-1])
    journal.write_bytes(whole.replace(b'"epoch":1', b'"epoch":2', 1))
    with pytest.raises(JournalDamaged):
        read(journal.parent)


def test_without_a_journal(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"journal.jsonl: there is no such journal; search first"):
        read(tmp_path)


def test_no_keras_is_loaded(tmp_path, clock):
    asha_stopping(tmp_path, clock)
    script = (
        "import json, sys\n"
        "from kt_ext.reports.record import read\n"
        f"trials = len(read({str(tmp_path / 'project')!r}).trials)\n"
        "heavy = {'keras', 'keras_tuner', 'tensorflow', 'pandas', 'matplotlib', 'optuna', 'scipy'} & set(sys.modules)\n"
        "print(json.dumps([trials, sorted(heavy)]))"
    )
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == [9, []]
