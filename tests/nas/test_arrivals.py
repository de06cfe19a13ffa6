"""Finished trials in order, as the controller learns from them."""

from __future__ import annotations

from math import inf

import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.space import Boolean, Parameter
from kt_ext.nas.draft import Draft
from kt_ext.nas.records import Records
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture
from kt_ext.nas.strategies.arrivals import arrivals


class _Bits(AbstractArchitectureSpace):
    def parameters(self) -> list[Parameter]:
        return [Parameter(f"b{i}", Boolean()) for i in range(4)]

    def lay(self, arch: Architecture, net: Draft) -> str:
        return net.input


def _arrived(started: int, events: list[tuple]) -> list[tuple[int, float]]:
    """Trials 0, 1, ... are started; then (trial, epoch, objective) is a report and (trial,) an end."""
    history = History()
    for number in range(started):
        history.start(number, {})
    for event in events:
        if len(event) == 1:
            history.end(event[0])
        else:
            history.record(Observation(*event))
    return [(one.number, one.objective) for one in arrivals(Records(_Bits(), 10).follow(history))]


@pytest.mark.parametrize(
    ("started", "events", "expected"),
    [
        (0, [], []),
        (2, [], []),
        (3, [(1, 1, 0.5), (0, 1, 0.7)], [(1, 0.5), (0, 0.7)]),
        # the best objective up to the common epoch, 2; trial 0 got there last, trial 2 has not
        (3, [(0, 1, 0.4), (1, 2, 0.9), (2, 1, 0.1), (0, 2, 0.6), (0, 3, 0.2)], [(1, 0.9), (0, 0.4)]),
        # one of two is half of them, and 3 the common epoch
        (2, [(0, 1, 0.4), (0, 3, 0.2), (1, 2, 0.3)], [(0, 0.2)]),
        (2, [(0, 3, 0.2), (1, 2, 0.3), (1, 3, 0.1)], [(0, 0.2), (1, 0.1)]),
        # a report beyond the common epoch does not count where an earlier one is known
        (3, [(0, 2, 0.2), (1, 1, 0.3), (1, 2, 0.5), (2, 1, 0.6), (2, 3, 0.1)], [(0, 0.2), (1, 0.3), (2, 0.6)]),
        # one that ended early has its last word, one that runs has not
        (4, [(0, 1, 0.3), (0,), (1, 1, 0.2), (2, 2, 0.5), (3, 2, 0.4)], [(0, 0.3), (2, 0.5), (3, 0.4)]),
        # ended without a report: before those that were started later
        (4, [(0, 1, 0.3), (1,), (3, 1, 0.1), (2, 1, 0.2)], [(0, 0.3), (1, inf), (3, 0.1), (2, 0.2)]),
        (3, [(1,), (0,)], [(0, inf), (1, inf)]),
        (3, [(0, 1, inf), (0,), (2,)], [(0, inf), (2, inf)]),
    ],
)
def test_who_arrived(started: int, events: list[tuple], expected: list[tuple[int, float]]) -> None:
    assert _arrived(started, events) == expected
