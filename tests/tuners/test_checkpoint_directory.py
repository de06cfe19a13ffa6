"""Searches whose checkpoints lie elsewhere than in the project: in an object store, or shared by worker processes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fsspec")

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

import kt_ext
from kt_ext.core.durable import StorageError
from kt_ext.core.journal import Journal
from kt_ext.tuners.segment import store_of
from object_stores import Failing, HttpError
from tuners.populations import lineage, population
from tuners.searches import all_epochs, assert_same_epochs, build, data, values_of
from tuners.test_keras_tuner_features import asha, evaluated, searched

SLOW = pytest.mark.slow


@pytest.fixture(autouse=True)
def empty_stores() -> Iterator[None]:
    yield
    MemoryFileSystem.store.clear()
    Failing.reset()


def named(tmp_path: Path, name: str) -> dict[str, str]:
    return {"directory": str(tmp_path), "project_name": name}


def checkpoints_in(address: str) -> list[str]:
    """Paths inside the address, sorted."""
    fs, root = fsspec.url_to_fs(address)
    return sorted(path.removeprefix(root) for path in fs.find(root))


def assert_same_search(one: Any, other: Any) -> None:
    assert values_of(one) == values_of(other)
    assert_same_epochs(all_epochs(one), all_epochs(other))


def trained_epochs(tuner: Any) -> list[tuple[int, int]]:
    events = [event for _, event in Journal.read(Path(tuner.project_dir) / "journal.jsonl")]
    return [(event["trial"], event["epoch"]) for event in events if event["e"] == "tell"]


# What is refused before anything is trained


def test_an_unknown_protocol_names_the_argument_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^checkpoint_directory='gcs3://b': .*Protocol not known: gcs3; give a path, or"
    ):
        asha(checkpoint_directory="gcs3://b", **named(tmp_path, "p"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_unreachable_store_names_the_argument(tmp_path: Path, overwrite: bool) -> None:
    Failing.fails = HttpError("no route to host")
    with pytest.raises(
        StorageError, match=r"^checkpoint_directory='failing://b': cannot .*HttpError: no route to host"
    ):
        searched(asha(checkpoint_directory="failing://b", overwrite=overwrite, **named(tmp_path, "p")))
    Failing.fails = None
    assert asha(checkpoint_directory="failing://b", **named(tmp_path, "p")).oracle.trials == {}


def test_a_path_that_cannot_be_written_to_names_the_argument(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"^checkpoint_directory='.*/file': cannot save .*: Not a directory"):
        searched(asha(checkpoint_directory=str(tmp_path / "file"), **named(tmp_path, "p")))


def test_checkpoints_of_another_search_are_neither_used_nor_overwritten(tmp_path: Path) -> None:
    first = searched(asha(checkpoint_directory="memory://b", max_trials=1, **named(tmp_path / "a", "p")))
    there = checkpoints_in("memory://b")
    assert there == [f"/p/trial_0/execution0/epoch-0000{first.oracle.trials['0'].best_step}.ckpt"]
    other = asha(checkpoint_directory="memory://b", **named(tmp_path / "b", "p"))
    with pytest.raises(
        ValueError, match=r"^checkpoint_directory='memory://b': memory://b/p holds the checkpoints of an"
    ):
        searched(other)
    assert (checkpoints_in("memory://b"), other.oracle.trials) == (there, {})


@pytest.mark.slow
def test_overwrite_removes_the_projects_checkpoints_and_no_others(tmp_path: Path) -> None:
    for name in ("p", "q"):
        searched(asha(checkpoint_directory="memory://b", max_trials=1, **named(tmp_path, name)))
    MemoryFileSystem().pipe_file("/b/p/notes.txt", b"mine")
    (of_q,) = checkpoints_in("memory://b/q")
    asha(checkpoint_directory="memory://b", overwrite=True, **named(tmp_path, "p"))
    assert checkpoints_in("memory://b") == ["/p/notes.txt", f"/q{of_q}"]


# Searches


def test_a_path_of_another_disk(tmp_path: Path) -> None:
    tuner = searched(asha(checkpoint_directory=tmp_path / "scratch", max_trials=1, **named(tmp_path, "p")))
    assert not list(Path(tuner.project_dir).rglob("*.ckpt"))
    (file,) = (tmp_path / "scratch").rglob("*.ckpt")
    assert file.parent == tmp_path / "scratch" / "p" / "trial_0" / "execution0"
    assert evaluated(tuner.get_best_models()[0])["loss"] == pytest.approx(
        tuner.oracle.get_best_trials()[0].score, abs=1e-5
    )


@SLOW
def test_asha_is_the_same_search_and_goes_on(tmp_path: Path) -> None:
    unbroken = searched(asha(max_trials=9, max_epochs=9, **named(tmp_path, "unbroken")))
    settings = {"checkpoint_directory": "memory://b/run/", "max_trials": 9, "max_epochs": 9, **named(tmp_path, "p")}
    searched(asha(max_total_epochs=7, **settings))
    tuner = searched(asha(**settings))
    assert_same_search(tuner, unbroken)
    assert trained_epochs(tuner) == trained_epochs(unbroken)
    assert not list(Path(tuner.project_dir).rglob("*.ckpt"))
    for trial_id in tuner.oracle.trials:
        assert store_of(tuner, trial_id, 0).epochs() == store_of(unbroken, trial_id, 0).epochs()
    again = asha(**settings)  # as another process would for the results
    assert evaluated(again.get_best_models()[0])["loss"] == pytest.approx(
        again.oracle.get_best_trials()[0].score, abs=1e-5
    )


@SLOW
def test_pbt_takes_over_states_from_the_store(tmp_path: Path) -> None:
    def run(name: str, **more: Any) -> kt_ext.PBTTuner:
        return searched(population(**named(tmp_path, name), **more), batch_size=50)

    on_disk = run("disk")
    run("memory", checkpoint_directory="memory://b", max_total_epochs=13)
    tuner = run("memory", checkpoint_directory="memory://b")
    assert len(lineage(tuner)) > 0
    assert lineage(tuner) == lineage(on_disk)
    assert_same_search(tuner, on_disk)
    assert not list(Path(tuner.project_dir).rglob("*.ckpt"))


@SLOW
@pytest.mark.parametrize(
    "broken_put", [2, pytest.param(5, marks=pytest.mark.nightly), pytest.param(8, marks=pytest.mark.nightly)]
)
def test_an_interrupted_put_costs_one_epoch(tmp_path: Path, broken_put: int, caplog: pytest.LogCaptureFixture) -> None:
    """The search ends with one error, blames no trial, and goes on from the checkpoint before."""
    unbroken = searched(asha(max_trials=5, **named(tmp_path, "unbroken")))
    settings = {"checkpoint_directory": "failing://b", "max_trials": 5, **named(tmp_path, "p")}
    Failing.fails_at_put = broken_put
    with pytest.raises(StorageError, match=r"cannot save failing://b/p/trial_\d/execution0/epoch-\d+\.ckpt: HttpError"):
        searched(asha(**settings))
    tuner = searched(asha(**settings))
    assert_same_search(tuner, unbroken)
    assert sorted(trained_epochs(tuner)) == sorted(trained_epochs(unbroken))  # none was reported twice
    assert re.search(r"epoch-\d+\.ckpt: damaged at byte \d+, .*; using the checkpoint before it", caplog.text)
    assert Failing.puts == len(trained_epochs(tuner)) + 1 + 2  # each search tries first whether it can write


class Visited(kt_ext.PBTTuner):
    """Notes which process begins which segment."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        with open(Path(self.project_dir) / "visits.jsonl", "a") as file:
            file.write(json.dumps({"worker": self.tuner_id, "trial": trial.trial_id}) + "\n")
        return super().run_trial(trial, *args, **kwargs)


@SLOW
def test_two_processes_share_a_store_and_the_search_goes_on(tmp_path: Path) -> None:
    address = f"file://{tmp_path}/store"

    def run(**more: Any) -> kt_ext.PBTTuner:
        tuner = Visited(
            build, "val_loss", population_size=4, max_epochs=8, perturbation_interval=2, seed=0, executor="process",
            workers=2, checkpoint_directory=address, **named(tmp_path, "p"), **more,
        )  # fmt: skip
        tuner.search(**data(), batch_size=50, verbose=0)
        return tuner

    run(max_total_epochs=12)
    tuner = run()
    assert sorted(trained_epochs(tuner)) == [(member, epoch) for member in range(4) for epoch in range(1, 9)]
    visits = [json.loads(line) for line in (Path(tuner.project_dir) / "visits.jsonl").read_text().splitlines()]
    assert {visit["worker"] for visit in visits} == {"worker-0", "worker-1"}
    assert len(tuner.lineage()) > 0
    for log in (Path(tuner.project_dir) / "workers").iterdir():
        assert "no good checkpoint" not in log.read_text()
        assert "cannot take over" not in log.read_text()
    assert not list(Path(tuner.project_dir).rglob("*.ckpt"))
    best = tuner.oracle.get_best_trials()[0]
    assert evaluated(tuner.get_best_models()[0])["loss"] == pytest.approx(best.score, abs=1e-5)
