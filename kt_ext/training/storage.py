"""Where checkpoints lie: a directory of a file system, or an object store that fsspec reaches.

An object is put as a whole, and nothing is ever renamed: on most stores a rename is a copy. What is whole is for the
reader to see, by the checksums that a checkpoint carries; so a store that leaves half an object behind does no harm.
"""

from __future__ import annotations

import io
import os
import re
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kt_ext.core.durable import StorageError, storage_errors, sync_directory

Place = str | os.PathLike[str]  # a path, or an address such as gs://bucket/run
_HOST = re.sub(r"[^\w-]", "_", socket.gethostname())
_TOKEN = os.urandom(4).hex()  # a restarted container often gets its old process id again
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<host>[^.]+)\.(?P<pid>\d+)\.(?P<token>[0-9a-f]{8})\.tmp")
_LONGEST_SAVE_SECONDS = 24 * 3600  # whether a writer on another host lives cannot be seen; none takes a day


class Unreadable(Exception):
    """A file is there and cannot be read, as of a bad sector.

    Attributes:
        offset: the byte where reading ended.
        reason: the operating system's words.
    """

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(offset, reason)
        self.offset, self.reason = offset, reason


class Storage(ABC):
    """Files by name in one place.

    Attributes:
        place: the directory as a Path, or the address as text.
    """

    place: Path | str

    @abstractmethod
    def write(self, name: str, fill: Callable[[BinaryIO], None]) -> None:
        """Write a file as a whole and durably, replacing an older one; makes the place, but no bucket.

        Args:
            name: of the file.
            fill: writes the content; it may seek. What it raises is raised.

        Raises:
            StorageError: it is refused: no space, no permission, no connection, ...
        """

    @abstractmethod
    def read(self, name: str) -> np.ndarray:
        """The bytes of a file, shape (size,), uint8, the caller's own. Raises FileNotFoundError, Unreadable, and
        StorageError for an object store that does not answer."""

    @abstractmethod
    def names(self) -> list[str]:
        """What is there now, in any order, directories included; nothing if the place is not there."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file; one that is gone is no error. Raises StorageError."""

    @abstractmethod
    def is_abandoned(self, name: str) -> bool:
        """Whether it is what a writer has left that is no more."""

    def path(self, name: str) -> str:
        """Where a file is, for messages."""
        return joined(self.place, name)


class LocalFiles(Storage):
    """Files in a directory: written under a temporary name, synced and renamed."""

    place: Path

    def __init__(self, directory: Place) -> None:
        self.place = Path(directory)

    def write(self, name: str, fill: Callable[[BinaryIO], None]) -> None:
        path = self.place / name
        temporary = path.with_name(f".{name}.{_HOST}.{os.getpid()}.{_TOKEN}.tmp")
        with storage_errors("save", path):
            self.place.mkdir(parents=True, exist_ok=True)
            try:
                with open(temporary, "wb") as file:
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, path)
            finally:
                with suppress(OSError):  # gone after the rename; on a broken disk it is removed later, as abandoned
                    temporary.unlink()
            sync_directory(self.place)

    def read(self, name: str) -> np.ndarray:
        with open(self.place / name, "rb", buffering=0) as file:
            # One block for all arrays: the memory of a hundred small ones costs three times as much to get.
            block = np.empty(os.fstat(file.fileno()).st_size, np.uint8)
            filled = 0
            try:
                # One call of the system gives 2 GiB at most, and nothing at the end of a file that became shorter.
                while count := file.readinto(block.data[filled:]):
                    filled += count
            except OSError as error:
                raise Unreadable(file.tell(), f"unreadable: {error.strerror}") from error
        return block[:filled]

    def names(self) -> list[str]:
        try:
            return os.listdir(self.place)
        except FileNotFoundError:
            return []

    def remove(self, name: str) -> None:
        path = self.place / name
        with storage_errors("remove", path):
            path.unlink(missing_ok=True)

    def is_abandoned(self, name: str) -> bool:
        match = _TEMPORARY.fullmatch(name)
        if match is None:
            return False
        if match["host"] != _HOST or os.name == "nt":  # on Windows os.kill(pid, 0) is no question, it is Ctrl-C
            try:
                return time.time() - (self.place / name).stat().st_mtime > _LONGEST_SAVE_SECONDS
            except FileNotFoundError:
                return False
        pid = int(match["pid"])
        if pid == os.getpid():
            return match["token"] != _TOKEN
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


class Objects(Storage):
    """Objects under an fsspec address. Several processes may use it; what one has put the others see.

    Args:
        address: such as ``gs://bucket/run``; the backend takes credentials from its own environment variables and
            configuration files.

    Raises:
        ImportError: fsspec or the backend's package is not installed.
        ValueError: the address is of no protocol that fsspec knows, or a chain of several.
        StorageError: the backend refuses to start.
    """

    place: str

    def __init__(self, address: str) -> None:
        self.place = address
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise ImportError(
                f"{address!r}: an address needs fsspec, pip install 'kt_ext[object-stores]', and the package of its "
                "store: gcsfs for gs://, s3fs for s3://, adlfs for abfs://"
            ) from error
        if "::" in address:
            raise ValueError(f"{address!r}: must be one address; a cache before the store would give old checkpoints")
        with _store_errors("open", address, ImportError, ValueError):
            try:
                self._fs, self._root = url_to_fs(address)
            except ImportError as error:
                raise ImportError(f"{address!r}: the package of this store is missing: {error}") from error
            except ValueError as error:
                raise ValueError(
                    f"{address!r}: {error}; give a path, or an address that fsspec knows, e.g. gs://bucket/run"
                ) from error

    def write(self, name: str, fill: Callable[[BinaryIO], None]) -> None:
        buffer = io.BytesIO()
        fill(buffer)  # first in memory: a stream that breaks off would be closed, and so be put, half full
        with _store_errors("save", self.path(name)):
            try:
                self._fs.pipe_file(self._inside(name), buffer.getvalue())
            except FileNotFoundError:
                if not self._root.startswith("/"):  # in a bucket, which is not made: its name may be mistyped
                    raise
                # Here directories are real, as those of file:// and sftp://.
                self._fs.makedirs(self._root, exist_ok=True)
                self._fs.pipe_file(self._inside(name), buffer.getvalue())

    def read(self, name: str) -> np.ndarray:
        with _store_errors("read", self.path(name), FileNotFoundError):
            data = self._fs.cat_file(self._inside(name))
        return np.frombuffer(data, np.uint8).copy()  # bytes cannot be written to

    def names(self) -> list[str]:
        self._fs.invalidate_cache()  # backends remember listings, and other processes write here, too
        try:
            with _store_errors("list", self.place, FileNotFoundError):
                entries = self._fs.ls(self._root, detail=False)
        except FileNotFoundError:
            return []
        return [entry.rstrip("/").rpartition("/")[2] for entry in entries]

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError), _store_errors("remove", self.path(name), FileNotFoundError):
            self._fs.rm_file(self._inside(name))

    def is_abandoned(self, name: str) -> bool:
        return False  # an upload that was cut short has no name

    def _inside(self, name: str) -> str:
        return f"{self._root}/{name}"


def storage_at(place: Place) -> Storage:
    """The storage of a path or an address, told apart by ``://``. Raises what ``Objects`` raises."""
    return Objects(os.fspath(place)) if is_address(place) else LocalFiles(place)


def is_address(place: Place) -> bool:
    """Whether it is an address of an object store, and no path."""
    return "://" in os.fspath(place)


def joined(place: Place, *names: str) -> str:
    """The path or address of what lies in ``place``."""
    if not is_address(place):
        return os.path.join(place, *names)
    address = os.fspath(place)
    return "/".join([address[:-1] if address.endswith("/") else address, *names])


def check_writable(storage: Storage) -> None:
    """Write an empty file and remove it. Raises StorageError where that is refused."""
    name = f"kt_ext-{_HOST}-{os.getpid()}-{_TOKEN}.check"
    storage.write(name, lambda file: None)
    storage.remove(name)


@contextmanager
def _store_errors(action: str, address: str, *passed: type[Exception]) -> Iterator[None]:
    """Turn what a backend raises into a StorageError, but for the ``passed``."""
    try:
        yield
    except passed:
        raise
    # Backends have errors of their own, of HTTP, credentials and time-outs, which have no base class in common.
    except Exception as error:
        words = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise StorageError.of(action, address, OSError(words)) from error
