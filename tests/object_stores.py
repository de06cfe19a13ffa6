"""An object store that fails when a test says so."""

from __future__ import annotations

from typing import Any

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class HttpError(Exception):
    """Not an OSError, like gcsfs's."""


class Failing(MemoryFileSystem):
    """An object store that forgets nothing but obeys a test: refuses, or breaks off in the middle of an upload."""

    protocol = "failing"
    store: dict[str, Any] = {}  # noqa: RUF012 - fsspec's way to share one between instances
    pseudo_dirs = [""]  # noqa: RUF012
    fails: Exception | None = None
    writes_half = False
    puts = 0
    fails_at_put: int | None = None  # of those since the last reset, from 1: breaks off in the middle
    renames = 0

    @classmethod
    def reset(cls) -> None:
        """Empty, and fails no more."""
        cls.store.clear()
        cls.fails, cls.writes_half, cls.puts, cls.fails_at_put, cls.renames = None, False, 0, None, 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("failing://"))

    def _fail(self) -> None:
        if self.fails is not None:
            raise self.fails

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        type(self).puts += 1
        breaks_off = self.puts == self.fails_at_put
        if self.writes_half or breaks_off:
            super().pipe_file(path, value[: len(value) // 2])
        self._fail()
        if breaks_off:
            raise HttpError("broken off")
        super().pipe_file(path, value)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        self._fail()
        return super().cat_file(path, start, end)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        self._fail()
        return super().ls(path, detail)

    def rm_file(self, path: str) -> None:
        self._fail()
        super().rm_file(path)

    def mv(self, *args: Any, **kwargs: Any) -> None:
        type(self).renames += 1
        super().mv(*args, **kwargs)


fsspec.register_implementation("failing", Failing, clobber=True)
