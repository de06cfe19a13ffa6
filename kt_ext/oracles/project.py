"""The files of one search: journal, snapshot and lock in the project directory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kt_ext.core.durable import encode_json, storage_errors, write_atomic
from kt_ext.core.journal import Journal, Position
from kt_ext.core.lock import ProjectLock
from kt_ext.core.snapshot import read_snapshot, write_snapshot
from kt_ext.oracles.clock import Stopwatch

JOURNAL, SNAPSHOT, LOCK = "journal.jsonl", "snapshot.json", "kt_ext.lock"


def check_directory(directory: str | os.PathLike[str]) -> None:
    """Raises ValueError for an address such as ``gs://bucket``: a journal must be locked, appended to and synced."""
    if "://" in os.fspath(directory):
        raise ValueError(
            f"directory={os.fspath(directory)!r}: must be a directory of this machine's file system; "
            "mount the remote one, or copy the results there afterwards"
        )


def check_project_name(project_name: str | None) -> None:
    """Raises ValueError for a project name that would leave the search's directory."""
    if project_name is None:
        return
    name = os.fspath(project_name)
    parts = name.replace("\\", "/").split("/")
    if not name or "\0" in name or os.path.isabs(name) or ".." in parts or (os.name == "nt" and ":" in name):
        raise ValueError(
            f"project_name={name!r}: must be a name inside `directory`, without '..', a leading '/' or a NUL; "
            "choose another place with `directory`"
        )


class ProjectFiles:
    """Reads a search's journal freely, and writes it while holding the directory's lock.

    Every event carries ``t``, the clock's seconds when it happened.

    Args:
        directory: made when a search begins.
        clock: runs while the directory is held; reading sets it to what earlier sessions took.
        limits: of the search that holds the directory, for those who watch it.
    """

    def __init__(
        self, directory: str | os.PathLike[str], clock: Stopwatch, limits: Mapping[str, Any] | None = None
    ) -> None:
        self.directory = Path(directory)
        self._clock = clock
        self._lock = ProjectLock(self.directory / LOCK, {"limits": limits or {}})
        self._journal: Journal | None = None

    @property
    def exists(self) -> bool:
        """Whether a search was begun here."""
        path = self.directory / JOURNAL
        return path.exists() and path.stat().st_size > 0

    @property
    def writing(self) -> bool:
        """Whether this process holds the directory."""
        return self._journal is not None

    @property
    def lines(self) -> int:
        """Events in the journal; 0 while it is not held."""
        return self._journal.position.lines if self._journal else 0

    @property
    def sync_seconds(self) -> float:
        """Seconds this session spent waiting for the disk."""
        return self._journal.sync_seconds if self._journal else 0.0

    def read(self) -> tuple[dict[str, Any] | None, Iterator[dict[str, Any]]]:
        """The last good snapshot, or None, and the events after it. Raises JournalDamaged."""
        path = self.directory / JOURNAL
        found = read_snapshot(self.directory / SNAPSHOT)
        if found is not None and found[1].offset > path.stat().st_size:
            found = None  # The snapshot is ahead of a journal that was truncated by hand: trust the journal.
        state, start = found if found is not None else (None, None)
        if state is not None:
            self._clock.go_on_from(state["seconds"])
        return state, self._events(path, start)

    def _events(self, path: Path, start: Position | None) -> Iterator[dict[str, Any]]:
        for _, event in Journal.read(path, start):
            self._clock.go_on_from(event["t"])
            yield event

    def open(self) -> None:
        """Take the directory. Raises ProjectLocked, naming the holder, when another search has it."""
        with storage_errors("make", self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            self._journal = Journal(self.directory / JOURNAL)
        except BaseException:
            self._lock.release()
            raise
        self._clock.start()

    def append(self, event: dict[str, Any]) -> None:
        """Record an event: it reaches the operating system now, the disk with the next ``sync``."""
        assert self._journal is not None
        self._journal.append({**event, "t": round(self._clock.seconds, 3)})

    def sync(self) -> None:
        """Have everything appended on disk before going on."""
        assert self._journal is not None
        self._journal.sync()

    def snapshot(self, state: dict[str, Any]) -> None:
        """Write a state that stands for the journal so far, so that the next start need not replay it."""
        assert self._journal is not None
        self._journal.sync()
        write_snapshot(self.directory / SNAPSHOT, {**state, "seconds": self._clock.seconds}, self._journal.position)

    def write_oracle(self, state: dict[str, Any]) -> None:
        """Write ``oracle.json`` for stock Keras Tuner; not synced, the journal has it all. Raises StorageError."""
        write_atomic(self.directory / "oracle.json", encode_json(state).encode("ascii"), sync=False)

    def close(self) -> None:
        """Give the directory back. Raises StorageError if the last lines may not be on disk."""
        if self._journal is not None:
            journal, self._journal = self._journal, None
            self._clock.stop()
            try:
                journal.close()
            finally:
                self._lock.release()
