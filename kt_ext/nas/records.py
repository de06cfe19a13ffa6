"""What a strategy sees of a search: every architecture that was tried, and how well each did at a common epoch."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np

from kt_ext.core.history import History
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture


@dataclass
class Record:
    """One trial.

    Attributes:
        number: its trial id.
        arch, key: its architecture, and that one's canonical form.
        epochs, best, rows: of each report the epoch, the best objective up to it (minimised, ``inf`` the worst), and
            its place among the reports of all trials.
    """

    number: int
    arch: Architecture
    key: Hashable
    epochs: list[int] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Scored:
    """Trials that can be compared, in the order in which they got there.

    Attributes:
        records: the trials, n of them.
        objectives: minimised, shape (n,); ``inf`` for one that diverged, failed or was too large.
    """

    records: list[Record]
    objectives: np.ndarray

    def __len__(self) -> int:
        return len(self.records)

    def last(self, n: int) -> Scored:
        """The youngest n."""
        return Scored(self.records[-n:], self.objectives[-n:])


class Records:
    """Follows a history; a cache that can be thrown away.

    Args:
        space: the architectures' space.
        max_trials: how many trials the search may start.
        fits: whether an architecture keeps the search's limits.

    Attributes:
        identity: stays the same object while trials are only added; what was derived from them may be kept so long.
        trials: all trials, in the order of their start.
        running: numbers of those that are with a worker.
        turn: how often this was brought up to date; as long as it is the same, so is all else.
    """

    def __init__(
        self,
        space: AbstractArchitectureSpace,
        max_trials: int,
        fits: Callable[[Architecture], bool] = lambda arch: True,
    ) -> None:
        self.space = space
        self.max_trials = max_trials
        self.fits = fits
        self.turn = 0
        self.identity: object = None

    def follow(self, history: History) -> Records:
        """This, brought up to date at the cost of what is new."""
        self.turn += 1
        self._scored: dict[int, Scored] = {}
        if self.identity is not history.identity:
            self.identity = history.identity
            self.trials: list[Record] = []
            self._by_number: dict[int, Record] = {}
            self._tried: set[Hashable] = set()
            self._seen = 0
        for number in history.ids[len(self.trials) :]:
            arch = self.space.architecture(history.values(number))
            record = Record(number, arch, arch.key)
            self.trials.append(record)
            self._by_number[number] = record
            self._tried.add(record.key)
        numbers, epochs, objectives = history.observations()
        for row in range(self._seen, len(numbers)):
            record, objective = self._by_number[int(numbers[row])], float(objectives[row])
            record.epochs.append(int(epochs[row]))
            record.best.append(min(objective, record.best[-1]) if record.best else objective)
            record.rows.append(row)
        self._seen = len(numbers)
        self.running = history.pending
        return self

    def record(self, number: int) -> Record:
        """The trial with this number. Raises KeyError for an unknown one."""
        return self._by_number[number]

    def tried(self, arch: Architecture) -> bool:
        """Whether some trial has or had the same network."""
        return arch.key in self._tried

    def is_new(self, arch: Architecture) -> bool:
        """Whether it was not tried and keeps the limits."""
        return not self.tried(arch) and self.fits(arch)

    def scored(self, at_least: int = 1) -> Scored:
        """All trials that reached the highest epoch that at least so many trials have reached, each with its best
        objective up to that epoch; those that ended without a report are the oldest, with ``inf``. Empty if there are
        not so many.

        A trial that first reported after that epoch counts with its first report.
        """
        if at_least not in self._scored:
            self._scored[at_least] = self._compared(at_least)
        return self._scored[at_least]

    def _compared(self, at_least: int) -> Scored:
        ended = [one for one in self.trials if not one.epochs and one.number not in self.running]
        reporting = [one for one in self.trials if one.epochs]
        if len(ended) + len(reporting) < at_least:
            return Scored([], np.empty(0))
        wanted = at_least - len(ended)
        epoch = sorted((one.epochs[-1] for one in reporting), reverse=True)[wanted - 1] if wanted > 0 else 1
        there = []
        for one in reporting:
            if one.epochs[-1] >= epoch:
                place = bisect_right(one.epochs, epoch)
                exact = place > 0 and one.epochs[place - 1] == epoch
                arrived = one.rows[place - 1] if exact else one.rows[place]
                there.append((arrived, one.best[max(place - 1, 0)], one))
        there.sort(key=lambda each: each[0])
        records = [*ended, *(one for _, _, one in there)]
        return Scored(records, np.array([math.inf] * len(ended) + [objective for _, objective, _ in there]))
