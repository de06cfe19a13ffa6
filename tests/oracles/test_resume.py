"""Wherever a search is killed, it goes on with the same decisions."""

from __future__ import annotations

import json
import logging
import shutil

import keras_tuner
import numpy as np
import pytest

from core_process import start
from kt_ext.core.search import ReplayDiffers
from kt_ext.oracles import SchedulerOracle
from kt_ext.oracles.hyperparameters import INITIAL_EPOCH, TRIAL_ID
from kt_ext.reports.record import read
from kt_ext.reports.words import most_trials
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import (
    LOSS,
    Workers,
    asha,
    branching_space,
    by_values,
    decisions,
    journal,
    killed,
    outcome,
    placed,
    small_space,
    without_waiting_for_the_disk,
)


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    with without_waiting_for_the_disk(monkeypatch):
        yield


def found(oracle):
    """What a search found, without where the last segment began: an interrupted one goes on from its own state."""
    all_found = outcome(oracle)
    for trial in all_found.values():
        trial["values"] = {k: v for k, v in trial["values"].items() if k not in (INITIAL_EPOCH, TRIAL_ID)}
    return all_found


def observations(oracle):
    return [column.tolist() for column in oracle.search.history.observations()]


def assert_goes_on(unbroken, project, directory):
    """A new oracle on ``directory`` ends where the unbroken search ended, and asks for no epoch that is on record."""
    on_record = {(event["trial"], event["epoch"]) for event in journal(directory) if event["e"] == "tell"}
    oracle = asha(directory.parent, directory.name, **unbroken.changed)
    workers = Workers(oracle, by_values).run()
    asked_for = {(int(trial), epoch) for trial, epoch, _ in workers.reports}
    assert asked_for & on_record == set()
    assert decisions(directory) == decisions(project)
    assert observations(oracle) == observations(unbroken)
    assert found(oracle) == found(unbroken)
    assert oracle.best == unbroken.best
    assert oracle.end_order == unbroken.end_order
    assert oracle.stop_reason == unbroken.stop_reason
    assert (oracle.tuner_ids, oracle.ongoing_trials) == (set(), {})
    oracle.finish()
    reader = asha(directory.parent, directory.name, **unbroken.changed)
    reader.reload()
    assert outcome(reader) == outcome(oracle)


def unbroken_search(tmp_path, **changed):
    oracle = asha(tmp_path, "unbroken", **changed)
    oracle.changed = changed
    Workers(oracle, by_values).run()
    return oracle, tmp_path / "unbroken"


def five_configurations():
    hp = keras_tuner.HyperParameters()
    hp.Int("units", 1, 5)
    return hp


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"variant": "stopping"},
        {"brackets": 2, "searcher": "sobol"},
        {"searcher": "grid", "hyperparameters": five_configurations, "max_trials": 20},
        {"hyperparameters": branching_space},
    ],
    ids=["promotion", "stopping", "brackets", "exhausted", "branching"],
)
@pytest.mark.parametrize("torn", [False, True])
def test_from_every_line_of_the_journal(tmp_path, changed, torn):
    if "hyperparameters" in changed:
        changed = {**changed, "hyperparameters": changed["hyperparameters"]()}
    unbroken, project = unbroken_search(tmp_path, **changed)
    if "max_trials" in changed:
        assert unbroken.stop_reason == "the search space is exhausted: 5 trials tried every configuration"
        assert sum(event["e"] == "exhaust" for event in journal(project)) == 1
    for lines in range(len(journal(project)) + 1):
        directory = killed(project, tmp_path / f"killed{lines}", lines, torn)
        (directory / "snapshot.json").unlink(missing_ok=True)
        assert_goes_on(unbroken, project, directory)


@pytest.mark.parametrize("kind", ["older", "newer", "damaged"])
def test_with_snapshots_from_other_moments(tmp_path, kind):
    unbroken = asha(tmp_path, "unbroken")
    unbroken.changed = {}
    project = tmp_path / "unbroken"
    snapshots = {}
    workers = Workers(unbroken, by_values)
    while workers.step():
        unbroken.save()
        snapshots[unbroken.files.lines] = (project / "snapshot.json").read_bytes()
    total = len(journal(project))
    for lines in range(2, total + 1, 3):
        directory = killed(project, tmp_path / f"{kind}{lines}", lines)
        for at in [at for at in snapshots if (at <= lines) == (kind != "newer")][::4]:
            copy = shutil.copytree(directory, tmp_path / f"{kind}{lines}-{at}")
            damage = b"x" if kind == "damaged" else b""
            (copy / "snapshot.json").write_bytes(damage + snapshots[at])
            assert_goes_on(unbroken, project, copy)


def test_a_snapshot_holds_everything(tmp_path):
    unbroken, project = unbroken_search(tmp_path)
    unbroken.save()
    state = json.loads(json.dumps(unbroken.search.state()))
    oracle = asha(tmp_path, "copy")
    killed(project, tmp_path / "copy")
    oracle.reload()
    assert json.loads(json.dumps(oracle.search.state())) == state
    assert outcome(oracle) == outcome(unbroken)


@pytest.mark.parametrize("count", [3, 5])
def test_with_several_workers(tmp_path, count):
    first = asha(tmp_path, "first", max_trials=12)
    Workers(first, by_values, count).run()
    total = len(journal(tmp_path / "first"))
    for lines in range(1, total, 2):
        directory = killed(tmp_path / "first", tmp_path / f"killed{lines}", lines)
        (directory / "snapshot.json").unlink(missing_ok=True)
        on_record = {(event["trial"], event["epoch"]) for event in journal(directory) if event["e"] == "tell"}
        oracle = asha(tmp_path, f"killed{lines}", max_trials=12)
        workers = Workers(oracle, by_values, count).run()
        reports = [(int(trial), epoch) for trial, epoch, _ in workers.reports]
        assert len(set(reports)) == len(reports)
        assert set(reports) & on_record == set()
        epochs = {trial: [] for trial in range(12)}
        for trial, epoch in sorted(on_record | set(reports)):
            epochs[trial].append(epoch)
        assert all(seen == list(range(1, len(seen) + 1)) for seen in epochs.values())
        assert {trial: len(seen) for trial, seen in epochs.items() if len(seen) not in (1, 3, 9) and trial != 4} == {}
        assert oracle.stop_reason == "all 12 trials are done (max_trials=12)"
        assert (oracle.tuner_ids, oracle.ongoing_trials, oracle.search.running) == (set(), {}, 0)


def test_killed_again_and_again(tmp_path):
    unbroken, project = unbroken_search(tmp_path)
    for turn in range(200):
        oracle = asha(tmp_path, f"life{turn}")
        workers = Workers(oracle, by_values)
        alive = [workers.step() for _ in range(4)]
        if not all(alive):
            break
        killed(tmp_path / f"life{turn}", tmp_path / f"life{turn + 1}")
    assert decisions(tmp_path / f"life{turn}") == decisions(project)
    assert found(oracle) == found(unbroken)


def test_retries_are_counted_over_sessions(tmp_path):
    settings = {"max_retries_per_trial": 2, "max_epochs": 3, "max_trials": 1}
    for session, status in enumerate(["INVALID", "INVALID", "FAILED"]):
        oracle = asha(tmp_path, **settings)
        trial = oracle.create_trial("tuner0")
        assert trial.trial_id == "0"
        trial.status, trial.message = "INVALID", f"crash {session}"
        oracle.end_trial(trial)
        assert (oracle.trials["0"].status, oracle.trials["0"].message) == (status, f"crash {session}")
        if session == 1:
            oracle.save()
        oracle.finish()
    reader = asha(tmp_path, **settings)
    reader.reload()
    assert (reader.trials["0"].status, reader.trials["0"].message) == ("FAILED", "crash 2")


def test_a_late_report_to_a_restarted_chief(tmp_path):
    oracle = asha(tmp_path, "first", max_epochs=3, min_epochs=3)
    oracle.create_trial("tuner0")
    oracle.update_trial("0", {"loss": 1.0}, step=1)
    killed(tmp_path / "first", tmp_path / "second")
    oracle = asha(tmp_path, "second", max_epochs=3, min_epochs=3)
    oracle.reload()
    assert oracle.update_trial("0", {"loss": 0.5}, step=2).status == "STOPPED"
    oracle.end_trial(oracle.trials["0"])
    assert not oracle.files.writing
    trial = oracle.create_trial("tuner0")
    assert (trial.trial_id, trial.hyperparameters.values["tuner/initial_epoch"]) == ("0", 1)


# Settings


def larger_space():
    hp = small_space()
    hp.Boolean("flag")
    return hp


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hyperparameters": larger_space()}, "flag: added Boolean()"),
        (
            {"objective": keras_tuner.Objective("loss", "max")},
            'direction="min") -> Objective(name="loss", direction="max',
        ),
        (
            {"objective": keras_tuner.Objective("accuracy", "max")},
            'objective: Objective(name="loss", direction="min") ->',
        ),
        ({"seed": 4}, "seed: 3 -> 4"),
        ({"seed": 0}, "seed: 3 -> 0"),
        ({"max_epochs": 27}, "scheduler max_epochs: 9 -> 27"),
        ({"factor": 4}, "scheduler factor: 3 -> 4"),
        ({"variant": "stopping"}, "scheduler variant: promotion -> stopping"),
    ],
)
@pytest.mark.parametrize("snapshot", [False, True])
def test_other_settings_are_refused_and_named(tmp_path, changed, message, snapshot):
    first = asha(tmp_path)
    Workers(first, by_values).run(steps=9)
    first.finish()
    if not snapshot:
        (tmp_path / "project" / "snapshot.json").unlink()
    before = (tmp_path / "project" / "journal.jsonl").read_bytes()
    oracle = asha(tmp_path, **changed)
    for take in (oracle.reload, lambda: oracle.create_trial("tuner0")):
        with pytest.raises(ValueError, match="begun with other settings") as caught:
            take()
        assert message in str(caught.value)
        assert "overwrite=True" in str(caught.value)
    assert (tmp_path / "project" / "journal.jsonl").read_bytes() == before
    assert oracle.trials == {}
    asha(tmp_path).create_trial("tuner0")  # the lock is free, and the search goes on with the old settings


def test_another_scheduler_is_refused(tmp_path):
    Workers(asha(tmp_path), by_values).run(steps=5)
    other = placed(SchedulerOracle(FIFO(9, 9), "random", LOSS, seed=3, hyperparameters=small_space()), tmp_path)
    with pytest.raises(ValueError, match="scheduler scheduler: ASHA -> FIFO"):
        other.reload()


@pytest.mark.parametrize("snapshot", [False, True])
def test_what_may_change_is_on_record_and_another_searcher_is_named(tmp_path, snapshot, caplog):
    initial = {"initial_values": [{"units": 3}]} if snapshot else {}  # what comes before it has no name

    def gone_on_with(searcher, max_trials, steps=None):
        """What was said, and the record."""
        caplog.clear()
        oracle = asha(tmp_path, searcher=searcher, max_trials=max_trials, **initial)
        oracle.reload()
        assert caplog.text == ""  # to read results is not to go on
        Workers(oracle, by_values).run(**({} if steps is None else {"steps": steps}))
        oracle.finish()
        if not snapshot:
            (tmp_path / "project" / "snapshot.json").unlink()
        record = read(tmp_path / "project")
        return caplog.text.count("proposed by"), record.searcher, most_trials(record)

    assert gone_on_with("random", 9, 9) == (0, "RandomSearcher", 9)
    assert gone_on_with("random", 12, 9) == (0, "RandomSearcher", 12)
    assert gone_on_with("tpe", 12, 9) == (1, "TPESearcher", 12)
    assert "proposed by RandomSearcher, those to come will be by TPESearcher" in caplog.text
    assert gone_on_with("tpe", 12, 9) == (0, "TPESearcher", 12)
    assert gone_on_with("random", 20) == (1, "RandomSearcher", 20)
    assert [event["e"] for event in journal(tmp_path / "project")].count("changed") == 3


@pytest.mark.parametrize("snapshot", [False, True])
def test_more_trials_go_on_as_if_it_had_been_so_from_the_start(tmp_path, snapshot):
    first = asha(tmp_path, "few")
    Workers(first, by_values).run()
    first.finish()
    if not snapshot:
        (tmp_path / "few" / "snapshot.json").unlink()
    more = asha(tmp_path, "few", max_trials=100)
    Workers(more, by_values).run(steps=60)
    whole = asha(tmp_path, "whole", max_trials=100)
    Workers(whole, by_values).run(steps=200)
    assert len(more.trials) > 9
    known = decisions(tmp_path / "few")
    assert known == decisions(tmp_path / "whole")[: len(known)]
    assert list(more.trials) == [str(number) for number in range(len(more.trials))]  # as wide as it began
    assert "000" in whole.trials


@pytest.mark.parametrize("snapshot", [False, True])
def test_fewer_trials_than_were_started_are_refused(tmp_path, snapshot):
    first = asha(tmp_path)
    Workers(first, by_values).run()
    first.finish()
    if not snapshot:
        (tmp_path / "project" / "snapshot.json").unlink()
    with pytest.raises(ValueError, match=r"^max_trials=5: 9 trials were started already in .*; give at least 9"):
        asha(tmp_path, max_trials=5).reload()


def test_another_format_is_refused(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kt_ext.oracles.resume.FORMAT", 99)
        asha(tmp_path).create_trial("tuner0")
    with pytest.raises(ValueError, match=r"was written by kt_ext .* in format 99, and kt_ext .* reads format 1"):
        asha(tmp_path).reload()


def test_a_journal_of_other_decisions_is_refused(tmp_path, monkeypatch):
    Workers(asha(tmp_path), by_values).run()
    monkeypatch.setattr("kt_ext.schedulers.rungs.PromotionRung.promote", lambda self: None)
    with pytest.raises(ReplayDiffers, match="this scheduler decides"):
        asha(tmp_path).reload()


# Seeds


def test_seed_0_is_a_seed(tmp_path):
    oracle = asha(tmp_path, seed=0)
    assert oracle.seed == 0
    values = oracle.create_trial("tuner0").hyperparameters.values
    assert values == asha(seed=0).create_trial("tuner0").hyperparameters.values
    assert values != asha(seed=1).create_trial("tuner0").hyperparameters.values
    assert journal(tmp_path / "project")[0]["seed"] == 0


def test_numpy_seeds_are_seeds(tmp_path):
    assert (
        asha(tmp_path, seed=np.int64(5)).create_trial("tuner0").hyperparameters.values["rate"]
        == (asha(seed=5).create_trial("tuner0").hyperparameters.values["rate"])
    )


def test_no_seed_draws_one_and_keeps_it(tmp_path):
    first = asha(tmp_path, seed=None)
    Workers(first, by_values).run(steps=7)
    first.finish()
    second = asha(tmp_path, seed=None)
    assert second.seed != first.seed
    second.reload()
    assert second.seed == first.seed
    Workers(second, by_values).run()
    whole = asha(seed=first.seed)
    Workers(whole, by_values).run()
    assert found(second) == found(whole)


IN_ANOTHER_PROCESS = """
import json
from kt_ext.core.search import Search
from kt_ext.core.space import Choice, Float, Int, Parameter, Space
from kt_ext.schedulers.asha import ASHA
from kt_ext.searchers.random import RandomSearcher

space = Space([
    Parameter("rate", Float(1e-4, 1e-1, None, "log")),
    Parameter("units", Int(1, 100)),
    Parameter("kind", Choice(("a", "b", "c"))),
])
search = Search(ASHA(9, max_trials=9), RandomSearcher(), 3)
print(json.dumps([search.ask(space)[1].values for _ in range(9)]))
"""


def test_the_same_seed_gives_the_same_values_in_another_process():
    process = start(IN_ANOTHER_PROCESS)
    printed, _ = process.communicate(timeout=300)
    oracle = asha()
    ours = [oracle.create_trial(f"tuner{worker}").hyperparameters.values for worker in range(9)]
    assert json.loads(printed) == [{name: v[name] for name in ("rate", "units", "kind")} for v in ours]


def test_a_torn_line_is_dropped_with_a_notice(tmp_path, caplog):
    Workers(asha(tmp_path, "first"), by_values).run(steps=5)
    killed(tmp_path / "first", tmp_path / "second", 3, torn=True)
    with caplog.at_level(logging.WARNING, logger="kt_ext"):
        asha(tmp_path, "second").create_trial("tuner0")
    assert ["torn" in record.message for record in caplog.records] == [True]
