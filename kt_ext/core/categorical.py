"""Hyperparameters that are not numbers on a scale: Choice, Boolean and Fixed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.domain import AbstractDomain, bucket, centre


@dataclass(frozen=True)
class Choice(AbstractDomain):
    """One of ``values``.

    Args:
        values: at least one bool, int, float or str; one that is listed twice is drawn twice as often.
        ordered: whether neighbours are alike. Numbers are neighbours in order of size, others as listed.
    """

    values: tuple[Value, ...]
    ordered: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values:
            raise ValueError("values=(): must hold at least one value; give one or leave the parameter out")
        for value in self.values:
            check_plain("values", value)

    @cached_property
    def _distinct(self) -> tuple[Value, ...]:
        return tuple(dict.fromkeys(self.values))

    @cached_property
    def _numbers(self) -> dict[Value, int]:
        return {value: number for number, value in enumerate(self._distinct)}

    @cached_property
    def _by_size(self) -> tuple[Value, ...]:
        numeric = not any(isinstance(value, str) for value in self.values)
        return tuple(sorted(self._distinct)) if numeric else self._distinct  # type: ignore[type-var]

    @property
    def count(self) -> int:
        return len(self._distinct)

    def at(self, index: int) -> Value:
        return self._distinct[index]

    def index(self, value: Value) -> int | None:
        return self._numbers.get(value)

    def from_unit(self, unit: float) -> Value:
        return self.values[bucket(unit, len(self.values))]

    def to_unit(self, value: Value) -> float:
        if value not in self._numbers:
            return math.nan
        return centre(self.values.index(value), len(self.values))

    def perturb(self, value: Value, rng: np.random.Generator, factors: Sequence[float]) -> Value:
        """A neighbour of an ordered choice, any other value of an unordered one."""
        if value not in self._numbers:
            return self.from_unit(rng.random())
        others = [other for other in self._distinct if other != value]
        if self.ordered:
            place = self._by_size.index(value)
            others = [self._by_size[near] for near in (place - 1, place + 1) if 0 <= near < self.count]
        return others[int(rng.integers(len(others)))] if others else value

    def problem(self, value: object) -> str | None:
        if any(value == own and type(value) is type(own) for own in self.values):
            return None
        return f"must be one of {list(self.values)}; choose one of them or add it to the choices"


@dataclass(frozen=True)
class Boolean(AbstractDomain):
    """False or True."""

    @property
    def count(self) -> int:
        return 2

    def at(self, index: int) -> bool:
        return bool(index)

    def index(self, value: Value) -> int | None:
        return int(value) if value in (False, True) else None

    def from_unit(self, unit: float) -> bool:
        return bool(unit >= 0.5)

    def to_unit(self, value: Value) -> float:
        return 0.75 if value else 0.25

    def perturb(self, value: Value, rng: np.random.Generator, factors: Sequence[float]) -> bool:
        """The same: there is nothing nearby."""
        return bool(value)

    def problem(self, value: object) -> str | None:
        return None if type(value) is bool else f"must be a plain bool, not {type(value).__name__}; convert it"


@dataclass(frozen=True)
class Fixed(AbstractDomain):
    """Always ``value``."""

    value: Value

    def __post_init__(self) -> None:
        check_plain("value", self.value)

    @property
    def count(self) -> int:
        return 1

    def at(self, index: int) -> Value:
        return self.value

    def index(self, value: Value) -> int | None:
        return 0 if value == self.value else None

    def from_unit(self, unit: float) -> Value:
        return self.value

    def to_unit(self, value: Value) -> float:
        return 0.5

    def perturb(self, value: Value, rng: np.random.Generator, factors: Sequence[float]) -> Value:
        return self.value

    def problem(self, value: object) -> str | None:
        if value == self.value and type(value) is type(self.value):
            return None
        return f"must be {self.value!r}, it is fixed; leave it out or make it tunable"


def check_plain(argument: str, value: object) -> None:
    if type(value) not in (bool, int, float, str) or value != value:
        raise ValueError(f"{argument}={value!r}: must be a plain bool, int, float or str and not NaN; convert it")
