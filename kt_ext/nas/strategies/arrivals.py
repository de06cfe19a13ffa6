"""Finished trials in a fixed order, for strategies that learn from one after the other."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import NamedTuple

from kt_ext.nas.records import Record, Records
from kt_ext.nas.space import Architecture


class Arrival(NamedTuple):
    """A trial that can be learnt from: its number, its best objective (minimised, ``inf`` the worst), what it was."""

    number: int
    objective: float
    arch: Architecture


def arrivals(records: Records) -> list[Arrival]:
    """All trials that got as far as half of those with a report did, each with its best objective up to there, and
    those that ended before, with the best they had; in the order of the reports that brought them there.

    A trial without a report counts as ``inf`` once it has ended, and comes before those that were started later. As a
    search goes on, arrivals are added at the end. Only where the common epoch moves or a trial ends without a report,
    those before change.
    """
    reached = sorted((one.epochs[-1] for one in records.trials if one.epochs), reverse=True)
    common = reached[(len(reached) - 1) // 2] if reached else 1
    found: list[tuple[float, Arrival]] = []
    later = math.inf  # the first row of all trials that were started after this one
    for one in reversed(records.trials):
        place = bisect_left(one.epochs, common)
        if place < len(one.epochs):
            objective = one.best[place] if one.epochs[place] == common or not place else one.best[place - 1]
            found.append((one.rows[place], Arrival(one.number, objective, one.arch)))
        elif one.number not in records.running:
            found.append(_ended(one, later))
        if one.rows:
            later = min(later, one.rows[0])
    # trials of one place are in reversed order, which a stable sort of the reversed list mends
    return [arrival for _, arrival in sorted(reversed(found), key=lambda each: each[0])]


def _ended(one: Record, later: float) -> tuple[float, Arrival]:
    if one.epochs:
        return one.rows[-1], Arrival(one.number, one.best[-1], one.arch)
    return later - 0.5, Arrival(one.number, math.inf, one.arch)
