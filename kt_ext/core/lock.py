"""One search at a time in a directory."""

from __future__ import annotations

import errno
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from kt_ext.core.durable import FilePath, storage_errors

_TRIES = 3
_BETWEEN_TRIES_SECONDS = 0.05
_COMMAND_CHARACTERS = 200
_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_UNKNOWN = {"pid": None, "host": "an unknown host", "since": "an unknown time", "command": "an unknown command"}

if sys.platform == "win32":
    import msvcrt

    # A locked byte cannot be read on Windows, so it is one far behind the holder's description.
    _LOCKED_BYTE = 1 << 30

    def _try_lock(fd: int) -> None:
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int) -> None:
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


class ProjectLocked(RuntimeError):
    """Another search holds the directory.

    Attributes:
        path: the lock file.
        holder: pid, host, since and command of the other search.
    """

    def __init__(self, path: str, holder: dict[str, Any]) -> None:
        super().__init__(path, holder)
        self.path, self.holder = path, holder

    def __str__(self) -> str:
        who = self.holder
        return (
            f"{self.path} is held by process {who['pid']} on {who['host']} since {who['since']} ({who['command']}): "
            "one search at a time in a directory. Wait for it, stop it, or choose another directory or project_name"
        )


class ProjectLock:
    """An exclusive lock on a file, which the operating system releases when its holder dies, however it dies.

    The file says who holds the lock; it stays when the lock is released, and blocks nobody. Nothing is ever stolen
    after a timeout. On Linux and macOS this is ``flock``, on Windows a locked byte. Over a network file system it is
    as good as the server's locks.

    A child process does not keep the lock alive: the descriptor is closed by exec (Python's default), and, since a
    fork without exec (``multiprocessing`` with "fork") would share it, in the child after a fork by Python. A fork by
    foreign C code is not seen: such a child keeps the lock until it ends, if its parent dies without releasing.

    Args:
        path: the lock file; made if absent, its directory must exist.
        note: what the file says of its holder beside who it is; a JSON object.
    """

    def __init__(self, path: FilePath, note: Mapping[str, Any] | None = None) -> None:
        self._path = os.fspath(path)
        self._note = note or {}
        self._fd = -1

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd >= 0

    def acquire(self) -> None:
        """Take the lock, or fail within a fraction of a second.

        Raises:
            ProjectLocked: it is held, be it by another object of this process or by this one.
            StorageError: the file cannot be written, or the file system has no locks.
        """
        with storage_errors("lock", self._path):
            fd = _open(self._path, os.O_RDWR | os.O_CREAT)
            try:
                # More than once: a killed holder needs a moment to go, and `holder` may be trying the lock right now.
                for attempt in range(_TRIES):
                    if attempt > 0:
                        time.sleep(_BETWEEN_TRIES_SECONDS)
                    if _locked(fd):
                        break
                else:
                    raise ProjectLocked(self._path, _description(fd))
                os.ftruncate(fd, 0)
                os.lseek(fd, 0, os.SEEK_SET)
                os.write(fd, json.dumps({**_own_description(), **self._note}).encode("ascii") + b"\n")
            except (OSError, ProjectLocked):
                os.close(fd)
                raise
        self._fd = fd
        _held_locks.add(self)

    def release(self) -> None:
        """Give the lock up; does nothing if it is not held."""
        if self.held:
            with suppress(OSError):
                os.ftruncate(self._fd, 0)
            _unlock(self._fd)  # not only closed: a child that shares the descriptor must not keep the lock
            self._close()

    @staticmethod
    def holder(path: FilePath) -> dict[str, Any] | None:
        """Who holds the lock now: pid, host, since, command and its note; None if nobody does.

        Raises:
            StorageError: the file is there and cannot be read.
        """
        with storage_errors("read", path):
            try:
                fd = _open(path, os.O_RDWR)
            except FileNotFoundError:
                return None
            try:
                # An empty file was released: no need to try the lock, which for an instant would keep others out.
                free = os.fstat(fd).st_size == 0 or _locked(fd)
                return None if free else _description(fd)
            finally:
                os.close(fd)

    def _close(self) -> None:
        os.close(self._fd)
        self._fd = -1
        _held_locks.discard(self)


_held_locks: set[ProjectLock] = set()


def _drop_in_child() -> None:
    for lock in list(_held_locks):
        lock._close()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_drop_in_child)


def _open(path: FilePath, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)


def _locked(fd: int) -> bool:
    """Try once to lock; False if another descriptor holds it."""
    try:
        _try_lock(fd)
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        return False
    return True


def _own_description() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv)[:_COMMAND_CHARACTERS],
    }


def _description(fd: int) -> dict[str, Any]:
    """What the holder wrote; it may be just about to write it."""
    os.lseek(fd, 0, os.SEEK_SET)
    try:
        written = json.loads(os.read(fd, 1 << 16))
    except ValueError:
        written = {}
    return {**_UNKNOWN, **written}
