"""A chief that is killed while two workers train, and workers that are not killed but silent: nothing is lost."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from faults.killing import results
from faults.watching import Watch, free_port, until, watching

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL and SIGSTOP")

SLOW, NIGHTLY = pytest.mark.slow, pytest.mark.nightly
WORKERS = ("worker0", "worker1")


class Cluster:
    """A chief and two workers of one script, as Keras Tuner's guide says."""

    def __init__(self, watch: Watch) -> None:
        self.watch, self.port = watch, str(free_port())
        self.chief = self.start("chief")
        self.workers = {name: self.start(name) for name in WORKERS}

    def start(self, name: str, output: str | None = None) -> subprocess.Popen[bytes]:
        return self.watch.start(
            output or name,
            KERASTUNER_TUNER_ID=name,
            KERASTUNER_ORACLE_IP="127.0.0.1",
            KERASTUNER_ORACLE_PORT=self.port,
            KT_EXT_CHIEF_PATIENCE="300",
        )

    def restart_chief(self) -> None:
        """The one before is dead."""
        assert self.chief.wait(60) == -signal.SIGKILL
        self.chief = self.start("chief")

    def end(self) -> None:
        """All end by themselves, and well."""
        for name, process in {"chief": self.chief, **self.workers}.items():
            assert process.wait(300) == 0, self.watch.output(name)[-3000:]

    def check_workers_lived_on(self) -> None:
        assert sorted(self.watch.worker_pids()) == sorted(process.pid for process in self.workers.values())


@contextmanager
def cluster(directory: Path, **options: Any) -> Iterator[Cluster]:
    with watching(directory, **options) as watch:
        yield Cluster(watch)


@SLOW
def test_a_chief_that_is_killed_and_started_again_finds_its_workers_at_work(tmp_path: Path) -> None:
    with cluster(tmp_path, kind="asha") as running:
        watch = running.watch
        until(lambda: len(watch.notes("epoch")) >= 6 and len(watch.worker_pids()) == 2, running.chief)
        running.chief.kill()
        running.restart_chief()
        running.end()
        running.check_workers_lived_on()
        watch.check_nothing_lost()
        assert watch.lost() == []
        assert watch.trained_again() == 0
        assert len(results(tmp_path)["trials"]) == 14


SAVES = ("before-snapshot", "snapshot-write:1", "between-snapshot-and-oracle-json")  # after a trial's, in mid-search


@NIGHTLY
@pytest.mark.parametrize(
    ("kind", "points"),
    [
        ("asha", ["journal-line:12", "journal-line:9", *SAVES]),
        ("pbt", ["journal-line:12", "after-exploit:1"]),
    ],
)
def test_a_chief_killed_again_and_again(tmp_path: Path, kind: str, points: list[str]) -> None:
    # Long enough for the last of the snapshots, whichever worker is faster.
    longer = {"max_trials": 27} if kind == "asha" else {}
    with cluster(tmp_path, kind=kind, on="chief", points=points, tuner=longer) as running:
        watch = running.watch
        for place in range(len(points)):
            until(lambda place=place: watch.reached(place), *running.workers.values())
            running.restart_chief()
        running.end()
        running.check_workers_lived_on()
        watch.check_nothing_lost()
        assert watch.lost() == []
        assert watch.trained_again() == 0
        assert "torn by a kill" in watch.output("chief")


@NIGHTLY
def test_what_is_no_reason_to_lose_a_trial(tmp_path: Path) -> None:
    """A wall clock that jumps, a worker that is stopped for less than its lease, another with its name."""
    lease = {"lease_seconds": 10.0, "heartbeat_seconds": 1.0}
    with cluster(tmp_path, kind="asha", hold=3, clock="jumps", tuner=lease) as running:
        watch = running.watch
        until(lambda: any(note["epoch"] == 3 for note in watch.notes("epoch")), running.chief)
        double = running.start("worker0", output="double")
        stopped = running.workers["worker1"]
        stopped.send_signal(signal.SIGSTOP)
        time.sleep(3.0)
        stopped.send_signal(signal.SIGCONT)
        assert double.wait(120) == 1
        assert "ChiefError" in watch.output("double") or "WorkerIdTaken" in watch.output("double")
        assert "worker_id='worker0': another process is at work" in watch.output("double")
        (tmp_path / "go").touch()
        running.end()
        watch.check_nothing_lost()
        assert watch.lost() == []
        assert watch.trained_again() == 0
        events = watch.times()
        assert max(later - earlier for earlier, later in itertools.pairwise(events)) < 1800  # no jump there


@NIGHTLY
def test_a_worker_that_is_stopped_for_longer_than_its_lease(tmp_path: Path) -> None:
    lease = {"lease_seconds": 2.0, "heartbeat_seconds": 0.5}
    with cluster(tmp_path, kind="asha", points=["mid-epoch:1:STOP"], epoch_seconds=0.3, tuner=lease) as running:
        watch = running.watch
        late = until(watch.reached, running.chief)
        name = next(name for name, process in running.workers.items() if process.pid == late)
        lost = f"worker {name!r} was silent for 2 seconds"
        try:
            until(lambda: lost in watch.lost(), running.chief)
            trial = [note["trial"] for note in watch.notes("trial") if note["pid"] == late][-1]
            others = [note for note in watch.notes("trial") if note["trial"] == trial and note["pid"] != late]
            until(lambda: [n for n in watch.notes("trial") if n["trial"] == trial and n["pid"] != late] != others)
        finally:
            os.kill(late, signal.SIGCONT)
        running.end()
        running.check_workers_lived_on()
        watch.check_nothing_lost()
        mine = [(note["did"], note["trial"]) for note in watch.notes_of(late)]
        assert f"trial {trial:02d} is left to another worker" in watch.output(name)
        assert watch.trained_again() <= 1  # the epoch that was refused
        after = mine[len(mine) - mine[::-1].index(("epoch", trial)) :]
        assert {did for did, _ in after} == {"trial", "epoch"}  # it went on with others
