"""A call that Ray workers make, in Ray's object store: sent to each node once, large arrays as objects of their own.

It holds code, which runs when it is read, as everything in a Ray cluster does.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kt_ext.execution import keras_settings, payload
from kt_ext.execution.ray_cluster import ray


@dataclass(frozen=True)
class RayPayload:
    """What ``read`` takes. The objects live while the one that ``put`` made does.

    Attributes:
        call: refers to the pickled call, bytes.
        arrays: refer to the large arrays, which the call has numbers for.
    """

    call: ray.ObjectRef
    arrays: tuple[ray.ObjectRef, ...]


def put(target: Callable[..., object], /, **arguments: Any) -> RayPayload:
    """Store a call to be made by a worker, ``target(**arguments)``, and Keras's global settings. Ray must be connected.

    What travels how is as in ``payload.write``; a large array that is several times in the call is stored once.

    Raises:
        TypeError: something cannot be pickled; says what, where it is and what to give instead.
        ImportError: cloudpickle is not installed.
        ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError: there is no room.
    """
    arrays: list[ray.ObjectRef] = []

    def reduce(array: np.ndarray) -> tuple[Callable, tuple]:
        plain = array.view(np.ndarray)
        # Ray maps contiguous arrays, and copies others.
        arrays.append(ray.put(plain if plain.flags.forc else np.ascontiguousarray(plain)))
        return _array, (len(arrays) - 1,)

    file = io.BytesIO()
    payload.dump(file, target, arguments, reduce)
    return RayPayload(ray.put(file.getvalue()), tuple(arrays))


def read(stored: RayPayload) -> tuple[Callable[..., object], dict[str, Any]]:
    """The target and the arguments that ``put`` was given; makes its Keras settings those of this process.

    Large arrays are read-only, as all readers of a node share their pages; those of dates are copies. Runs code: read
    only what this user stored.
    """
    file = io.BytesIO(ray.get(stored.call))
    keras_settings.apply(pickle.load(file))  # first, since layers and policies may be made while reading
    return _Unpickler(file, ray.get(list(stored.arrays))).load()


def _array(number: int) -> np.ndarray:
    """Stands in a pickle for a large array; ``_Unpickler`` knows what it stands for."""
    raise RuntimeError(f"array {number} of a RayPayload was read by something else than kt_ext.execution.ray_payload")


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, arrays: Sequence[np.ndarray]) -> None:
        super().__init__(file)
        self._arrays = arrays

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (__name__, _array.__name__):
            return self._arrays.__getitem__
        return super().find_class(module, name)
