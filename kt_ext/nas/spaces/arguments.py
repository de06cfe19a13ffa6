"""Arguments that several spaces check alike, and the stride from one size to another."""

from __future__ import annotations

from collections.abc import Sequence

from kt_ext.core.space import Choice
from kt_ext.nas.network import Shape


def numbers(argument: str, given: int | Sequence[int], least: int = 1) -> Choice:
    """The choice between integers; one alone is a choice of one.

    Raises ValueError where there is none, one is no integer >= ``least``, or one stands twice.
    """
    values = list(given) if isinstance(given, Sequence) else [given]
    if not values or any(isinstance(v, bool) or not isinstance(v, int) or v < least for v in values):
        raise ValueError(f"{argument}={given!r}: must be an integer >= {least}, or a list of such to choose from")
    if len(set(values)) < len(values):
        raise ValueError(f"{argument}={given!r}: each must stand there once")
    return Choice(tuple(values), ordered=True)


def integer(argument: str, given: int, least: int = 1) -> int:
    """An integer as it is. Raises ValueError for anything else, or one below ``least``."""
    if isinstance(given, bool) or not isinstance(given, int) or given < least:
        raise ValueError(f"{argument}={given!r}: must be an integer >= {least}")
    return given


def stride_between(larger: Shape, smaller: Shape) -> int:
    """The stride that makes positions of the one those of the other. Raises ValueError where there is none."""
    for stride in range(1, max(larger) + 1):
        if all(-(-size // stride) == wanted for size, wanted in zip(larger[:-1], smaller[:-1], strict=True)):
            return stride
    raise ValueError(f"shapes {larger} and {smaller}: no stride leads from the first to the second")
