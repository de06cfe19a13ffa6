"""Checks that every scheduler makes: its arguments, and that a loaded state is its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
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


def probability(name: str, value: object) -> float:
    """``value`` as a float. Raises ValueError unless it is a number in [0, 1]."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) <= 1:
        raise ValueError(f"{name}={value!r}: must be a number in [0, 1]")
    return float(value)


def factors(name: str, values: Sequence[float]) -> tuple[float, ...]:
    """``values`` as floats. Raises ValueError unless there is at least one and each is a finite number > 0."""
    valid = isinstance(values, Sequence) and all(isinstance(v, Real) and 0 < float(v) < math.inf for v in values)
    if not valid or not values:
        raise ValueError(f"{name}={values!r}: must hold finite numbers > 0, such as (0.8, 1.2)")
    return tuple(float(v) for v in values)


def number(name: str, value: object, *, at_least: float = -math.inf, remedy: str) -> float:
    """``value`` as a float. Raises ValueError unless it is a finite number (bool is none) of ``at_least`` or more."""
    if (
        not isinstance(value, Real)
        or isinstance(value, bool)
        or not math.isfinite(value)
        or not float(value) >= at_least
    ):
        least = "" if at_least == -math.inf else f" >= {at_least:g}"
        raise ValueError(f"{name}={value!r}: must be a finite number{least}; {remedy}")
    return float(value)
