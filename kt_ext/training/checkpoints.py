"""Checkpoints of one trial as files or objects: written as a whole, checked when read, and never executed.

The format is our own and small, after safetensors. Everything is little-endian; the header and each array are filled up
to a multiple of 64 bytes, an array's checksum covers its filling, and its offset counts from the end of the header.

==========  =====================================================================================
bytes       content
==========  =====================================================================================
0 - 7       ``b"kt_ext\\r\\n"``
8 - 11      version of the format, uint32, now 1
12 - 19     length of the header in bytes, uint64
20 - 23     CRC-32 of the header and its length, uint32
24 - ...    header, JSON: epoch, meta and for each array name, dtype, shape, offset, nbytes, crc32
then        the arrays, raw, in C order, and nothing after them
==========  =====================================================================================

CRC-32 finds every flipped bit and torn write; it is no signature.
"""

from __future__ import annotations

import json
import logging
import math
import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kt_ext.core.durable import storage_errors
from kt_ext.training.recent import RecentFiles
from kt_ext.training.storage import LocalFiles, Place, Unreadable, storage_at

_log = logging.getLogger("kt_ext")
_MAGIC = b"kt_ext\r\n"
_VERSION = 1
_ALIGNMENT = 64  # bytes
_FIXED = struct.Struct("<8sIQI")  # magic, version, header length, header CRC
_LENGTH = struct.Struct("<Q")
_NUMPY_DTYPE = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)|complex(64|128)")
_ML_DTYPE = re.compile(r"bfloat16|(float|int|uint)\d(_\w+)?|b?complex32")
_FILE = re.compile(r"epoch-(\d{5,})\.ckpt")


@dataclass(frozen=True)
class Checkpoint:
    """The state of a trial after ``epoch`` epochs: arrays by name, and ``meta``, a JSON object."""

    epoch: int
    state: dict[str, np.ndarray]
    meta: dict[str, Any]


class CheckpointDamaged(Exception):
    """A checkpoint file does not hold what was written.

    Attributes:
        path: the file.
        offset: the byte where the damaged part begins.
        array: the name of the damaged array; None for the header and the file as a whole.
        reason: what is wrong.
    """

    def __init__(self, path: str, offset: int, array: str | None, reason: str) -> None:
        super().__init__(path, offset, array, reason)
        self.path, self.offset, self.array, self.reason = path, offset, array, reason

    def __str__(self) -> str:
        part = "the header" if self.array is None else f"array {self.array!r}"
        return f"{self.path}: damaged at byte {self.offset}, in {part}: {self.reason}"


class CheckpointStore:
    """Checkpoints of one trial in one place: ``epoch-00003.ckpt`` holds the state after three epochs.

    On a file system a checkpoint is there completely or not at all, wherever the writer is killed; on an object store
    half of one is found out when it is read. Several processes may read while one writes.

    Args:
        directory: where they are, a path or an address such as ``gs://bucket/run``; made at the first ``save``.
        recent: keeps what was saved last in memory, so that it need not be read; None reads the files. An address is
            always read: not every object store can tell whether another process has put the object anew.

    Raises:
        ImportError, ValueError, StorageError: the address cannot be used; see ``kt_ext.training.storage.Objects``.
    """

    def __init__(self, directory: Place, recent: RecentFiles | None = None) -> None:
        self._storage = storage_at(directory)
        self.directory = self._storage.place
        self._recent = recent if isinstance(self._storage, LocalFiles) else None
        self._reported: set[int] = set()

    def save(self, epoch: int, state: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Write the state after ``epoch`` epochs; when this returns it is on the disk. Replaces an older one.

        Args:
            epoch: number of epochs done, >= 0.
            state: arrays of bool, integer, float or complex type, those of ``ml_dtypes`` included; any byte order and
                memory layout. They are written one by one: at most one is copied, and only if it is not contiguous.
            meta: a JSON object.

        Raises:
            StorageError: the disk is full, read-only or broken, or the object store refuses. On a disk no partial file
                stays behind.
            TypeError: an array is of objects or text, or ``meta`` is not JSON.
        """
        name = _name(_validated_epoch(epoch))
        arrays = {name: np.asarray(value) for name, value in state.items()}
        header = {"epoch": int(epoch), "meta": dict(meta), "arrays": _layout(arrays)}
        self._storage.write(name, lambda file: _write(file, header, arrays))
        if self._recent is not None:
            path = Path(self._storage.path(name))
            nbytes = sum(array.nbytes for array in arrays.values())
            with storage_errors("save", path):
                self._recent.put(path, Checkpoint(int(epoch), arrays, json.loads(json.dumps(meta))), nbytes)
        self._reported.discard(epoch)

    def load(self, epoch: int) -> Checkpoint:
        """The state after ``epoch`` epochs.

        Raises:
            FileNotFoundError: there is none.
            CheckpointDamaged: the file is not what was written.
            StorageError: the object store does not answer.
        """
        name = _name(_validated_epoch(epoch))
        path = self._storage.path(name)
        recent = self._recent.get(Path(path)) if self._recent is not None else None
        if recent is not None:
            return recent
        try:
            checkpoint = _read(self._storage.read(name), path)
        except Unreadable as error:  # damage like any other
            raise CheckpointDamaged(path, error.offset, None, error.reason) from error
        if checkpoint.epoch != epoch:
            raise CheckpointDamaged(path, _FIXED.size, None, f"this is the checkpoint of epoch {checkpoint.epoch}")
        return checkpoint

    def latest(self, at_most: int | None = None) -> Checkpoint | None:
        """The newest good checkpoint, of epoch ``at_most`` or earlier; None if there is none.

        A damaged one is reported once as a warning of the logger ``kt_ext``, and the one before it is used.
        """
        for epoch in reversed(self.epochs()):
            if at_most is not None and epoch > at_most:
                continue
            try:
                return self.load(epoch)
            except FileNotFoundError:  # another process has just removed it
                continue
            except CheckpointDamaged as damage:
                if epoch not in self._reported:
                    self._reported.add(epoch)
                    _log.warning("%s; using the checkpoint before it", damage)
        return None

    def epochs(self) -> list[int]:
        """The epochs that have a checkpoint, good or damaged, ascending."""
        return sorted(int(match[1]) for name in self._storage.names() if (match := _FILE.fullmatch(name)))

    def keep(self, epochs: Iterable[int]) -> None:
        """Remove all checkpoints but these, and what writers that were killed have left.

        Raises:
            StorageError: a file cannot be removed.
        """
        kept = {_name(_validated_epoch(epoch)) for epoch in epochs}
        for name in self._storage.names():
            if (_FILE.fullmatch(name) and name not in kept) or self._storage.is_abandoned(name):
                if self._recent is not None:
                    self._recent.drop(Path(self._storage.path(name)))
                self._storage.remove(name)


def _name(epoch: int) -> str:
    return f"epoch-{epoch:05d}.ckpt"


def _validated_epoch(epoch: int) -> int:
    if isinstance(epoch, bool) or not isinstance(epoch, (int, np.integer)) or epoch < 0:
        raise ValueError(f"epoch={epoch!r}: must be an integer >= 0, the number of epochs done")
    return int(epoch)


def _layout(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The header's rows; the checksums, of fixed width, are filled in once the arrays are written."""
    rows: list[dict[str, Any]] = []
    offset = 0
    for name, array in arrays.items():
        if _dtype(array.dtype.name) is None:
            raise TypeError(
                f"state[{name!r}]: dtype {array.dtype} cannot be saved; use bool, integer, float or complex arrays, "
                "and put text into meta"
            )
        row = {"name": name, "dtype": array.dtype.name, "shape": list(array.shape)}
        rows.append({**row, "offset": offset, "nbytes": array.nbytes, "crc32": "0" * 8})
        offset += _aligned(array.nbytes)
    return rows


def _write(file: BinaryIO, header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Arrays first, then the header with their checksums into the room left before them: one pass over the memory."""
    file.seek(_FIXED.size + len(_encoded(header)))
    for row, array in zip(header["arrays"], arrays.values(), strict=True):
        data = _bytes_of(array)
        padding = bytes(_aligned(len(data)) - len(data))
        row["crc32"] = f"{zlib.crc32(padding, zlib.crc32(data)):08x}"
        file.write(data)
        file.write(padding)
    encoded = _encoded(header)
    file.seek(0)
    file.write(_FIXED.pack(_MAGIC, _VERSION, len(encoded), _header_crc(encoded)))
    file.write(encoded)


def _read(block: np.ndarray, path: str) -> Checkpoint:
    """The checkpoint in ``block``, shape (size,), uint8, of which its arrays are views."""
    data, size = block.data, len(block)
    header, data_start = _header_of(data, path)
    state: dict[str, np.ndarray] = {}
    end = data_start
    try:
        for row in header["arrays"]:
            name, shape, nbytes = row["name"], tuple(row["shape"]), row["nbytes"]
            dtype, start = _dtype(row["dtype"]), data_start + row["offset"]
            if dtype is None or name in state or start != end or nbytes != math.prod(shape) * dtype.itemsize:
                raise CheckpointDamaged(path, _FIXED.size, name, f"the header's row makes no sense: {row}")
            end = start + _aligned(nbytes)
            if end > size:
                raise CheckpointDamaged(path, start, name, f"it ends at byte {end}, the file at byte {size}")
            if f"{zlib.crc32(data[start:end]):08x}" != row["crc32"]:
                raise CheckpointDamaged(path, start, name, f"bytes {start} to {end} do not match their checksum")
            state[name] = block[start : start + nbytes].view(dtype).reshape(shape)
        checkpoint = Checkpoint(header["epoch"], state, header["meta"])
    except (KeyError, TypeError, ValueError) as error:  # a sound checksum over a header that is not ours
        raise CheckpointDamaged(path, _FIXED.size, None, f"the header makes no sense: {error!r}") from error
    if end != size:
        raise CheckpointDamaged(path, end, None, f"{size - end} bytes too many")
    return checkpoint


def _header_of(data: memoryview, path: str) -> tuple[dict[str, Any], int]:
    """The header, and the byte where the data start."""
    if len(data) < _FIXED.size:
        raise CheckpointDamaged(path, len(data), None, f"the file ends after {len(data)} bytes")
    magic, version, length, crc = _FIXED.unpack(data[: _FIXED.size])
    if magic != _MAGIC:
        raise CheckpointDamaged(path, 0, None, f"begins with {magic!r}: not a checkpoint of kt_ext")
    if version != _VERSION:
        raise CheckpointDamaged(path, 8, None, f"version {version}; this kt_ext reads version {_VERSION}")
    end = _FIXED.size + length
    if end > len(data):
        raise CheckpointDamaged(path, 12, None, f"a header of {length} bytes in a file of {len(data)}")
    encoded = data[_FIXED.size : end].tobytes()
    if _header_crc(encoded) != crc:
        raise CheckpointDamaged(path, 12, None, "the header and its length do not match their checksum")
    try:
        return json.loads(encoded), end
    except (ValueError, RecursionError) as error:
        raise CheckpointDamaged(path, _FIXED.size, None, f"the header is not JSON: {error}") from error


def _aligned(nbytes: int) -> int:
    """Rounded up so that what follows can be used in place by any type and instruction."""
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


def _encoded(header: Mapping[str, Any]) -> bytes:
    """As JSON, filled up with spaces so that the data after it are aligned."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return text.ljust(_aligned(_FIXED.size + len(text)) - _FIXED.size)


def _header_crc(encoded: bytes) -> int:
    return zlib.crc32(encoded, zlib.crc32(_LENGTH.pack(len(encoded))))


def _dtype(name: str) -> np.dtype | None:
    """The type of that name, little-endian; None if it is not one that a checkpoint holds."""
    if _NUMPY_DTYPE.fullmatch(name):
        return np.dtype(name)
    if not _ML_DTYPE.fullmatch(name):
        return None
    import ml_dtypes  # comes with JAX and TensorFlow, and is needed only for their types

    kind = getattr(ml_dtypes, name, None)
    return None if kind is None else np.dtype(kind)


def _bytes_of(array: np.ndarray) -> memoryview:
    """The array's memory, shape (nbytes,), little-endian in C order; a view wherever it already is."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return np.ascontiguousarray(native).reshape(-1).view(np.uint8).data
