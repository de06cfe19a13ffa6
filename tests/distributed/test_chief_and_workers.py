"""Keras Tuner's own chief and workers: real processes that speak its gRPC protocol, started as its guide says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from distributed.user_script import data, tuner_of
from kt_ext.core.journal import Journal
from kt_ext.core.search import Search
from kt_ext.schedulers import ASHA, FIFO
from kt_ext.searchers import make_searcher

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("user_script.py")
STEPS_PER_EPOCH = 4  # 200 samples in batches of 50
DEADLINE_SECONDS = 300


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Cluster:
    """A chief and two workers on one directory, run to their end.

    Attributes:
        output: by name, what each printed.
        did: by worker, what it wrote down.
    """

    def __init__(self, directory: Path, kind: str) -> None:
        self.directory, self.kind = directory, kind
        project = directory / "search"
        project.mkdir()
        (project / "of-an-earlier-search").touch()  # every process says overwrite=True
        port = free_port()
        processes = {"chief": self._start("chief", port)}
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not listens(port) and processes["chief"].poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        processes |= {name: self._start(name, port) for name in ("worker0", "worker1")}
        try:
            for process in processes.values():
                process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass  # the exit codes say which
        finally:
            for process in processes.values():
                process.kill()
        self.output = {name: (directory / f"{name}.txt").read_text() for name in processes}
        codes = {name: process.wait() for name, process in processes.items()}
        assert codes == {"chief": 0, "worker0": 0, "worker1": 0}, self.output
        self.did = {name: self._notes(name) for name in ("worker0", "worker1")}

    def _start(self, name: str, port: int) -> subprocess.Popen[bytes]:
        env = os.environ | {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(port),
        }
        command = [sys.executable, str(SCRIPT), str(self.directory), self.kind]
        with open(self.directory / f"{name}.txt", "wb") as output:
            return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env)

    def _notes(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory / f"{name}.jsonl").read_text().splitlines()]

    @property
    def epochs(self) -> list[tuple[str, dict[str, Any]]]:
        """Every epoch trained, with its worker."""
        return [(name, note) for name, notes in self.did.items() for note in notes if note["did"] == "epoch"]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for _, event in Journal.read(self.directory / "search" / "journal.jsonl")]

    def best(self) -> tuple[float, float]:
        """What the same script finds in this process, which is neither chief nor worker: score and loss of the best."""
        tuner = tuner_of(self.kind, directory=str(self.directory), project_name="search")
        model = tuner.get_best_models()[0]
        return tuner.oracle.get_best_trials()[0].score, model.evaluate(*data()[1], verbose=0, return_dict=True)["loss"]


@pytest.fixture(scope="module")
def asha(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return Cluster(tmp_path_factory.mktemp("asha"), "asha")


@pytest.fixture(scope="module")
def fifo(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return Cluster(tmp_path_factory.mktemp("fifo"), "fifo")


def replayed(events: list[dict[str, Any]], scheduler: Any) -> Search:
    """The search that the journal records; raises ReplayDiffers where the scheduler would have decided otherwise."""
    search = Search(scheduler, make_searcher("random", 0), seed=0)
    for event in events:
        search.replay(event)
    return search


def test_the_chief_decided_by_asha_whatever_came_from_which_worker(asha: Cluster) -> None:
    search = replayed(asha.events, ASHA(max_epochs=9, factor=3, max_trials=9))
    assert search.running == 0
    reached = {rung: sum(search.history.epochs_of(trial) >= rung for trial in range(9)) for rung in (1, 3, 9)}
    assert reached[1] == 9
    assert reached[3] >= 3
    assert reached[9] >= 1


def test_every_epoch_is_trained_once_and_reported_once(asha: Cluster) -> None:
    told = [(event["trial"], event["epoch"]) for event in asha.events if event["e"] == "tell"]
    assert sorted((note["trial"], note["epoch"]) for _, note in asha.epochs) == sorted(told)
    for trial in range(9):
        epochs = [epoch for number, epoch in told if number == trial]
        assert epochs == list(range(1, len(epochs) + 1))
    assert {name for name, _ in asha.epochs} == {"worker0", "worker1"}


def test_a_trial_goes_on_where_it_was_on_another_worker(asha: Cluster) -> None:
    workers: dict[int, list[str]] = {}
    losses: dict[int, dict[int, float]] = {}
    for name, note in sorted(asha.epochs, key=lambda each: each[1]["epoch"]):
        assert note["steps"] == note["epoch"] * STEPS_PER_EPOCH  # those of the optimizer's own count
        workers.setdefault(note["trial"], []).append(name)
        losses.setdefault(note["trial"], {})[note["epoch"]] = note["loss"]
    moved = next(note["trial"] for note in asha.did["worker1"] if note["did"] == "epoch")
    assert workers[moved][:3] == ["worker0", "worker1", "worker1"]
    assert losses[moved][2] < losses[moved][1]


def test_values_come_back_as_they_went(asha: Cluster) -> None:
    kinds = {event["e"] for event in asha.events}
    assert kinds - {"given"} == {"search", "ask", "tell"}  # no "values": a worker's copy differed in nothing
    proposed = [event["values"] for event in asha.events if "values" in event]
    assert len(proposed) == 9
    for values in proposed:
        assert values.keys() >= {"kind", "bias", "rate"}
        assert type(values["bias"]) is bool
        assert ("beta" in values) == values["bias"]
        assert ("units" in values) == ("dropout" in values) == (values["kind"] == "deep")
    assert {values["bias"] for values in proposed} == {True, False}
    for path in (asha.directory / "search").glob("trial_*/trial.json"):
        saved = json.loads(path.read_text())["hyperparameters"]["values"]
        assert proposed[int(path.parent.name.removeprefix("trial_"))].items() <= saved.items()
        assert type(saved["bias"]) is bool


def test_only_the_chief_writes_journal_lock_and_tables(asha: Cluster) -> None:
    files = {path.name for path in (asha.directory / "search").iterdir() if path.is_file()}
    assert files == {"journal.jsonl", "snapshot.json", "kt_ext.lock", "oracle.json", "chief.json"}
    assert "Search ended: all 9 trials are done" in asha.output["chief"]
    for worker in ("worker0", "worker1"):
        assert "Search ended" not in asha.output[worker]
        assert "Traceback" not in asha.output[worker]


def test_a_worker_with_nothing_to_do_does_not_keep_the_chief_busy(asha: Cluster) -> None:
    for name, notes in asha.did.items():
        asked = sum(note["did"] == "ask" for note in notes)
        segments = sum(event["e"] == "ask" for event in asha.events)
        assert asked < segments + 100, name


def test_the_best_model_is_there_for_a_process_on_its_own(asha: Cluster) -> None:
    score, loss = asha.best()
    assert score == min(event["metrics"]["val_loss"] for event in asha.events if event["e"] == "tell")
    assert loss == pytest.approx(score, abs=1e-5)


@pytest.mark.nightly
def test_fifo_with_two_executions_and_hyperparameters_that_appear_on_a_worker(fifo: Cluster) -> None:
    search = replayed(fifo.events, FIFO(max_trials=6, max_epochs=2))
    assert [search.history.epochs_of(trial) for trial in range(6)] == [2] * 6
    trained = sorted((note["trial"], note["epoch"]) for _, note in fifo.epochs)
    assert trained == sorted((trial, epoch) for trial in range(6) for epoch in (1, 2) for _ in range(2))
    assert {name for name, _ in fifo.epochs} == {"worker0", "worker1"}

    late = [event["entries"] for event in fifo.events if event["e"] == "space"]
    assert [entry["config"]["name"] for entry in late[0]] == ["factor", "scaling"]  # the wire puts Floats first
    seen = 0
    for trial in range(6):
        values = search.history.values(trial)
        assert ("factor" in values) == (values.get("scaling") == "some")
    for event in fifo.events:
        if event["e"] == "ask" and "scaling" in event["values"]:
            seen += 1
            assert ("factor" in event["values"]) == (event["values"]["scaling"] == "some")
    assert seen >= 2

    score, loss = fifo.best()
    means = [event["metrics"]["val_loss"] for event in fifo.events if event["e"] == "tell"]
    assert score == min(means)
    assert loss <= score + 1e-5  # the best of the two executions
