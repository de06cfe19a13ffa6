"""The default explorer: how far its draws and its factors reach."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kt_ext.core.decision import CheckpointRef, Observation, Run
from kt_ext.core.history import History
from kt_ext.core.space import Boolean, Choice, Condition, Float, Int, Parameter, Space
from kt_ext.schedulers import PBT, AdaptivePerturb, Perturb
from kt_ext.schedulers.adaptive import LEAST_SPREAD, spreads

RATE = Space([Parameter("rate", Float(1e-4, 1.0, scale="log"))])
RUN = Run(3, until=2, restore=CheckpointRef(0, 1))


def population(*members: tuple[float, dict]) -> History:
    """Members with a score after one epoch and the values that led to it."""
    history = History()
    for trial_id, (score, values) in enumerate(members):
        history.start(trial_id, values)
        history.record(Observation(trial_id, 1, score))
    return history


def children(explorer, history, space, count=2000):
    rng = np.random.default_rng(0)
    return [explorer.explore(RUN, history, space, (), rng) for _ in range(count)]


def rates(*units: float) -> History:
    return population(*((float(score), {"rate": 10 ** (-4 + 4 * unit)}) for score, unit in enumerate(units)))


def test_spread_is_that_of_the_better_half():
    """Units 0.4 and 0.6 lead, with a standard deviation of 0.1; the losers and the diverged do not count."""
    history = population(
        (1.0, {"rate": 10**-1.6}),
        (0.0, {"rate": 10**-2.4}),
        (3.0, {"rate": 1.0}),
        (4.0, {"rate": 1e-4}),
        (math.inf, {"rate": 1.0}),
    )
    history.record(Observation(0, 2, -9.0))  # later epochs do not count
    assert spreads(history, RATE, 1) == pytest.approx([0.1])
    history.assign(1, {"rate": 1.0})  # nor do later values
    assert spreads(history, RATE, 1) == pytest.approx([0.1])


def test_spread_is_never_nothing():
    assert spreads(rates(0.5, 0.5, 0.1), RATE, 1) == [LEAST_SPREAD]
    assert spreads(rates(0.5), RATE, 1) == [LEAST_SPREAD]


def test_spread_of_a_conditional_parameter_is_that_of_those_who_have_it():
    on = (Condition("on", (True,)),)
    space = Space([Parameter("on", Boolean()), Parameter("x", Float(0, 1), on)])
    members = [(0.0, {"on": True, "x": 0.2}), (1.0, {"on": True, "x": 0.6}), (2.0, {"on": False})]
    history = population(*members, *((9.0, {"on": False}),) * 3)
    assert spreads(history, space, 1)[1] == pytest.approx(0.2)
    assert spreads(population((0.0, {"on": False}), (1.0, {"on": False})), space, 1)[1] == LEAST_SPREAD


def test_draws_are_around_the_donor_and_as_wide_as_the_population():
    explorer = AdaptivePerturb(resample_probability=1.0)
    for units, spread in [((0.4, 0.6, 0.9, 0.1), 0.1), ((0.5, 0.5, 0.9, 0.1), LEAST_SPREAD)]:
        drawn = [RATE.encode(child)[0] for child in children(explorer, rates(*units), RATE)]
        assert np.mean(drawn) == pytest.approx(units[0], abs=0.01)
        assert np.std(drawn) == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize(("comparisons", "power"), [(None, 1.0), (100, 1.0), (64, 1.0), (32, 2.0), (16, 4.0), (4, 5.0)])
def test_few_comparisons_make_large_steps(comparisons, power):
    explorer = AdaptivePerturb(resample_probability=0.0, comparisons=comparisons)
    moved = {round(child["rate"] / 0.01, 9) for child in children(explorer, rates(0.5, 0.9), RATE, 50)}
    assert moved == {round(0.8**power, 9), round(1.2**power, 9)}


def test_factors_of_ones_own_are_taken_as_they_are():
    explorer = AdaptivePerturb((0.5, 2.0), resample_probability=0.0, comparisons=4)
    assert {child["rate"] / 0.01 for child in children(explorer, rates(0.5, 0.9), RATE, 50)} == {0.5, 2.0}


def test_a_zero_is_left_by_a_factor_above_one():
    space = Space([Parameter("x", Float(0, 1))])
    history = population((0.0, {"x": 0.0}), (1.0, {"x": 0.0}))
    moved = np.array([child["x"] for child in children(AdaptivePerturb(resample_probability=0.0), history, space)])
    assert 0.45 < np.mean(moved == 0) < 0.55
    assert np.mean(moved[moved > 0]) == pytest.approx(0.5, abs=0.05)
    assert {child["x"] for child in children(Perturb(resample_probability=0.0), history, space)} == {0.0}


def test_what_has_no_distances_is_drawn_as_in_the_paper():
    space = Space([Parameter("c", Choice(("a", "b", "c"))), Parameter("b", Boolean()), Parameter("n", Int(0, 9))])
    values = {"c": "a", "b": True, "n": 5}
    found = children(AdaptivePerturb(resample_probability=1.0), population((0.0, values), (1.0, values)), space)
    share = {one: np.mean([child["c"] == one for child in found]) for one in "abc"}
    assert all(0.3 < part < 0.37 for part in share.values())
    assert not any(child["b"] for child in found)
    assert {child["n"] for child in found} == {4, 5, 6}  # a spread of 0.03 on ten numbers


def test_pbt_tells_how_many_comparisons_there_are():
    assert PBT(8, 41).explorer.comparisons == 40
    assert PBT(8, 41, 4, burn_in=9).explorer.comparisons == 8
    assert PBT(8, 4, 9).explorer.comparisons is None
    mine = AdaptivePerturb((0.5, 2.0), 0.1, ("rate",))
    assert PBT(8, 41, explorer=mine).explorer.configuration() == mine.within(40).configuration()
    assert PBT(8, 41, explorer=AdaptivePerturb(comparisons=7)).explorer.comparisons == 7
    assert isinstance(PBT(8, 41, explorer=Perturb()).explorer, Perturb)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"perturbation_factors": ()}, r"perturbation_factors=\(\): must hold finite numbers > 0"),
        ({"perturbation_factors": (0.8, -1)}, "perturbation_factors"),
        ({"resample_probability": 1.5}, r"resample_probability=1.5: must be a number in \[0, 1\]"),
        ({"comparisons": 0}, "comparisons=0: must be an integer >= 1"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        AdaptivePerturb(**arguments)
