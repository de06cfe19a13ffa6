"""Whether trials rank at one rung as they did at the rung below, up to the noise of their curves (PASHA, section 4).

Bohdal, Balles, Wistuba, Ermis, Archambeau, Zappella (2023), "PASHA: Efficient HPO and NAS with Progressive Resource
Allocation", https://arxiv.org/abs/2207.06940.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# The noise is estimated from the trials that reached the rung first, this many at most: 4,950 pairs.
FIRST_TRIALS = 100


class SoftRanking:
    """The trials that reached a rung, sorted by their objectives there and at the rung below.

    Soft: at each position of the ranking below stands a group, all trials whose objective below is within epsilon of
    that of the trial at this position. The ranking holds as long as every trial of the rung above is in the group at
    its own position. Trials that tie above are taken in the order they had below.
    """

    def __init__(self) -> None:
        self._sorted_below = np.empty(0)  # (n,), objectives at the rung below, ascending
        self._above = np.empty(0)  # (n,), objectives at the rung above, ascending; inf: diverged on the way
        self._below = np.empty(0)  # (n,), objectives below of the trials in the order of _above

    def add(self, below: float, above: float) -> None:
        """A trial with these objectives at the two rungs; one that diverged between them is inf above."""
        self._sorted_below = np.insert(self._sorted_below, np.searchsorted(self._sorted_below, below), below)
        first, last = np.searchsorted(self._above, above, "left"), np.searchsorted(self._above, above, "right")
        position = first + np.searchsorted(self._below[first:last], below)
        self._above = np.insert(self._above, position, above)
        self._below = np.insert(self._below, position, below)

    def holds(self, epsilon: float) -> bool:
        """Whether every trial is in the group at its position; ``epsilon`` >= 0, in objective units."""
        low, high = self._sorted_below - epsilon, self._sorted_below + epsilon
        return bool(np.all((low <= self._below) & (self._below <= high)))

    def state(self) -> list[list[float | None]]:
        """A JSON array of [below, above], ascending by above; above None: inf."""
        pairs = zip(self._below.tolist(), self._above.tolist(), strict=True)
        return [[below, None if above == np.inf else above] for below, above in pairs]

    def load_state(self, state: Sequence[Sequence[Any]]) -> None:
        """Take over a ``state()``."""
        self._below = np.array([below for below, _ in state], dtype=float)
        self._above = np.array([np.inf if above is None else above for _, above in state], dtype=float)
        self._sorted_below = np.sort(self._below)


class CrossingNoise:
    """How far apart trials are that cross each other and cross back: what a difference must exceed to mean anything.

    Two trials count if one was better at some epoch, the other at a later one, and the first again at the last epoch
    of both. Epsilon is a quantile of the distances at that last epoch, over all such pairs of the trials that reached
    the rung, of the first hundred if there are more.
    """

    def __init__(self, quantile: float) -> None:
        self._quantile = quantile
        self._curves: list[list[float]] = []  # one for each trial, all of the same number of epochs
        self._distances: list[float] = []
        self._epsilon: float | None = None

    def add(self, curve: Sequence[float]) -> None:
        """A trial that reached the rung, with its objective at each epoch up to there, all of them finite."""
        if len(self._curves) >= FIRST_TRIALS:
            return
        if self._curves:
            distances = crossing_distances(np.asarray(curve), np.asarray(self._curves))
            if len(distances):
                self._distances += distances.tolist()
                self._epsilon = float(np.quantile(self._distances, self._quantile))
        self._curves.append(list(curve))

    @property
    def epsilon(self) -> float | None:
        """In objective units; None while no two trials have crossed twice."""
        return self._epsilon

    def state(self) -> list[list[float]]:
        """A JSON array of the curves."""
        return [list(curve) for curve in self._curves]

    def load_state(self, state: Sequence[Sequence[float]]) -> None:
        """Take over a ``state()``."""
        self._curves, self._distances, self._epsilon = [], [], None
        for curve in state:
            self.add(curve)


def crossing_distances(curve: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How far ``curve``, shape (epochs,), is at its last epoch from those of ``others`` that it crosses twice.

    Shape of ``others``: (n, epochs); of the answer: (however many of the n,), in objective units.
    """
    order = np.sign(others - curve)
    last = order[:, -1:]
    as_at_last_before = np.logical_or.accumulate((order == last) & (last != 0), axis=1)
    crosses = np.any(as_at_last_before & (order == -last), axis=1)
    return np.abs(others[crosses, -1] - curve[-1])
