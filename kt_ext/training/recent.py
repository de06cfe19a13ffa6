"""What was written to files last, kept in memory, so that a state that goes from one trial to another is not read."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

#: Identifies a file's content: it changes when another process replaces the file.
_Mark = tuple[int, int, int]


class RecentFiles:
    """The contents of the files written last, as objects, as long as the files are as they were written.

    Args:
        max_bytes: how much to keep; 0 keeps nothing.

    Raises:
        ValueError: ``max_bytes`` is negative.
    """

    def __init__(self, max_bytes: int = 2**30) -> None:
        if max_bytes < 0:
            raise ValueError(f"max_bytes={max_bytes}: must be >= 0; 0 keeps nothing")
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[Path, tuple[_Mark, Any, int]] = OrderedDict()  # least recently used first

    def put(self, path: Path, content: Any, nbytes: int) -> None:
        """Keep what was just written to ``path``; ``content`` must not be changed afterwards."""
        self.drop(path)
        if nbytes <= self._max_bytes:
            self._kept[path] = (_mark(path), content, nbytes)
            self._bytes += nbytes
        while self._bytes > self._max_bytes:
            self.drop(next(iter(self._kept)))

    def get(self, path: Path) -> Any | None:
        """What is in the file; None if that is not known."""
        if path not in self._kept:
            return None
        mark, content, _ = self._kept[path]
        try:
            same = _mark(path) == mark
        except FileNotFoundError:
            same = False
        if not same:
            self.drop(path)
            return None
        self._kept.move_to_end(path)
        return content

    def drop(self, path: Path) -> None:
        """Forget a file."""
        if path in self._kept:
            self._bytes -= self._kept.pop(path)[2]


def _mark(path: Path) -> _Mark:
    status = os.stat(path)
    return status.st_ino, status.st_mtime_ns, status.st_size
