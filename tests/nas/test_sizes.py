"""What strategies take where a user says nothing: smaller in a short search, as it was chosen in a long one."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.core.history import History
from kt_ext.nas.records import Records
from kt_ext.nas.spaces.presets import nb201
from kt_ext.nas.strategies.candidates import startup
from kt_ext.nas.strategies.controller import Controller
from kt_ext.nas.strategies.evolution import default_population
from kt_ext.nas.strategies.sizes import share_of


@pytest.mark.parametrize(("trials", "population", "random"), [(3, 2, 2), (16, 3, 3), (99, 19, 19), (200, 30, 20)])
def test_a_share_within_bounds(trials: int, population: int, random: int) -> None:
    assert default_population(trials) == population
    assert startup(None, trials) == random
    assert startup(7, trials) == 7
    assert share_of(trials, 10, 2, 10) == max(2, min(10, trials // 10))


@pytest.mark.parametrize(("trials", "batch"), [(16, 2), (50, 5), (100, 10), (1000, 10)])
def test_the_batch_of_the_controller(trials: int, batch: int) -> None:
    strategy = Controller(units=4)
    strategy.choose(Records(nb201(), trials).follow(History()), np.random.default_rng(0))
    assert strategy._batch == batch
