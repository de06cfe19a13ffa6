"""The unit interval of a parameter, as a density estimate wants it: neighbours side by side, and one cell per value."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from kt_ext.core.categorical import Choice
from kt_ext.core.domains import Domain
from kt_ext.core.numeric import Float, Int


class AbstractAxis(ABC):
    """Coordinates in [0, 1] on which the prior, the distribution that the user asked for, is uniform.

    Attributes:
        ordered: whether near coordinates are like values; if not, only the same cell is like.
    """

    ordered: bool

    @abstractmethod
    def coordinates(self, units: np.ndarray) -> np.ndarray:
        """Of ``Domain.to_unit`` of values; shape (n,), NaN stays NaN."""

    @abstractmethod
    def unit(self, coordinate: float) -> float:
        """A unit that leads to the value at ``coordinate``."""

    @abstractmethod
    def cell(self, coordinate: float) -> tuple[float, float]:
        """The ends of the coordinates of the value at ``coordinate``; of a continuous range, ``coordinate`` twice."""


class NumberAxis(AbstractAxis):
    """A Float or an Int: the coordinate is the unit."""

    ordered = True

    def __init__(self, domain: Float | Int) -> None:
        self._domain = domain
        # An integer on a logarithmic scale owns the units from itself up to the next one.
        self._ends: Float | None = None
        if isinstance(domain, Int) and domain.step is None and domain.scale != "linear":
            self._ends = Float(domain.low, domain.high + 1, scale=domain.scale)

    def coordinates(self, units: np.ndarray) -> np.ndarray:
        return units

    def unit(self, coordinate: float) -> float:
        return coordinate

    def cell(self, coordinate: float) -> tuple[float, float]:
        count = self._domain.count
        if count is None:
            return coordinate, coordinate
        if self._ends is not None:
            value = self._domain.from_unit(coordinate)
            return self._ends.to_unit(value), self._ends.to_unit(value + 1)
        number = min(int(coordinate * count), count - 1)
        return number / count, (number + 1) / count


class ListAxis(AbstractAxis):
    """A Choice, Boolean or Fixed: each distinct value has a cell, as wide as the value is likely.

    The cells of an ordered choice of numbers stand in order of size, where its units stand as listed.
    """

    def __init__(self, domain: Domain) -> None:
        listed = domain.values if isinstance(domain, Choice) else [domain.at(k) for k in range(domain.count or 0)]
        values = list(dict.fromkeys(listed))
        self.ordered = isinstance(domain, Choice) and domain.ordered
        if self.ordered and not any(isinstance(value, str) for value in values):
            values.sort()  # type: ignore[type-var]
        self._units = [domain.to_unit(value) for value in values]
        shares = [listed.count(value) / len(listed) for value in values]
        self._ends = np.array([0.0, *np.cumsum(shares[:-1]), 1.0])  # of the cells, shape (len(values) + 1,)
        centres = (self._ends[:-1] + self._ends[1:]) / 2
        self._centres = centres[[values.index(value) for value in listed]]  # by the place in the list

    def coordinates(self, units: np.ndarray) -> np.ndarray:
        known = ~np.isnan(units)
        found = np.full(len(units), np.nan)
        found[known] = self._centres[(units[known] * len(self._centres)).astype(int)]
        return found

    def unit(self, coordinate: float) -> float:
        return self._units[self._cell(coordinate)]

    def cell(self, coordinate: float) -> tuple[float, float]:
        number = self._cell(coordinate)
        return float(self._ends[number]), float(self._ends[number + 1])

    def _cell(self, coordinate: float) -> int:
        return int(np.searchsorted(self._ends[1:-1], coordinate, side="right"))


def axis_of(domain: Domain) -> AbstractAxis:
    """The axis of a domain."""
    return NumberAxis(domain) if isinstance(domain, (Float, Int)) else ListAxis(domain)
