"""Several objectives without weights: each report is ranked among those that were made at the same epoch."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from kt_ext.core.pareto import dominated_by, dominating

Point = Sequence[float]  # each objective minimised, inf in all of them if the report is of no use


class Judged(NamedTuple):
    """The epoch that a trial is judged by."""

    epoch: int
    rank: float
    point: Point


class ParetoRanks:
    """Follows all reports of a search.

    The rank of a report is a number in (0, 1), smaller is better: the share of the other reports at the same epoch that
    dominate it (Fonseca and Fleming, 1993), estimated from those made so far by Laplace's rule:
    (dominating + 1) / (reports + 2). It is given once, and stays as it was given.

    A trial is judged by one epoch, which none of its other epochs dominates: an epoch takes the place of the one before
    if no epoch of the trial dominates it, and it dominates that one or has a lower rank.
    """

    def __init__(self) -> None:
        self._at: dict[int, _Points] = {}
        self._of: dict[int, _Points] = {}
        self._judged: dict[int, Judged] = {}

    def rank(self, epoch: int, point: Point) -> float:
        """The rank of a new report; ``inf`` for one that is of no use."""
        if math.inf in point:
            return math.inf
        others = self._at[epoch].view() if epoch in self._at else np.empty((0, len(point)))
        return (int(dominating(point, others).sum()) + 1) / (len(others) + 2)

    def note(self, number: int, epoch: int, point: Point, rank: float) -> None:
        """Take over a report of trial ``number`` with the rank it was given, live or on record; epochs ascend."""
        self._at.setdefault(epoch, _Points(len(point))).append(point)
        earlier = self._of.setdefault(number, _Points(len(point)))
        present = self._judged.get(number)
        if rank < math.inf and not dominating(point, earlier.view()).any():
            better = present is None or dominating(present.point, np.array([point]))[0] or rank < present.rank
            if better:
                self._judged[number] = Judged(epoch, rank, tuple(point))
        earlier.append(point)

    def judged(self, number: int) -> Judged | None:
        """The epoch that the trial is judged by; None without one that is of use."""
        return self._judged.get(number)

    def dominators(self, numbers: Collection[int]) -> dict[int, int]:
        """By how many of these trials each of them is dominated; those without a useful epoch are left out."""
        known = [number for number in numbers if number in self._judged]
        points = np.array([self._judged[number].point for number in known]).reshape(len(known), -1)
        return dict(zip(known, dominated_by(points).tolist(), strict=True))


class _Points:
    """Rows of an array that grows at its end, at amortised O(1)."""

    def __init__(self, width: int) -> None:
        self._rows = np.empty((8, width))
        self._length = 0

    def append(self, point: Point) -> None:
        if self._length == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._length] = point
        self._length += 1

    def view(self) -> np.ndarray:
        return self._rows[: self._length]
