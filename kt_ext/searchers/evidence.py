"""What was observed of each configuration, as the arrays that models learn from."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from kt_ext.core.history import History
from kt_ext.core.space import Space


class Evidence:
    """Follows a history: one row for each trial, in the order of their start.

    It is a cache that can be thrown away: ``follow`` brings it up to date at the cost of what is new, and starts afresh
    when the space or the history is another one.

    Attributes:
        ids: trial id of each row.
        units: ``space.encode`` of each trial's values, shape (n_trials, n_parameters); NaN where a parameter is
            inactive, or was not yet known when the trial began.
        epochs: epochs that each trial has done, shape (n_trials,). One that ended without a report, as it failed or its
            model broke a constraint, counts as one that was bad after 1 epoch: its neighbours are no better.
        changes: how often a trial turned out to have other values than when it was first seen here.
        running: whether each trial is with a worker now, shape (n_trials,), bool.
    """

    def __init__(self) -> None:
        self._key: tuple[object, Space] | None = None

    def follow(self, history: History, space: Space) -> Evidence:
        """This, brought up to date."""
        if self._key != (history.identity, space):
            self._key = (history.identity, space)
            self.ids: list[int] = []
            self._row: dict[int, int] = {}
            self._values: list[object] = []
            self._units = np.empty((0, len(space.parameters)))
            self._observed = 0
            self.changes = 0
            self._curves: list[tuple[list[int], list[float]]] = []  # epochs and the best objective up to each
        for trial_id in history.ids[len(self.ids) :]:
            self._row[trial_id] = len(self.ids)
            self.ids.append(trial_id)
            self._values.append(None)
            self._curves.append(([], []))
        n = len(self.ids)
        if n > len(self._units):
            self._units = np.concatenate([self._units, np.empty((n, self._units.shape[1]))])
        for row, trial_id in enumerate(self.ids):
            values = history.values(trial_id)
            if values is not self._values[row]:  # new, or changed in mid-training
                self.changes += self._values[row] is not None
                self._values[row], self._units[row] = values, space.encode(values)
        trial_ids, epochs, objectives = history.observations()
        for place in range(self._observed, len(epochs)):
            self._observe(int(trial_ids[place]), int(epochs[place]), float(objectives[place]))
        self._observed = len(epochs)

        self.units = self._units[:n]
        self.epochs = np.array([curve[0][-1] if curve[0] else 0 for curve in self._curves], dtype=int)
        self.running = np.fromiter((trial_id in history.pending for trial_id in self.ids), bool, n)
        self.epochs[(self.epochs == 0) & ~self.running] = 1
        return self

    def _observe(self, trial_id: int, epoch: int, objective: float) -> None:
        epochs, best = self._curves[self._row[trial_id]]
        epochs.append(epoch)
        best.append(min(objective, best[-1]) if best else objective)

    def highest(self, at_least: int) -> int:
        """The highest epoch that at least so many trials have reached; 0 if there are not so many."""
        if len(self.epochs) < at_least:
            return 0
        return int(np.partition(self.epochs, len(self.epochs) - at_least)[len(self.epochs) - at_least])

    def at(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows of the trials that have reached ``epoch``, and their best objectives up to it, both of shape (k,).

        An objective is ``inf`` where no report up to ``epoch`` was finite, or none was made.
        """
        rows = np.flatnonzero(self.epochs >= epoch)
        return rows, np.array([self.best_until(int(row), epoch) for row in rows])

    def best_until(self, row: int, epoch: int) -> float:
        """The best objective of a row's trial up to ``epoch``, ``inf`` without one."""
        epochs, best = self._curves[row]
        place = bisect_right(epochs, epoch)
        return best[place - 1] if place else np.inf
