"""A whole search, killed by a real SIGKILL at named points: afterwards all is as if it had not been."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.killing import (
    JOURNAL,
    SCRIPT,
    SearchServer,
    contents,
    differences_of_searches,
    events,
    results,
    times_trained,
    trained_again,
)

pytestmark = [pytest.mark.skipif(os.name == "nt", reason="SIGKILL and fork"), pytest.mark.slow]

NIGHTLY = pytest.mark.nightly


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchServer]:
    server = SearchServer(tmp_path_factory.mktemp("output"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def unbroken(server: SearchServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("unbroken")
    assert server.run(directory).code == 0
    kinds = {event["e"] for event in events(directory)}
    assert kinds == {"search", "ask", "tell"}
    assert set(times_trained(directory).values()) == {1}
    assert not [name for name in contents(directory / "search") if name.endswith(".tmp")]
    assert {epoch for _, _, epoch, _ in results(directory)["trials"].values()} == {1, 3, 9}
    return directory


@pytest.fixture(scope="module")
def killed(server: SearchServer, unbroken: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Killed when trial 6 was in its fifth epoch, at the second of the segment to its ninth. Copy it."""
    directory = tmp_path_factory.mktemp("killed")
    assert server.run(directory, "mid-epoch:4").code == -signal.SIGKILL
    assert events(directory)[-1]["epoch"] == 4
    assert times_trained(directory)[6, 4] == 1
    return directory


def copy(directory: Path, to: Path) -> Path:
    return Path(shutil.copytree(directory, to / "copy"))


@pytest.mark.parametrize(
    ("point", "trained_twice"),
    [
        pytest.param("after-ask:1", 0, marks=NIGHTLY),
        pytest.param("after-ask:9", 0, marks=NIGHTLY),
        pytest.param("mid-epoch:1", 0, marks=NIGHTLY),
        ("checkpoint-write:15", 1),
        pytest.param("checkpoint-write:1", 1, marks=NIGHTLY),
        pytest.param("between-checkpoint-and-report:1", 0, marks=NIGHTLY),  # nothing was ever reported
        ("between-checkpoint-and-report:13", 0),
        ("journal-line:1", 0),  # not even the settings are recorded
        pytest.param("journal-line:2", 0, marks=NIGHTLY),
        pytest.param("journal-line:30", 0, marks=NIGHTLY),
        pytest.param("between-report-and-end:6", 0, marks=NIGHTLY),
        pytest.param("between-report-and-end:8", 0, marks=NIGHTLY),
        ("between-end-and-prune:1", 0),
        pytest.param("before-snapshot", 0, marks=NIGHTLY),
        ("snapshot-write", 0),
        pytest.param("snapshot-write:2", 0, marks=NIGHTLY),  # that at the end of the search
        pytest.param("between-snapshot-and-oracle-json", 0, marks=NIGHTLY),
    ],
)
def test_a_killed_search_goes_on_as_if_nothing_had_happened(
    server: SearchServer, unbroken: Path, tmp_path: Path, point: str, trained_twice: int
) -> None:
    directory = tmp_path / "killed"
    assert server.run(directory, point).code == -signal.SIGKILL
    ended = server.run(directory)
    assert ended.code == 0, ended.output
    assert differences_of_searches(directory, unbroken) == []
    assert trained_again(directory) == trained_twice
    assert ("torn by a kill" in ended.output) == point.startswith("journal-line")


def test_killed_again_and_again(server: SearchServer, unbroken: Path, tmp_path: Path) -> None:
    directory = tmp_path / "killed"
    for point in (
        *("after-ask:3", "between-checkpoint-and-report:2", "mid-epoch:1", "mid-epoch:1", "checkpoint-write:3"),
        *("between-report-and-end:2", "journal-line:8", "after-ask:1"),
        *("before-snapshot", "snapshot-write", "between-snapshot-and-oracle-json", "after-ask:1"),
    ):
        assert server.run(directory, point).code == -signal.SIGKILL, point
    ended = server.run(directory)
    assert ended.code == 0, ended.output
    assert differences_of_searches(directory, unbroken) == []
    assert trained_again(directory) == 1  # by the kill in the checkpoint


def test_killed_and_started_again_in_processes_that_share_nothing(unbroken: Path, tmp_path: Path) -> None:
    directory = tmp_path / "killed"
    for seed, point, code in (("1", "mid-epoch:2", -signal.SIGKILL), ("2", None, 0)):
        command = [sys.executable, str(SCRIPT), str(directory), *([point] if point else [])]
        assert subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}).returncode == code
    assert differences_of_searches(directory, unbroken) == []
    assert trained_again(directory) == 0


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(
    server: SearchServer, unbroken: Path, killed: Path, tmp_path: Path
) -> None:
    directory = copy(killed, tmp_path)
    last = directory / "search" / "trial_06" / "execution0" / "epoch-00004.ckpt"
    data = bytearray(last.read_bytes())
    data[-100] ^= 1
    last.write_bytes(data)

    ended = server.run(directory)
    assert ended.code == 0, ended.output
    assert f"{last}: damaged at byte " in ended.output
    assert "using the checkpoint before it" in ended.output
    assert differences_of_searches(directory, unbroken) == []
    assert times_trained(directory)[6, 4] == 2
    assert trained_again(directory) == 1


def test_a_journal_damaged_in_the_middle_is_refused_and_left_alone(
    server: SearchServer, killed: Path, tmp_path: Path
) -> None:
    directory = copy(killed, tmp_path)
    journal = directory / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    offset = sum(map(len, lines[:9]))  # that of line 10
    data = bytearray(journal.read_bytes())
    data[offset + 40] ^= 4
    journal.write_bytes(data)
    before = contents(directory)

    ended = server.run(directory)
    assert ended.code == 1
    assert f"JournalDamaged: {journal} is damaged at byte {offset}, line 10: its checksum fails" in ended.output
    assert contents(directory) == before


def test_a_line_torn_by_a_power_cut_is_noticed_and_the_search_goes_on(
    server: SearchServer, unbroken: Path, killed: Path, tmp_path: Path
) -> None:
    directory = copy(killed, tmp_path)
    journal = directory / JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-20])
    offset = whole[:-1].rindex(b"\n") + 1

    ended = server.run(directory)
    assert ended.code == 0, ended.output
    line = len(whole.splitlines())
    assert f"{journal}: the last line (line {line} at byte {offset}" in ended.output
    assert differences_of_searches(directory, unbroken) == []
    assert trained_again(directory) == 0  # the epoch whose report was torn is in the checkpoint


def test_a_second_search_in_the_directory_is_refused(server: SearchServer, unbroken: Path, tmp_path: Path) -> None:
    directory = tmp_path / "shared"
    first = server.start(directory, "mid-epoch:1:STOP")
    assert server.wait(first).code is None
    before = contents(directory)

    second = server.run(directory)
    assert second.code == 1
    assert f"kt_ext.lock is held by process {first} on " in second.output
    assert contents(directory) == before

    os.kill(first, signal.SIGCONT)
    assert server.wait(first).code == 0
    assert differences_of_searches(directory, unbroken) == []
    assert trained_again(directory) == 0
