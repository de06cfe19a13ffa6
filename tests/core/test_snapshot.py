from __future__ import annotations

import math
import os
import stat
from pathlib import Path

import pytest

from bad_disks import file_size_limit, read_only, tiny_disk
from kt_ext.core.durable import StorageError
from kt_ext.core.journal import Journal, JournalDamaged, Position
from kt_ext.core.snapshot import read_snapshot, write_atomic, write_snapshot

STATE = {"scores": [0.5, math.inf], "name": "größe", "trials": {"0": {"epoch": 3}}}
PLACE = Position(1234, 17)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "snapshot.json"


def fold(state: dict, event: dict) -> dict:
    """A state that depends on every event and on their order."""
    return {"sum": (state["sum"] * 31 + event["i"]) % 1_000_003, "count": state["count"] + 1}


def test_state_and_position_come_back(path):
    write_snapshot(path, STATE, PLACE)
    assert read_snapshot(path) == (STATE, PLACE)


def test_an_absent_snapshot_is_none(path, caplog):
    assert read_snapshot(path) is None
    assert caplog.records == []


def test_a_snapshot_and_the_journals_tail_equal_a_full_replay(path, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    state, states = {"sum": 1, "count": 0}, []
    for i in range(60):
        journal.append({"i": i * i})
        state = fold(state, {"i": i * i})
        states.append((state, journal.position))
    journal.close()
    for at, place in states:
        write_snapshot(path, at, place)
        replayed, start = read_snapshot(path)
        for _, event in Journal.read(tmp_path / "journal.jsonl", start):
            replayed = fold(replayed, event)
        assert replayed == state


def test_a_snapshot_of_lines_that_the_journal_has_lost_is_refused(path, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for i in range(3):
        journal.append({"i": i})
    write_snapshot(path, {}, journal.position)
    journal.close()
    os.truncate(tmp_path / "journal.jsonl", journal.position.offset // 3)
    with pytest.raises(JournalDamaged, match="delete the snapshot"):
        Journal(tmp_path / "journal.jsonl", read_snapshot(path)[1])


def test_any_flipped_byte_or_torn_end_is_noticed_once_and_ignored(path, caplog):
    write_snapshot(path, STATE, PLACE)
    whole = path.read_bytes()
    damaged = [whole[:size] for size in range(len(whole))]
    damaged += [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(len(whole))]
    for data in damaged:
        path.write_bytes(data)
        caplog.clear()
        assert read_snapshot(path) is None
        assert [record.name for record in caplog.records] == ["kt_ext"]
        assert str(path) in caplog.text


def test_a_state_that_is_not_json_leaves_the_old_snapshot(path):
    write_snapshot(path, STATE, PLACE)
    with pytest.raises(TypeError):
        write_snapshot(path, {"values": {1, 2}}, PLACE)
    assert read_snapshot(path) == (STATE, PLACE)


# --- write_atomic -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sync", [True, False])
def test_a_file_is_replaced_as_a_whole(path, sync):
    for data in (b"first", b"", b"x" * 1_000_000, b"last"):
        write_atomic(path, data, sync=sync)
        assert path.read_bytes() == data
        assert os.listdir(path.parent) == [path.name]


def test_a_path_without_a_directory_is_in_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_atomic("state.json", b"{}")
    assert (tmp_path / "state.json").read_bytes() == b"{}"


def test_a_temporary_file_left_by_a_killed_process_does_no_harm(path):
    left = path.with_name(path.name + ".tmp")
    left.write_bytes(b"half of a much longer file")
    left.chmod(0o400)
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert not left.exists()


def test_a_link_in_the_temporary_files_place_is_not_followed(path, tmp_path):
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    path.with_name(path.name + ".tmp").symlink_to(precious)
    write_atomic(path, b"new")
    assert (path.read_bytes(), precious.read_bytes()) == (b"new", b"precious")
    assert not path.is_symlink()


def test_others_may_read_it_as_any_new_file(path):
    plain = path.with_name("plain")
    plain.write_bytes(b"")
    write_atomic(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_full_disk_leaves_the_old_file_and_gives_the_space_back(tmp_path):
    with tiny_disk(tmp_path):
        path = tmp_path / "state.json"
        write_atomic(path, b"a" * 30_000)
        with pytest.raises(StorageError, match=r"cannot write .*state.json: No space left on device"):
            write_atomic(path, b"b" * 60_000)
        assert os.listdir(tmp_path) == ["state.json"]
        assert path.read_bytes() == b"a" * 30_000
        write_atomic(path, b"b" * 30_000)
        assert path.read_bytes() == b"b" * 30_000


def test_a_file_size_limit_leaves_the_old_file(path):
    write_atomic(path, b"old")
    with file_size_limit(1000), pytest.raises(StorageError, match="File too large"):
        write_atomic(path, b"b" * 1001)
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == b"old"


def test_a_read_only_directory_leaves_the_old_file(tmp_path):
    directory = tmp_path / "project"
    directory.mkdir()
    write_atomic(directory / "state.json", b"old")
    with read_only(directory):
        for name in ("state.json", "new.json"):
            with pytest.raises(StorageError, match=name):
                write_atomic(directory / name, b"new")
    assert os.listdir(directory) == ["state.json"]
    assert (directory / "state.json").read_bytes() == b"old"
