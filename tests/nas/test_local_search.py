"""Which architecture is expanded, and what follows when its neighbours have all been tried."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.space import Choice, Parameter
from kt_ext.nas.draft import Draft
from kt_ext.nas.records import Records
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture
from kt_ext.nas.strategies.local_search import LocalSearch
from nas.strategy_table import Bag


class Line(AbstractArchitectureSpace):
    """A place from 0 to 9 on each of two lines; neighbours are one step away."""

    def parameters(self) -> list[Parameter]:
        return [Parameter(name, Choice(tuple(range(10)), ordered=True)) for name in ("x", "y")]

    def lay(self, arch: Architecture, net: Draft) -> str:
        raise NotImplementedError("never built here")

    def neighbours(self, arch: Architecture):
        x, y = arch.values["x"], arch.values["y"]
        for near in ((x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)):
            if min(near) >= 0 and max(near) <= 9:
                yield self.at(*near)

    def at(self, x: int, y: int) -> Architecture:
        return self.repair({"x": x, "y": y})

    def distance(self, first: Architecture, second: Architecture) -> int:
        return sum(abs(first.values[name] - second.values[name]) for name in ("x", "y"))


SPACE = Line()


def proposed(tried: dict[tuple[int, int], float | None], n_startup: int = 1) -> set[tuple[int, int]]:
    """All that is proposed after these, over many draws; None is running."""
    history = History()
    for number, (place, objective) in enumerate(tried.items()):
        history.start(number, SPACE.values(SPACE.at(*place)))
        if objective is not None:
            history.record(Observation(number, 1, objective))
    records, strategy = Records(SPACE, 50).follow(history), LocalSearch(n_startup)
    found = [strategy.choose(records, np.random.default_rng(seed)).arch.values for seed in range(60)]
    return {(each["x"], each["y"]) for each in found}


def test_random_ones_first() -> None:
    assert len(proposed({(0, 0): 0.5, (5, 5): 0.4}, n_startup=3)) > 20


def test_untried_neighbours_of_the_best() -> None:
    assert proposed({(0, 0): 0.5, (5, 5): 0.4, (7, 7): None}) == {(4, 5), (6, 5), (5, 4), (5, 6)}
    assert proposed({(0, 0): 0.5, (5, 5): 0.4, (5, 6): None, (4, 5): 0.45}) == {(6, 5), (5, 4)}


def test_a_better_neighbour_is_expanded_at_once() -> None:
    assert proposed({(0, 0): 0.5, (5, 5): 0.4, (5, 6): 0.3}) == {(4, 6), (6, 6), (5, 7)}


def test_of_equals_the_first() -> None:
    assert proposed({(3, 3): 0.4, (0, 0): 0.4}) == {(2, 3), (4, 3), (3, 2), (3, 4)}


def test_after_a_local_optimum_the_next_best_that_is_no_neighbour_of_it() -> None:
    optimum = {(5, 5): 0.1, (4, 5): 0.2, (6, 5): 0.2, (5, 4): 0.2, (5, 6): 0.2}
    assert proposed({**optimum, (0, 0): 0.9}) == {(1, 0), (0, 1)}


def test_while_the_neighbours_run_the_next_best_is_expanded() -> None:
    running = {(5, 5): 0.1, (4, 5): None, (6, 5): None, (5, 4): None, (5, 6): None}
    assert proposed({**running, (0, 0): 0.9}) == {(1, 0), (0, 1)}


def test_at_random_when_nothing_is_left_to_expand() -> None:
    assert len(proposed({(0, 0): 0.1, (1, 0): 0.2, (0, 1): np.inf})) > 20


def test_a_failed_one_is_expanded_last() -> None:
    assert proposed({(0, 0): np.inf, (9, 9): 100.0}) == {(8, 9), (9, 8)}


def test_it_climbs_to_the_optimum() -> None:
    """From any start, in a landscape with one optimum; at most four neighbours for each of eighteen steps."""
    strategy, history = LocalSearch(1), History()
    records = Records(SPACE, 100)
    for number in range(75):
        arch = strategy.choose(records.follow(history), np.random.default_rng(number)).arch
        history.start(number, SPACE.values(arch))
        history.record(Observation(number, 1, float(SPACE.distance(arch, SPACE.at(9, 0)))))
    assert min(history.best(number)[0] for number in range(75)) == 0.0


def test_one_strategy_serves_two_spaces() -> None:
    strategy = LocalSearch(1)
    for space in (Bag(), Bag("other")):
        history = History()
        history.start(0, space.values(space.repair({"depth": 1, "op1": "a"})))
        history.record(Observation(0, 1, 0.5))
        arch = strategy.choose(Records(space, 9).follow(history), np.random.default_rng(0)).arch
        assert arch.space is space


def test_arguments() -> None:
    with pytest.raises(ValueError, match="n_startup=0: must be an integer >= 1"):
        LocalSearch(0)
