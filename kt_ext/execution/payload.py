"""A function and its arguments as files that worker processes of this machine read: large arrays only once in memory.

The files hold code, which runs when they are read: they lie in a directory that only their owner may enter, and never
travel over a network.
"""

from __future__ import annotations

import io
import os
import pickle
import tempfile
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kt_ext.core.durable import FilePath, storage_errors
from kt_ext.execution import keras_settings
from kt_ext.execution.unpicklable import cannot_send

_LARGE_BYTES = 1 << 20  # arrays from this size on are files of their own
# What ``np.save`` keeps. It would make plain bytes of bfloat16 and its like, which are of kind V, as are structures.
_PLAIN_KINDS = "biufcSUmM"
_FILE = "payload.pkl"


@contextmanager
def written(target: Callable[..., object], /, **arguments: Any) -> Iterator[Path]:
    """``write`` into a new private directory under TMPDIR, which is removed at the end and on failure.

    Yields:
        The path that ``read`` takes.
    """
    with tempfile.TemporaryDirectory(prefix="kt_ext-", ignore_cleanup_errors=True) as directory:
        yield write(directory, target, **arguments)


def write(directory: FilePath, target: Callable[..., object], /, **arguments: Any) -> Path:
    """Write a call to be made by a worker process, ``target(**arguments)``, and Keras's global settings.

    Functions and classes of ``__main__`` travel as code, those of modules by name. Arrays of 1 MiB or more, wherever
    they are, go to .npy files, each array once; arrays of objects, structures and extension types travel in the pickle.

    Args:
        directory: an existing directory; its mode becomes 0700.
        target: what the worker runs.
        arguments: what it gets, under the names that the user knows, as an error tells them.

    Returns:
        The path that ``read`` takes, a file of mode 0600.

    Raises:
        TypeError: something cannot be pickled; says what, where it is and what to give instead.
        StorageError: the disk is full, the directory read-only, ...
    """
    path = Path(directory, _FILE)
    with storage_errors("write", path):
        os.chmod(directory, 0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:
                dump(file, target, arguments, _ArrayFiles(path.parent).reduce)
        except Exception:
            discard(path)
            raise
    return path


def dump(
    file: BinaryIO,
    target: Callable[..., object],
    arguments: Mapping[str, Any],
    reduce_array: Callable[[np.ndarray], tuple[Callable, tuple]],
) -> None:
    """Pickle Keras's global settings, and then a call; the two are to be read in this order.

    Args:
        file: what is written to.
        target: see ``write``.
        arguments: see ``write``.
        reduce_array: is given each large array once, and returns a function and its arguments that make it anew.

    Raises:
        TypeError, ImportError: as ``write``.
    """
    pickle.dump(keras_settings.capture(), file)
    try:
        _dump((target, dict(arguments)), file, reduce_array)
    except OSError:
        raise
    # Any object's own __reduce__ may raise what it likes.
    except Exception as error:
        for name, value in (*arguments.items(), ("target", target)):
            if _failure(value) is not None:
                raise cannot_send(name, value, _failure) from error
        raise


def read(path: FilePath) -> tuple[Callable[..., object], dict[str, Any]]:
    """The target and the arguments that ``write`` was given; makes the writer's Keras settings those of this process.

    Large arrays are mapped: all readers share their pages, and what one writes into an array only it sees. Runs code
    from the file: read only what this user wrote.
    """
    with open(path, "rb") as file:
        keras_settings.apply(pickle.load(file))  # first, since layers and policies may be made while reading
        return pickle.load(file)


def discard(path: FilePath) -> None:
    """Remove what ``write`` wrote, and its directory if that is then empty. What is already gone is no error."""
    path = Path(path)
    for file in (path, *path.parent.glob("array-*.npy")):
        with suppress(OSError):
            file.unlink()
    with suppress(OSError):
        path.parent.rmdir()


class _ArrayFiles:
    """Saves large arrays as ``array-0.npy``, ``array-1.npy``, ... in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        self._count = 0

    def reduce(self, array: np.ndarray) -> tuple[Callable, tuple]:
        path = self._directory / f"array-{self._count}.npy"
        self._count += 1
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            np.save(file, array, allow_pickle=False)
        return _open_array, (str(path),)


def _open_array(path: str) -> np.ndarray:
    return np.load(path, mmap_mode="c").view(np.ndarray)


def _dump(obj: object, file: BinaryIO, reduce_array: Callable[[np.ndarray], tuple[Callable, tuple]]) -> None:
    """Pickle ``obj``, large arrays by what ``reduce_array`` gives for them; the pickler asks once for each array."""
    import cloudpickle  # not needed in a worker, and slow

    class Pickler(cloudpickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            if (
                type(obj) in (np.ndarray, np.memmap)
                and obj.nbytes >= _LARGE_BYTES
                and obj.dtype.kind in _PLAIN_KINDS
                and not obj.dtype.hasobject
            ):
                return reduce_array(obj)
            return super().reducer_override(obj)

    Pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(obj)


def _failure(obj: object) -> Exception | None:
    """Why ``obj`` alone cannot be pickled; None if it can."""
    if isinstance(obj, types.ModuleType):
        return None
    try:
        _dump(obj, io.BytesIO(), lambda array: (list, ()))
    except Exception as error:  # any object's own __reduce__ may raise what it likes
        return error
    return None
