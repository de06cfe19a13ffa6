"""The project directory: read by stock Keras Tuner, held by one search at a time, on a disk that fills up."""

from __future__ import annotations

import json
import os
from pathlib import Path

import keras_tuner
import pytest

from bad_disks import file_size_limit, tiny_disk
from kt_ext.core.durable import StorageError
from kt_ext.core.lock import ProjectLocked
from kt_ext.oracles.project import check_project_name
from oracles.oracle_driving import Workers, asha, by_values, decisions, journal, killed, outcome, placed


def stock(directory: Path, name: str = "project") -> keras_tuner.Oracle:
    """Keras Tuner's own oracle on a project of ours."""
    oracle = keras_tuner.oracles.RandomSearchOracle(keras_tuner.Objective("loss", "min"), max_trials=20, seed=1)
    placed(oracle, directory, name)
    oracle.reload()
    return oracle


def test_stock_keras_tuner_reads_a_finished_search(tmp_path):
    oracle = asha(tmp_path)
    Workers(oracle, by_values).run()
    oracle.finish()
    theirs = stock(tmp_path)
    assert outcome(theirs) == outcome(oracle)
    # Trial 4 began well and diverged later: its one finite epoch counts.
    assert [t.trial_id for t in theirs.get_best_trials(9)] == [t.trial_id for t in oracle.get_best_trials(9)]
    assert theirs.get_space().get_config()["space"] == oracle.get_space().get_config()["space"]
    assert (theirs.start_order, theirs.end_order) == (oracle.start_order, oracle.end_order)
    assert (theirs.seed, theirs.ongoing_trials, theirs._retry_queue) == (3, {}, [])


def test_stock_keras_tuner_reads_a_search_killed_in_mid_trial(tmp_path):
    oracle = asha(tmp_path, "running", variant="stopping")
    Workers(oracle, by_values, count=3).run(steps=25)
    assert len(oracle.ongoing_trials) == 3
    oracle.save()
    for trial in list(oracle.ongoing_trials.values()):
        step = oracle.search.history.epochs_of(int(trial.trial_id)) + 1
        oracle.update_trial(trial.trial_id, {"loss": 0.0}, step=step)
    killed(tmp_path / "running", tmp_path / "killed")
    theirs = stock(tmp_path, "killed")
    assert set(theirs.trials) == set(oracle.trials)
    assert sorted(theirs._retry_queue) == sorted(trial.trial_id for trial in oracle.ongoing_trials.values())
    for trial_id in oracle.end_order:
        assert outcome(theirs)[trial_id] == outcome(oracle)[trial_id]


def test_trial_files_are_what_keras_tuner_writes(tmp_path):
    oracle = asha(tmp_path)
    Workers(oracle, by_values).run()
    for trial in oracle.trials.values():
        ours = json.loads((tmp_path / "project" / f"trial_{trial.trial_id}" / "trial.json").read_text())
        assert str(sorted(ours.items())) == str(sorted(json.loads(json.dumps(trial.get_state())).items()))


def test_one_search_at_a_time(tmp_path):
    first, second = asha(tmp_path), asha(tmp_path)
    first.create_trial("tuner0")
    with pytest.raises(ProjectLocked, match=f"process {os.getpid()} "):
        second.create_trial("tuner0")
    assert second.trials == {}
    second.reload()  # to look at the results needs no lock
    assert (list(second.trials), second.trials["0"].status) == (["0"], "RUNNING")
    first.update_trial("0", {"loss": 0.25}, step=1)
    second.reload()
    assert [(t.trial_id, t.score) for t in second.get_best_trials()] == [("0", 0.25)]
    first.finish()
    assert second.create_trial("tuner0").trial_id == "1"
    with pytest.raises(ProjectLocked):
        first.create_trial("tuner0")


def test_reading_an_absent_project_finds_nothing_and_makes_nothing(tmp_path):
    oracle = asha(tmp_path)
    oracle.reload()
    assert oracle.trials == {}
    assert list(tmp_path.iterdir()) == []


def test_reload_leaves_a_running_search_alone(tmp_path):
    oracle = asha(tmp_path)
    trial = oracle.create_trial("tuner0")
    oracle.reload()
    assert oracle.ongoing_trials == {"tuner0": trial}
    assert oracle.update_trial("0", {"loss": 1.0}, step=1).status == "STOPPED"


def test_a_search_goes_on_after_finish(tmp_path):
    whole = asha(tmp_path, "whole")
    Workers(whole, by_values).run()
    oracle = asha(tmp_path)
    Workers(oracle, by_values).run(steps=11)
    oracle.finish()
    oracle.finish()
    Workers(oracle, by_values).run()
    assert decisions(tmp_path / "project") == decisions(tmp_path / "whole")


def test_a_failed_append_ends_the_search_and_nothing_unrecorded_counts(tmp_path):
    whole = asha(tmp_path, "whole")
    Workers(whole, by_values).run()
    oracle = asha(tmp_path)
    workers = Workers(oracle, by_values)
    workers.run(steps=10)
    trial = oracle.create_trial("tuner0")
    project = tmp_path / "project"
    before = journal(project)
    step = oracle.search.history.epochs_of(int(trial.trial_id)) + 1
    with (
        file_size_limit((project / "journal.jsonl").stat().st_size + 20),
        pytest.raises(StorageError, match=r"cannot append to .*journal\.jsonl"),
    ):
        oracle.update_trial(trial.trial_id, by_values(trial, step), step=step)
    assert journal(project) == before
    # There is room again, but this oracle has decided what is not on record.
    for call in (
        lambda: oracle.create_trial("tuner0"),
        lambda: oracle.create_trial("tuner1"),
        lambda: oracle.update_trial(trial.trial_id, {"loss": 1.0}, step=step + 1),
        lambda: oracle.end_trial(trial),
    ):
        with pytest.raises(StorageError, match="this search decides no more, since its last decision may not be on"):
            call()
    assert journal(project) == before
    oracle.finish()
    # Begun again, be it by the same oracle, it goes on from what is.
    again = oracle.create_trial("tuner0")
    assert (again.trial_id, again.hyperparameters.values["tuner/initial_epoch"]) == (trial.trial_id, step - 1)
    oracle.finish()
    Workers(asha(tmp_path), by_values).run()
    assert decisions(project) == decisions(tmp_path / "whole")


def test_an_interrupt_between_decision_and_record_is_no_decision(tmp_path, monkeypatch):
    whole = asha(tmp_path, "whole")
    Workers(whole, by_values).run()
    oracle = asha(tmp_path)
    Workers(oracle, by_values).run(steps=10)
    trial = oracle.create_trial("tuner0")

    def interrupt(event):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(oracle.files, "append", interrupt)
        step = oracle.search.history.epochs_of(int(trial.trial_id)) + 1
        oracle.update_trial(trial.trial_id, by_values(trial, step), step=step)
    with pytest.raises(StorageError, match="KeyboardInterrupt"):
        oracle.create_trial("tuner0")
    oracle.finish()
    Workers(oracle, by_values).run()
    assert decisions(tmp_path / "project") == decisions(tmp_path / "whole")


@pytest.mark.parametrize("free", [8, 24, 40])
def test_a_full_disk_in_mid_search(tmp_path, free):
    whole = asha(tmp_path, "whole")
    Workers(whole, by_values).run()
    disk = tmp_path / "disk"
    disk.mkdir()
    with tiny_disk(disk, "512k"):
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 1024 * (512 - free))
        oracle = asha(disk)
        with pytest.raises(StorageError, match="No space left on device"):
            Workers(oracle, by_values).run()
        with pytest.raises(StorageError):
            oracle.create_trial("tuner0")
        ballast.unlink()
        again = asha(disk)
        Workers(again, by_values).run()
        assert decisions(disk / "project") == decisions(tmp_path / "whole")
        again.finish()
        assert set(stock(disk).trials) == set(whole.trials)


@pytest.mark.parametrize("name", ["../x", "a/../../b", "/tmp/x", "a\0b", "", "..", "a\\..\\b"])
def test_project_names_that_leave_the_directory(name):
    with pytest.raises(ValueError, match=r"^project_name=.*: must be a name inside `directory`"):
        check_project_name(name)


@pytest.mark.parametrize("name", [None, "a", "a/b", "a..b", Path("x")])
def test_project_names_inside_the_directory(name):
    check_project_name(name)


def test_remote_directories_are_refused():
    with pytest.raises(ValueError, match=r"^directory='gs://bucket/x': must be a directory of this machine's"):
        asha()._set_project_dir("gs://bucket/x", "project")
