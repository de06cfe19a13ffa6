"""Checks that every scheduler makes: its integer arguments, and that a loaded state is its own."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any


def integer(name: str, value: object, *, at_least: int, remedy: str) -> int:
    """``value`` as an int. Raises ValueError unless it is an integer (bool is none) of ``at_least`` or more."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < at_least:
        raise ValueError(f"{name}={value!r}: must be an integer >= {at_least}; {remedy}")
    return int(value)


def same_configuration(mine: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Raises ValueError naming each argument in which a saved scheduler differs from this one."""
    differences = [
        f"{name}={saved.get(name)!r} was saved, this one has {mine.get(name)!r}"
        for name in sorted({*mine, *saved})
        if saved.get(name) != mine.get(name)
    ]
    if differences:
        raise ValueError(
            f"state: belongs to a differently configured scheduler ({'; '.join(differences)}); "
            "make the scheduler with the arguments it was saved with, or start a new search"
        )
