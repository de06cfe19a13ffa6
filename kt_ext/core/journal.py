"""Append and replay events: the one place where a search is stored.

One line for each event, valid JSON lines, for people and for ``grep``, ``jq`` or ``pandas.read_json(lines=True)``::

    {"n":12,"event":{"do":"stop","trial_id":4},"crc":"8f3a01bc"}

``n`` counts the lines from 1. The CRC-32 covers everything before ``,"crc"``.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

from kt_ext.core.durable import FilePath, StorageError, encode_json, seal, storage_errors, sync_directory, unseal

_log = logging.getLogger("kt_ext")
_decode = json.JSONDecoder().decode
_READ_BYTES = 1 << 18
_sync_data = getattr(os, "fdatasync", os.fsync)  # macOS and Windows have only fsync


class Position(NamedTuple):
    """A place between two lines of a journal: ``lines`` lines and ``offset`` bytes are before it."""

    offset: int = 0
    lines: int = 0


class JournalDamaged(Exception):
    """The journal cannot be what was written. Nothing was changed or skipped.

    Attributes:
        path: the file.
        offset: the byte at which the first bad line begins.
        line: the number of that line, from 1.
        reason: what is wrong.
        remedy: what to do.
    """

    def __init__(self, path: str, offset: int, line: int, reason: str, remedy: str) -> None:
        super().__init__(path, offset, line, reason, remedy)
        self.path, self.offset, self.line, self.reason, self.remedy = path, offset, line, reason, remedy

    def __str__(self) -> str:
        return f"{self.path} is damaged at byte {self.offset}, line {self.line}: {self.reason}; {self.remedy}"


class Journal:
    """Append-only JSON lines, each with a CRC-32 and a running number. One writer, one thread at a time.

    Opening checks the lines, and cuts a torn last line (bytes without a newline, or a last line whose CRC fails: the
    event was never acknowledged) with one warning of the logger "kt_ext", so that later lines stay readable.
    ``append`` hands the line to the operating system: it survives a kill of the process. ``sync`` makes all lines so
    far survive a power cut.

    Events come back as JSON gives them: tuples as lists, keys as strings. NaN and the infinities survive.

    Args:
        path: the file; made if absent, its directory must exist.
        start: where checking begins: a position that ``Journal.read`` has just reached, to save reading twice.

    Attributes:
        sync_seconds: the time spent in ``sync`` so far.

    Raises:
        JournalDamaged: a line that is not the last is bad, or a number is missing.
        StorageError: the file cannot be opened for writing.
    """

    def __init__(self, path: FilePath, start: Position | None = None) -> None:
        self._path = os.fspath(path)
        self._end: tuple[int, int] = start or Position()  # bytes and lines
        self.sync_seconds = 0.0
        self._unsynced = False
        self._uncertain = False  # there may be bytes after `_end`
        for position, _ in _scan(self._path, start):
            self._end = position
        with storage_errors("open", self._path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._fd = os.open(self._path, flags, 0o666)
            try:
                self._cut_torn_line()
            except OSError:
                os.close(self._fd)
                raise

    @staticmethod
    def read(path: FilePath, start: Position | None = None) -> Iterator[tuple[Position, dict[str, Any]]]:
        """Yield each event after ``start`` with the position after it; stop silently before a torn last line.

        The file is not changed, and may be one that is being written. An absent file has no events.

        Raises:
            JournalDamaged: as above, or ``start`` is not a place between two lines of this file.
            StorageError: the file cannot be read.
        """
        for position, event in _scan(os.fspath(path), start):
            yield position, _decode(event.decode("ascii"))

    @property
    def position(self) -> Position:
        """The end of the last line."""
        return Position(*self._end)

    def append(self, event: Mapping[str, Any]) -> None:
        """Add one event; when this returns, it survives a kill of the process.

        Raises:
            StorageError: the disk is full, ...; the journal is as it was, and a later append may succeed.
            TypeError: the event holds something that is not JSON, e.g. a numpy integer; nothing is written.
        """
        if self._fd < 0:
            raise StorageError(f"cannot append to {self._path}: the journal was closed; open it again")
        offset, lines = self._end
        line = seal(b'{"n":%d,"event":%s' % (lines + 1, encode_json(dict(event)).encode("ascii")))
        try:
            if self._uncertain:
                os.ftruncate(self._fd, offset)
            # Until `_end` is moved the line does not count, even if a KeyboardInterrupt strikes in between.
            self._uncertain = True
            written = os.write(self._fd, line)
            while written < len(line):  # a disk with a little room takes a part; the next call says what is wrong
                written += os.write(self._fd, line[written:])
        except OSError as error:
            with suppress(OSError):  # if it fails, the next append tries again
                os.ftruncate(self._fd, offset)
            raise StorageError.of("append to", self._path, error) from error
        self._unsynced = True
        self._end = offset + len(line), lines + 1
        self._uncertain = False

    def sync(self) -> None:
        """Wait until every appended line would survive a power cut; free if nothing was appended since the last time.

        Raises:
            StorageError: the disk failed. The journal is then closed: the system may have dropped what it could not
                write, and a second sync would falsely succeed.
        """
        if not self._unsynced:
            return
        if self._fd < 0:
            raise StorageError(f"cannot sync {self._path}: the journal was closed when a sync failed; open it again")
        began = time.perf_counter()
        try:
            _sync_data(self._fd)
        except OSError as error:
            self._close_file()
            raise StorageError.of("sync", self._path, error) from error
        self.sync_seconds += time.perf_counter() - began
        self._unsynced = False

    def close(self) -> None:
        """Sync and close; a second call does nothing. Raises StorageError like ``sync``."""
        if self._fd >= 0:
            self.sync()
            self._close_file()

    def _close_file(self) -> None:
        os.close(self._fd)
        self._fd = -1

    def _cut_torn_line(self) -> None:
        offset, lines = self._end
        size = os.fstat(self._fd).st_size
        if size == 0:
            sync_directory(os.path.dirname(self._path))  # the file is new, or was killed before this line
        if size > offset:
            _log.warning(
                "%s: the last line (line %d at byte %d, %d bytes) was torn by a kill or power cut and is dropped; "
                "everything before it is intact",
                self._path,
                lines + 1,
                offset,
                size - offset,
            )
            os.ftruncate(self._fd, offset)
            os.fsync(self._fd)


def _head(number: int) -> bytes:
    """What line ``number`` begins with."""
    return b'{"n":%d,"event":' % number


def _scan(path: str, start: Position | None) -> Iterator[tuple[Position, bytes]]:
    """Check each line after ``start``; yield the position after it and its event as JSON."""
    with storage_errors("read", path):
        try:
            with open(path, "rb", buffering=_READ_BYTES) as file:
                yield from _check(file, path, start or Position())
        except FileNotFoundError:
            if start is not None and start.offset > 0:
                raise


def _check(file: BinaryIO, path: str, start: Position) -> Iterator[tuple[Position, bytes]]:
    offset, lines = start
    if offset > 0:
        file.seek(offset - 1)
        if file.read(1) != b"\n":
            reason = f"line {lines + 1} should begin here, and none does"
            remedy = "if the position came from a snapshot, delete the snapshot: all lines are then replayed"
            raise JournalDamaged(path, offset, lines + 1, reason, remedy)
    for line in file:
        head = _head(lines + 1)
        body = unseal(line)
        if body is None and _is_torn(line, lines + 1) and not (line.endswith(b"\n") and file.read(1)):
            return
        if body is None or not body.startswith(head):
            reason = "its checksum fails" if body is None else f"it should begin with {head!r}, not {body[:20]!r}"
            remedy = (
                "restore the file from a backup, or lose this line and all after it with "
                f"`truncate -s {offset} {shlex.quote(path)}`"
            )
            raise JournalDamaged(path, offset, lines + 1, reason, remedy)
        offset += len(line)
        lines += 1
        yield Position(offset, lines), body[len(head) :]


def _is_torn(line: bytes, number: int) -> bool:
    """Whether bad bytes at the end can be one unfinished line: not if a damaged newline has merged it with the next."""
    return line.find(_head(number + 1), 1) < 0  # at 0 it is this line's own, damaged number
