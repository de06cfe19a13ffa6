"""A search of a population, killed by a real SIGKILL at named points: the lineage is as if it had not been."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.killing import (
    SearchServer,
    contents,
    differences_of_searches,
    events,
    results,
    times_trained,
    trained_again,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL and fork")

SLOW, NIGHTLY = pytest.mark.slow, pytest.mark.nightly


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchServer]:
    server = SearchServer(tmp_path_factory.mktemp("output"), "pbt")
    yield server
    server.close()


@pytest.fixture(scope="module")
def unbroken(server: SearchServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("unbroken")
    ended = server.run(directory)
    assert ended.code == 0, ended.output
    assert {event["e"] for event in events(directory)} == {"search", "declare", "ask", "tell"}
    assert dict(times_trained(directory)) == {(member, epoch): 1 for member in range(4) for epoch in range(1, 10)}
    lineage = results(directory)["lineage"]
    assert [epoch for epoch, *_ in lineage] == [3, 3, 6, 6]
    # A donor that goes on first trains three epochs more before its state is taken over.
    assert any(int(donor) < int(member) for _, member, donor, *_ in lineage)
    checkpoints = [name for name in contents(directory / "search") if name.endswith(".ckpt")]
    assert len(checkpoints) == 4
    return directory


#: A kill at each, and how many epochs are trained twice for it.
POINTS = {
    "after-exploit:2": 0,
    "before-restore:3": 0,
    "after-restore:2": 0,
    "checkpoint-write:16": 1,
    "between-checkpoint-and-report:12": 0,  # the last to come, so the others are waiting for this report
    "between-report-and-end:4": 0,
}
MORE_POINTS = {
    "after-exploit:1": 0,
    "after-exploit:4": 0,
    "before-restore:1": 0,
    "loser-first-epoch:1": 0,
    "loser-first-epoch:4": 0,
    "after-ask:1": 0,
    "after-ask:6": 0,
    "mid-epoch:5": 0,
    "checkpoint-write:3": 1,
    "between-checkpoint-and-report:3": 0,
    "between-checkpoint-and-report:14": 0,
    "journal-line:2": 0,  # before it is known what may change
    "journal-line:20": 0,
    "between-end-and-prune:1": 0,
    "before-snapshot": 0,
    "snapshot-write": 0,
    "between-snapshot-and-oracle-json": 0,
}


@pytest.mark.parametrize(
    ("point", "trained_twice"),
    [pytest.param(*item, marks=SLOW) for item in POINTS.items()]
    + [pytest.param(*item, marks=NIGHTLY) for item in MORE_POINTS.items()],
)
def test_a_killed_population_goes_on_as_if_nothing_had_happened(
    server: SearchServer, unbroken: Path, tmp_path: Path, point: str, trained_twice: int
) -> None:
    directory = tmp_path / "killed"
    assert server.run(directory, point).code == -signal.SIGKILL
    ended = server.run(directory)
    assert ended.code == 0, ended.output
    assert "cannot take over" not in ended.output
    assert differences_of_searches(directory, unbroken) == []
    assert trained_again(directory) == trained_twice


@SLOW
def test_killed_at_every_step_of_an_exploit(server: SearchServer, unbroken: Path, tmp_path: Path) -> None:
    directory = tmp_path / "killed"
    for point in (
        *("after-exploit:1", "before-restore:1", "after-restore:1", "loser-first-epoch:1"),
        *("between-checkpoint-and-report:1", "mid-epoch:1", "before-restore:2", "between-checkpoint-and-report:4"),
    ):
        assert server.run(directory, point).code == -signal.SIGKILL, point
    ended = server.run(directory)
    assert ended.code == 0, ended.output
    assert differences_of_searches(directory, unbroken) == []
    assert trained_again(directory) == 0
