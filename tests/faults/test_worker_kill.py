"""Worker processes that are killed, that hang, or whose parent is killed: the search goes on as if it had not been.

A worker that the kernel kills for lack of memory looks like one that kills itself: a real lack of memory would need a
control group of its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.killing import SearchServer, decisions, differences, results
from faults.watching import Watch, gap_seconds, until, watching

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL and fork")

SLOW, NIGHTLY = pytest.mark.slow, pytest.mark.nightly
KILLED = "killed by SIGKILL (out of memory?)"


def decided(directory: Path) -> list[dict[str, Any]]:
    """Decisions, whoever they were for."""
    return [{k: v for k, v in event.items() if k != "worker"} for event in decisions(directory)]


def went_on_elsewhere(watch: Watch, dead: int) -> None:
    """The trial that a killed worker had last was trained on in another process, from the epoch that it had reached."""
    trial = [note["trial"] for note in watch.notes("trial") if note["pid"] == dead][-1]
    processes = [note["pid"] for note in watch.notes("trial") if note["trial"] == trial]
    assert any(pid != dead for pid in processes[processes.index(dead) :])


@SLOW
def test_two_workers_are_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    with watching(tmp_path, kind="asha", workers=2, points=["mid-epoch:1", "checkpoint-write:2"]) as watch:
        watch.run()
        watch.check_nothing_lost()
        assert [reason.split(": ", 1)[1] for reason in watch.lost()] == [KILLED] * 2
        for place in range(2):
            dead = watch.reached(place)
            assert dead is not None
            went_on_elsewhere(watch, dead)
        assert watch.trained_again() == 1  # the epoch whose checkpoint was being written
        assert len(results(tmp_path)["trials"]) == 14
        assert watch.nobody_lives()
        print("offered again, and taken, after", gap_seconds(watch), "s")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same search in one process, never killed."""
    server = SearchServer(tmp_path_factory.mktemp("output"))
    directory = tmp_path_factory.mktemp("unbroken")
    assert server.run(directory).code == 0
    yield directory
    server.close()


@NIGHTLY
@pytest.mark.parametrize(
    ("points", "trained_twice"),
    [
        (["handed-out:1"], 0),
        (["between-checkpoint-and-report:1", "mid-epoch:2"], 0),
        (["checkpoint-write:6", "between-report-and-end:3"], 1),
    ],
)
def test_with_one_worker_every_decision_is_that_of_a_search_in_one_process(
    unbroken: Path, tmp_path: Path, points: list[str], trained_twice: int
) -> None:
    with watching(tmp_path, kind="asha", workers=1, points=points) as watch:
        watch.run()
        watch.check_nothing_lost()
        assert len(watch.lost()) + (points[-1] == "between-report-and-end:3") == len(points)
        assert len(set(watch.worker_pids())) == len(points) + 1
        assert watch.trained_again() == trained_twice
        assert differences(decided(tmp_path), decided(unbroken)) == []


@NIGHTLY
@pytest.mark.parametrize("bad", ["hang", "hang-in-build"])
def test_a_hung_trial_fails_and_its_process_is_replaced(tmp_path: Path, bad: str) -> None:
    options: dict[str, Any] = {"kind": "one-bad", "workers": 1, "bad": bad, "tuner": {"trial_timeout": 20.0}}
    with watching(tmp_path, **options) as watch:
        watch.run()
        trials = results(tmp_path)["trials"]
        assert [status for status, *_ in trials.values()] == ["COMPLETED"] * 2 + ["FAILED"] + ["COMPLETED"] * 2
        assert trials["2"][3] == "worker 'worker-0' made no report for trial_timeout=20 seconds"
        assert len(set(watch.worker_pids())) == 2
        log = (tmp_path / "search" / "workers" / "worker-0.log").read_text()
        assert f"in {'build' if bad == 'hang-in-build' else 'misbehave'}" in log  # where it hung
        assert watch.nobody_lives()


@NIGHTLY
def test_a_trial_that_kills_its_workers_fails_after_three(tmp_path: Path) -> None:
    with watching(tmp_path, kind="one-bad", workers=2, bad="die") as watch:
        watch.run()
        trials = results(tmp_path)["trials"]
        assert [status for status, *_ in trials.values()] == ["COMPLETED"] * 2 + ["FAILED"] + ["COMPLETED"] * 2
        assert "its workers were lost 3 times in a row without a new epoch" in trials["2"][3]
        assert trials["2"][3].count(KILLED) == 3
        assert len(watch.lost()) == 3
        assert "its workers were lost 3 times in a row" in watch.output()


@NIGHTLY
def test_a_killed_parent_takes_its_workers_along_and_the_search_goes_on(tmp_path: Path) -> None:
    with watching(tmp_path, kind="asha", workers=2) as watch:
        for least in (6, 14):
            parent = watch.start()
            until(lambda least=least: len(watch.notes("epoch")) >= least, parent)
            os.kill(parent.pid, signal.SIGKILL)
            parent.wait()
            until(watch.nobody_lives)
        killed = set(watch.worker_pids())
        before = len(watch.events("tell"))
        watch.run()
        watch.check_nothing_lost()
        assert len(watch.events("tell")) > before
        assert watch.trained_again() <= len(killed)  # the epoch that each had in flight
        assert watch.nobody_lives()


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(["before-restore:1", "loser-first-epoch:1"], marks=SLOW),
        pytest.param(["after-restore:1", "mid-epoch:1"], marks=NIGHTLY),
    ],
)
def test_a_population_whose_workers_are_killed_while_they_take_over_a_state(tmp_path: Path, points: list[str]) -> None:
    """Two kills of one member without an epoch in between; the third would be its last."""
    with watching(tmp_path, kind="pbt", workers=2, points=points) as watch:
        watch.run()
        watch.check_nothing_lost()
        told = sorted((event["trial"], event["epoch"]) for event in watch.events("tell"))
        assert told == [(member, epoch) for member in range(4) for epoch in range(1, 10)]
        assert len(watch.lost()) == 2
        assert watch.trained_again() == 0
        rows = results(tmp_path)["lineage"]
        assert [epoch for epoch, *_ in rows] == sorted(epoch for epoch, *_ in rows)
        assert {epoch for epoch, *_ in rows} <= {3, 6}
        assert rows
        assert "cannot take over" not in "".join(
            path.read_text() for path in (tmp_path / "search" / "workers").glob("*.log")
        )
