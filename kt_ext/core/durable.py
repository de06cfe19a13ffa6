"""Bytes that survive a kill and a full disk: sealed lines, files replaced whole, one error for all storage faults."""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

FilePath = str | os.PathLike[str]

# NaN and the infinities are written as NaN, Infinity and -Infinity, which Python's json reads back and others may not.
# Non-ASCII text is escaped, so a line is ASCII and even a lone surrogate survives. Looking for circles would take a
# quarter of the time; one ends in a RecursionError before anything is written.
encode_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_SEAL_BYTES = len(b',"crc":"00000000"}\n')
_CANNOT_SYNC_DIRECTORY = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


class StorageError(Exception):
    """A file cannot be read or written (full disk, read-only directory, ...); what was stored before is intact."""

    @classmethod
    def of(cls, action: str, path: str, error: OSError) -> StorageError:
        """Says what was tried, e.g. "append to", with which file, and the operating system's words."""
        return cls(
            f"cannot {action} {path}: {error.strerror or error}. What was stored before is intact; "
            "free space or make the place accessible, then run again"
        )


@contextmanager
def storage_errors(action: str, path: FilePath) -> Iterator[None]:
    """Turn an OSError of the body into a StorageError that says what was done to which file."""
    try:
        yield
    except OSError as error:
        raise StorageError.of(action, os.fspath(path), error) from error


def seal(body: bytes) -> bytes:
    """``body``, a JSON object without its closing brace, completed with its CRC-32 and a newline."""
    return b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))


def unseal(line: bytes) -> bytes | None:
    """The ``body`` that was sealed, or None if any byte of the line is not as ``seal`` wrote it."""
    body = line[:-_SEAL_BYTES]
    return body if seal(body) == line else None


def sync_directory(path: FilePath) -> None:
    """Make the names in a directory durable. Raises OSError."""
    if os.name == "nt":  # Windows cannot open a directory, and keeps names in the file system's own journal
        return
    fd = os.open(path or ".", os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some FUSE and network file systems have no such call: nothing better can be done there.
        if error.errno not in _CANNOT_SYNC_DIRECTORY:
            raise
    finally:
        os.close(fd)


def write_atomic(path: FilePath, data: bytes, sync: bool = True) -> None:
    """Replace a file as a whole: whenever the process is killed, the file is the old version or the new one.

    The bytes go to ``<path>.tmp`` first, which is then renamed; one that a killed process left is overwritten by the
    next call. There must be one writer to a path at a time.

    Args:
        path: the file; its directory must exist.
        data: the whole new content.
        sync: wait until the new version would survive a power cut. False is many times faster, for files that can be
            made again; a kill of the process is harmless either way.

    Raises:
        StorageError: the disk is full, the directory read-only, ...; the old file is intact.
    """
    path = os.fspath(path)
    temporary = path + ".tmp"
    with storage_errors("write", path):
        try:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)  # on a full disk it holds what space there was
            raise
        if sync:
            sync_directory(os.path.dirname(path))
