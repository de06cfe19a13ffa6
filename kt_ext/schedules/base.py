"""What a schedule is: a pure function of the step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise


class AbstractSchedule(ABC):
    """A frozen dataclass that gives, for each step, the factor by which the base learning rate is multiplied.

    The base is the optimizer's learning rate as built, or as a search has mutated it since. A step is a batch or an
    epoch, counted from 0: what applies the schedule says which. The fields are plain numbers and words, or schedules.
    """

    @abstractmethod
    def __call__(self, step: float) -> float:
        """The factor at ``step``, >= 0."""


def positive(name: str, value: float, remedy: str = "") -> None:
    """Raises ValueError unless ``value`` is a finite number > 0."""
    _number(name, value, "a finite number > 0", lambda v: v > 0, remedy)


def not_negative(name: str, value: float, remedy: str = "") -> None:
    """Raises ValueError unless ``value`` is a finite number >= 0."""
    _number(name, value, "a finite number >= 0", lambda v: v >= 0, remedy)


def fraction(name: str, value: float, remedy: str = "") -> None:
    """Raises ValueError unless ``value`` is a number between 0 and 1, both exclusive."""
    _number(name, value, "a number between 0 and 1, exclusive", lambda v: 0 < v < 1, remedy)


def at_least_one(name: str, value: float, remedy: str = "") -> None:
    """Raises ValueError unless ``value`` is a finite number >= 1."""
    _number(name, value, "a finite number >= 1", lambda v: v >= 1, remedy)


def a_schedule(name: str, value: object) -> None:
    """Raises ValueError unless ``value`` is a schedule."""
    if not isinstance(value, AbstractSchedule):
        raise ValueError(f"{name}={value!r}: must be a schedule, e.g. kt_ext.schedules.Constant()")


def ascending(name: str, values: tuple[float, ...]) -> None:
    """Raises ValueError unless each of the numbers is >= 0 and larger than the one before it."""
    for value in values:
        not_negative(name, value)
    if any(one >= other for one, other in pairwise(values)):
        raise ValueError(f"{name}={values}: must be strictly ascending; sort them, and name each step once")


def _number(name: str, value: float, rule: str, holds: Callable[[float], bool], remedy: str) -> None:
    if isinstance(value, bool) or not (isinstance(value, (int, float)) and math.isfinite(value) and holds(value)):
        raise ValueError(f"{name}={value!r}: must be {rule}{'; ' if remedy else ''}{remedy}")
