from __future__ import annotations

import json
import logging
import math
import os
import pickle
import signal
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from bad_disks import file_size_limit, read_only, tiny_disk
from kt_ext.core.durable import StorageError
from kt_ext.core.journal import Journal, JournalDamaged, Position

EVENTS = [
    {"do": "run", "trial_id": 0, "until": 3},
    {"do": "report", "objective": 0.1, "values": {"units": 8, "name": "größe\n\u2028", "last": "\ud800"}},
    {"n": 7, "crc": "00000000", "event": {"nested": [1, None, True]}},
    {"do": "stop", "trial_id": 0},
]


def write(path: Path, events: list[dict] = EVENTS) -> None:
    journal = Journal(path)
    for event in events:
        journal.append(event)
    journal.close()


def events_of(path: Path) -> list[dict]:
    return [event for _, event in Journal.read(path)]


def line_ends(path: Path) -> list[int]:
    return [position.offset for position, _ in Journal.read(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_events_come_back_as_they_were(path):
    write(path)
    assert events_of(path) == EVENTS


def test_nan_and_infinities_survive(path):
    write(path, [{"objective": math.nan}, {"objective": math.inf}, {"objective": -math.inf}])
    nan, inf, minus_inf = (event["objective"] for event in events_of(path))
    assert math.isnan(nan)
    assert (inf, minus_inf) == (math.inf, -math.inf)


def test_a_line_is_json_that_people_can_read(path):
    write(path, [{"do": "stop", "trial_id": 4}])
    body = b'{"n":1,"event":{"do":"stop","trial_id":4}'
    line = path.read_bytes()
    assert line == body + b',"crc":"%08x"}\n' % zlib.crc32(body)
    assert json.loads(line)["event"] == {"do": "stop", "trial_id": 4}


def test_reading_goes_on_from_any_position(path):
    write(path)
    places = [position for position, _ in Journal.read(path)]
    assert [place.lines for place in places] == [1, 2, 3, 4]
    assert places[-1].offset == path.stat().st_size
    assert list(Journal.read(path, Position())) == list(zip(places, EVENTS, strict=True))
    for place in places:
        assert [event for _, event in Journal.read(path, place)] == EVENTS[place.lines :]


def test_the_writer_knows_its_position_also_after_reopening(path):
    write(path)
    end = Position(path.stat().st_size, 4)
    for start in (None, Position(line_ends(path)[1], 2), end):
        journal = Journal(path, start)
        assert journal.position == end
        journal.close()
    journal = Journal(path, end)
    journal.append({"do": "done"})
    assert journal.position == Position(path.stat().st_size, 5)
    assert events_of(path) == [*EVENTS, {"do": "done"}]
    journal.close()


def test_an_absent_journal_has_no_events(path):
    assert events_of(path) == []
    assert not path.exists()


@pytest.mark.parametrize("start", [Position(1, 1), Position(5, 1), Position(10_000, 1)])
def test_a_position_between_no_two_lines_is_refused(path, start):
    write(path)
    for use in (lambda: list(Journal.read(path, start)), lambda: Journal(path, start)):
        with pytest.raises(JournalDamaged, match="delete the snapshot"):
            use()


def test_a_position_in_an_absent_journal_is_refused(path):
    with pytest.raises(StorageError, match="No such file"):
        list(Journal.read(path, Position(10, 1)))


def test_a_position_with_the_wrong_line_number_is_refused(path):
    write(path)
    with pytest.raises(JournalDamaged, match="line 4"):
        list(Journal.read(path, Position(line_ends(path)[1], 3)))


# --- a torn last line ---------------------------------------------------------------------------------------------


def test_a_line_torn_at_any_byte_is_dropped_with_one_notice_and_later_lines_are_safe(path, caplog):
    write(path)
    whole = path.read_bytes()
    last_line = line_ends(path)[-2]
    for size in range(last_line, len(whole)):
        path.write_bytes(whole[:size])
        caplog.clear()
        assert events_of(path) == EVENTS[:-1]  # reading changes nothing and says nothing
        assert (path.stat().st_size, caplog.records) == (size, [])

        write(path, [{"do": "done"}])
        assert events_of(path) == [*EVENTS[:-1], {"do": "done"}]
        notices = [(record.name, record.levelno) for record in caplog.records]
        assert notices == ([("kt_ext", logging.WARNING)] if size > last_line else [])
        if notices:
            assert f"line 4 at byte {last_line}, {size - last_line} bytes" in caplog.text
            assert str(path) in caplog.text


@pytest.mark.parametrize("flip", [0x01, 0xFF])
def test_a_flipped_byte_in_the_last_line_drops_it(path, caplog, flip):
    write(path)
    whole = path.read_bytes()
    for offset in range(line_ends(path)[-2], len(whole)):
        path.write_bytes(_flipped(whole, offset, flip))
        caplog.clear()
        assert events_of(path) == EVENTS[:-1]
        write(path, EVENTS[-1:])
        assert path.read_bytes() == whole
        assert len(caplog.records) == 1


# --- damage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [0x01, 0xFF])
@pytest.mark.parametrize("line", [1, 2, 3])
def test_a_flipped_byte_before_the_last_line_is_damage_and_the_file_is_left_alone(path, flip, line):
    write(path)
    whole = path.read_bytes()
    begin, end = [0, *line_ends(path)][line - 1 : line + 1]
    for offset in range(begin, end):  # the newline too, even if it merges the line with the last
        path.write_bytes(_flipped(whole, offset, flip))
        for use in (events_of, Journal):
            with pytest.raises(JournalDamaged) as raised:
                use(path)
            assert (raised.value.path, raised.value.offset, raised.value.line) == (str(path), begin, line)
        assert path.read_bytes() == _flipped(whole, offset, flip)


def test_the_events_before_the_damage_are_read(path):
    write(path)
    path.write_bytes(_flipped(path.read_bytes(), line_ends(path)[1], 1))
    seen = []
    with pytest.raises(JournalDamaged):
        for _, event in Journal.read(path):
            seen.append(event)
    assert seen == EVENTS[:2]


@pytest.mark.parametrize("keep", [[0, 2, 3], [0, 1, 1, 2, 3], [1, 2, 3], [0, 1, 3], [0, 2, 1, 3]])
def test_a_missing_doubled_or_moved_line_is_damage(path, keep):
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[number] for number in keep))
    good = next(index for index, number in enumerate(keep) if number != index)
    with pytest.raises(JournalDamaged) as raised:
        events_of(path)
    assert raised.value.line == good + 1
    assert raised.value.offset == sum(map(len, lines[:good]))


def test_the_remedy_in_the_message_works(tmp_path):
    path = tmp_path / "my runs.jsonl"
    write(path)
    path.write_bytes(_flipped(path.read_bytes(), line_ends(path)[1] + 5, 1))
    with pytest.raises(JournalDamaged) as raised:
        Journal(path)
    assert "restore the file from a backup" in str(raised.value)
    subprocess.run(str(raised.value).split("`")[1], shell=True, check=True)
    assert events_of(path) == EVENTS[:2]
    assert path.stat().st_size == raised.value.offset


@pytest.mark.parametrize("error", [JournalDamaged("a", 1, 2, "b", "c"), StorageError("a")])
def test_errors_survive_the_way_to_another_process(error):
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# --- disks --------------------------------------------------------------------------------------------------------


def _fill(journal: Journal) -> int:
    """Append until the disk is full; how many events went in."""
    count = 0
    with pytest.raises(StorageError, match="cannot append to"):
        while True:
            journal.append({"i": count, "padding": "x" * 150})
            count += 1
    return count


def test_a_full_disk_leaves_the_journal_as_it_was_and_space_lets_it_go_on(tmp_path):
    with tiny_disk(tmp_path):
        path, ballast = tmp_path / "journal.jsonl", tmp_path / "ballast"
        ballast.write_bytes(bytes(32 * 1024))
        journal = Journal(path)
        count = _fill(journal)
        assert count > 100
        assert _fill(journal) == 0
        assert path.stat().st_size == journal.position.offset
        assert [event["i"] for event in events_of(path)] == list(range(count))
        ballast.unlink()
        journal.append({"i": count})
        journal.close()
        assert [event["i"] for event in events_of(path)] == list(range(count + 1))


def test_a_short_write_leaves_the_journal_as_it_was(path):
    journal = Journal(path)
    with file_size_limit(4096):
        count = _fill(journal)
        assert path.stat().st_size == journal.position.offset < 4096
        journal.append({"i": count})  # there is room for a shorter line
    assert [event["i"] for event in events_of(path)] == list(range(count + 1))
    journal.append({"i": count + 1, "padding": "x" * 150})
    journal.close()
    assert [event["i"] for event in events_of(path)] == list(range(count + 2))


def test_storage_errors_name_the_file_and_the_systems_words(path):
    journal = Journal(path)
    with file_size_limit(1), pytest.raises(StorageError) as raised:
        journal.append({})
    journal.close()
    message = str(raised.value)
    assert message.startswith(f"cannot append to {path}: File too large. What was stored before is intact")


def test_a_torn_line_that_cannot_be_cut_at_once_is_cut_before_the_next(path):
    journal = Journal(path)
    journal.append({"i": 0})
    if subprocess.run(["chattr", "+a", path], capture_output=True, check=False).returncode != 0:
        pytest.skip("a file that can grow but not shrink needs root and chattr +a")
    try:
        with file_size_limit(journal.position.offset + 10), pytest.raises(StorageError, match="File too large"):
            journal.append({"i": 1})
        assert path.stat().st_size == journal.position.offset + 10  # torn
        with pytest.raises(StorageError, match="not permitted"):
            journal.append({"i": 1})
    finally:
        subprocess.run(["chattr", "-a", path], check=True)
    journal.append({"i": 2})
    journal.close()
    assert events_of(path) == [{"i": 0}, {"i": 2}]


def test_a_read_only_directory_is_refused_at_once_and_can_be_read(tmp_path):
    directory = tmp_path / "project"
    directory.mkdir()
    write(directory / "journal.jsonl")
    with read_only(directory):
        for name in ("journal.jsonl", "new.jsonl"):
            with pytest.raises(StorageError, match=name):
                Journal(directory / name)
        assert events_of(directory / "journal.jsonl") == EVENTS


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(StorageError, match="No such file or directory"):
        Journal(tmp_path / "absent" / "journal.jsonl")


# --- appending and syncing ----------------------------------------------------------------------------------------


def test_what_is_not_json_is_refused_and_nothing_is_written(path):
    journal = Journal(path)
    for event in ({"trial_id": np.int64(3)}, {"values": {1, 2}}):
        with pytest.raises(TypeError):
            journal.append(event)
    journal.append({"objective": np.float64(0.5)})
    journal.close()
    assert events_of(path) == [{"objective": 0.5}]


def test_an_interrupt_at_any_moment_of_append_neither_tears_nor_doubles(path):
    class Interrupt(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupt

    journal = Journal(path)
    delays = np.random.default_rng(0).uniform(1e-4, 3e-4, size=200)
    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        for delay in delays:
            try:
                signal.setitimer(signal.ITIMER_REAL, delay)
                while True:
                    journal.append({"i": journal.position.lines})
            except Interrupt:
                pass
    finally:
        signal.signal(signal.SIGALRM, old)
    journal.append({"i": journal.position.lines})
    journal.close()
    assert [event["i"] for event in events_of(path)] == list(range(journal.position.lines))


def test_sync_costs_nothing_without_a_new_line(path):
    journal = Journal(path)
    journal.sync()
    assert journal.sync_seconds == 0
    journal.append({})
    journal.sync()
    spent = journal.sync_seconds
    assert spent > 0
    journal.sync()
    assert journal.sync_seconds == spent
    journal.close()


def test_a_failed_sync_closes_the_journal(path):
    journal = Journal(path)
    journal.append({"i": 0})
    reader, writer = os.pipe()
    os.dup2(writer, journal._fd)  # a pipe cannot be synced
    with pytest.raises(StorageError, match=r"cannot sync .*Invalid argument"):
        journal.sync()
    for use in (journal.sync, lambda: journal.append({"i": 1})):
        with pytest.raises(StorageError, match="was closed"):
            use()
    journal.close()
    os.close(reader)
    os.close(writer)
    assert events_of(path) == [{"i": 0}]


def test_closing_twice_is_harmless_and_a_closed_journal_takes_nothing(path):
    journal = Journal(path)
    journal.close()
    journal.close()
    with pytest.raises(StorageError, match="was closed"):
        journal.append({})


def _flipped(data: bytes, offset: int, flip: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ flip]) + data[offset + 1 :]
