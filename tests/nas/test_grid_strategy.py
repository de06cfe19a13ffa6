"""The order of the grid and what it leaves out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.searcher import SpaceExhausted
from kt_ext.core.space import Boolean, Choice, Float, Parameter
from kt_ext.nas.draft import Draft
from kt_ext.nas.limits import Limits
from kt_ext.nas.records import Records
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture
from kt_ext.nas.spaces.presets import nb101
from kt_ext.nas.strategies.grid import Grid
from nas.strategy_table import Bag, cost

RNG = np.random.default_rng(0)


def order(space: AbstractArchitectureSpace, fits=lambda arch: True) -> list[Architecture]:
    history, grid, found = History(), Grid(), []
    records = Records(space, 99, fits)
    with pytest.raises(SpaceExhausted):
        while True:
            found.append(grid.choose(records.follow(history), RNG).arch)
            history.start(len(history), space.values(found[-1]))
    return found


def test_lexicographic_and_each_network_once() -> None:
    keys = " ".join(str(arch.key) for arch in order(Bag()))
    assert keys == "a b c aa ab ac bb bc cc aaa aab aac abb abc acc bbb bbc bcc ccc"


def test_within_the_limits() -> None:
    found = order(Bag(), Limits({"cost": (3, 3)}, cost).fit)
    assert [arch.key for arch in found] == ["ac", "bc", "aaa", "aab", "abb", "bbb"]


class Pair(AbstractArchitectureSpace):
    """Two switches, not both on, and a rate on a logarithmic scale."""

    def parameters(self) -> list[Parameter]:
        return [
            Parameter("left", Boolean()),
            Parameter("right", Boolean()),
            Parameter("rate", Float(1e-5, 1e5, scale="log")),
        ]

    def lay(self, arch: Architecture, net: Draft) -> str:
        raise NotImplementedError("never built here")

    def repair(self, values: Mapping[str, Value]) -> Architecture:
        arch = super().repair(values)
        return super().repair({**arch.values, "right": False}) if arch.values["left"] else arch


def test_ten_points_for_a_number_without_steps_and_no_invalid_choices() -> None:
    found = order(Pair())
    assert [(arch.values["left"], arch.values["right"]) for arch in found[::10]] == [
        (False, False),
        (False, True),
        (True, False),
    ]
    assert len(found) == 30
    rates = [arch.values["rate"] for arch in found[:10]]
    assert np.log10(rates) == pytest.approx(np.arange(-4.5, 5.0))


def test_another_history_begins_anew() -> None:
    grid, space = Grid(), Bag()
    records, history = Records(space, 9), History()
    for number in range(3):
        history.start(number, space.values(grid.choose(records.follow(history), RNG).arch))
    assert str(grid.choose(records.follow(history), RNG).arch) == "depth=2 op1=a op2=a"
    assert str(grid.choose(records.follow(History()), RNG).arch) == "depth=1 op1=a"


class Digits(AbstractArchitectureSpace):
    """Six digits."""

    def parameters(self) -> list[Parameter]:
        return [Parameter(f"digit{place}", Choice(tuple(range(10)))) for place in range(6)]

    def lay(self, arch: Architecture, net: Draft) -> str:
        raise NotImplementedError("never built here")


def test_a_large_space_is_gone_through_in_strides() -> None:
    """A million: by 618,001, the first number from 618,000 that has no factor in common with it."""
    space, grid, history = Digits(), Grid(), History()
    records, found = Records(space, 9), []
    for number in range(4):
        arch = grid.choose(records.follow(history), RNG).arch
        history.start(number, space.values(arch))
        found.append("".join(str(value) for _, value in arch.genes))
    assert found == ["000000", "618001", "236002", "854003"]


def test_where_few_choices_are_valid_it_does_not_take_long() -> None:
    """NAS-Bench-101's graphs: some eight million invalid ones come first in order."""
    space, grid, history = nb101(), Grid(), History()
    records = Records(space, 9)
    for number in range(5):
        arch = grid.choose(records.follow(history), RNG).arch
        assert space.is_valid(arch)
        history.start(number, space.values(arch))
    assert len({one.key for one in records.follow(history).trials}) == 5
