"""What in an object cannot be sent to another process, where it is, and what to give instead."""

from __future__ import annotations

import functools
import inspect
import io
import socket
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

_DATA = "give data_fn=, a function without arguments that makes the fit arguments in the worker"
_STRATEGY = "give distribution_strategy= as a function without arguments that makes it in the worker"
_RESOURCE = "make it inside the hypermodel's build, which runs in the worker"
_OTHER = "make it in the worker: inside the hypermodel's build, or in a function given as data_fn="
# TensorFlow is never imported for this: its classes are known by name.
_TENSORFLOW = {"DatasetV2": _DATA, "IteratorBase": _DATA, "StrategyBase": _STRATEGY}
_TYPES: tuple[tuple[tuple[type, ...], str], ...] = (
    ((types.GeneratorType, types.AsyncGeneratorType), _DATA),
    ((type(threading.Lock()), type(threading.RLock()), socket.socket, io.IOBase), _RESOURCE),
)


def cannot_send(name: str, obj: object, failure: Callable[[object], Exception | None]) -> TypeError:
    """The error for an object that cannot be pickled: it names the innermost culprit, the way to it and the remedy.

    Args:
        name: what the user calls the object, e.g. ``"validation_data"``.
        obj: what cannot be pickled.
        failure: tries to pickle one object alone; None if that works.
    """
    way, culprit = _innermost([name], obj, failure, {}) or ([name], obj)
    error = failure(culprit)
    kind = f"{type(culprit).__module__}.{type(culprit).__qualname__}".removeprefix("builtins.")
    found = TypeError(
        f"{', '.join(way)}: cannot be sent to a worker process, it is of type {kind} ({error}); "
        f"{_remedy(culprit) or _OTHER}"
    )
    found.__cause__ = error
    return found


def _innermost(
    way: list[str], obj: object, failure: Callable[[object], Exception | None], seen: dict[int, object]
) -> tuple[list[str], object] | None:
    """The way to an object that fails by itself, and the object; None if ``obj`` does not, or only for one in ``seen``.

    ``seen`` keeps what it holds alive, so that no id comes twice.
    """
    seen[id(obj)] = obj
    if failure(obj) is None:
        return None
    if _remedy(obj) is not None:
        return way, obj
    by_itself = True
    for step, child in _children(obj):
        if id(child) not in seen and (found := _innermost([*way, step], child, failure, seen)):
            return found
        by_itself = by_itself and failure(child) is None
    return (way, obj) if by_itself else None


def _remedy(obj: object) -> str | None:
    for types_, remedy in _TYPES:
        if isinstance(obj, types_):
            return remedy
    for cls in type(obj).__mro__:
        if cls.__module__.split(".")[0] == "tensorflow" and cls.__name__ in _TENSORFLOW:
            return _TENSORFLOW[cls.__name__]
    return None


def _children(obj: object) -> Iterator[tuple[str, Any]]:
    """What is pickled along with an object, each with where it is, in words."""
    if isinstance(obj, dict):
        yield from ((f"item {key!r}", value) for key, value in obj.items())
    elif isinstance(obj, list | tuple | set | frozenset):
        yield from ((f"item {place}", value) for place, value in enumerate(obj))
    elif inspect.isfunction(obj):
        yield from ((f"variable {name!r} of {obj.__qualname__}", value) for name, value in _variables(obj))
    elif inspect.ismethod(obj):
        yield f"the object of method {obj.__name__}", obj.__self__
    elif isinstance(obj, functools.partial):
        yield "the function of a partial", obj.func
        yield from ((f"argument {place} of a partial", value) for place, value in enumerate(obj.args))
        yield from ((f"argument {name!r} of a partial", value) for name, value in obj.keywords.items())
    elif not isinstance(obj, types.ModuleType):
        yield from ((f"attribute {name!r}", value) for name, value in getattr(obj, "__dict__", {}).items())
        if not isinstance(obj, type):
            yield f"class {type(obj).__qualname__}", type(obj)


def _variables(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Outer and global variables, and default values, that a function takes along."""
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        if cell != types.CellType():  # an empty cell: a variable that has no value yet
            yield name, cell.cell_contents
    yield from ((name, function.__globals__[name]) for name in code.co_names if name in function.__globals__)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            yield name, parameter.default
