"""What every domain of a hyperparameter can do, and the parts of the unit interval that its values have."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from kt_ext.core.decision import Value


class AbstractDomain(ABC):
    """What every domain can do. A finite one numbers its values 0, 1, ... ``count - 1``, in the order of the units."""

    @property
    @abstractmethod
    def count(self) -> int | None:
        """The number of distinct values, None when infinite."""

    @abstractmethod
    def at(self, index: int) -> Value:
        """The value with this number; only for a finite domain."""

    @abstractmethod
    def index(self, value: Value) -> int | None:
        """The number of a value, compared by ``==``; None if it is not in the domain or the domain is infinite."""

    @abstractmethod
    def from_unit(self, unit: float) -> Value:
        """The value at ``unit``, in [0, 1]; a uniform unit gives the distribution that the user asked for."""

    @abstractmethod
    def to_unit(self, value: Value) -> float:
        """A unit that leads to ``value``, or to the nearest value of the domain; NaN if there is no such thing."""

    @abstractmethod
    def perturb(self, value: Value, rng: np.random.Generator, factors: Sequence[float]) -> Value:
        """A value near ``value``, inside the domain."""

    @abstractmethod
    def problem(self, value: object) -> str | None:
        """The rule that ``value`` breaks and the remedy, or None if it is a value of this domain."""


def bucket(unit: float, count: int) -> int:
    """Which of ``count`` equal parts of the unit interval holds ``unit``, divided as Keras Tuner does, to the bit."""
    return min(math.floor(unit / (1 / count)), count - 1)


def centre(index: int, count: int) -> float:
    return (index + 0.5) * (1 / count)
