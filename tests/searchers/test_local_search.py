"""The cube of a space, neighbours in it, and the climb to the best of them."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.core.space import Boolean, Choice, Condition, Fixed, Float, Int, Parameter, Space
from kt_ext.searchers.cube import Cube
from kt_ext.searchers.local_search import climb, neighbours
from random_spaces import random_space

CONDITIONAL = Space(
    [
        Parameter("model", Choice(("mlp", "cnn", "rnn"))),
        Parameter("depth", Int(1, 4), (Condition("model", ("mlp", "rnn")),)),
        Parameter("pool", Boolean(), (Condition("model", ("cnn",)),)),
        Parameter("rate", Float(0.0, 1.0)),
        Parameter("loss", Fixed("mse")),
    ]
)


@pytest.mark.parametrize("seed", range(30))
def test_settled_rows_are_what_the_space_encodes(seed):
    rng = np.random.default_rng(seed)
    space = random_space(rng, n_parameters=7, continuous=0.3)
    cube = Cube(space)
    units = rng.random((40, 7))
    units[rng.random(units.shape) < 0.2] = np.nan
    for unit in cube.settle(units, rng):
        values = space.decode(unit)
        space.validate(values)
        np.testing.assert_allclose(space.encode(values), unit, atol=1e-9)


def test_settling_keeps_what_can_be_kept():
    unit = CONDITIONAL.encode({"model": "rnn", "depth": 3, "rate": 0.25, "loss": "mse"})
    (settled,) = Cube(CONDITIONAL).settle(unit[None], np.random.default_rng(0))
    np.testing.assert_array_equal(settled, unit)


@pytest.mark.parametrize("seed", range(20))
def test_neighbours_differ_in_one_parameter_and_what_depends_on_it(seed):
    rng = np.random.default_rng(seed)
    space = random_space(rng, n_parameters=6, continuous=0.4)
    cube = Cube(space)
    units = cube.sample(5, rng)
    origin, near = neighbours(units, cube, rng)
    for row, unit in zip(origin, near, strict=True):
        before, after = space.decode(units[row]), space.decode(unit)
        space.validate(after)
        stays = [p for p in space.parameters if p.name in before and p.name in after]
        changed = {p.name for p in stays if before[p.name] != after[p.name]}
        assert before != after
        # Besides the one, only names that another parameter bears now, or whose parents changed.
        dependent = {p.name for p in space.parameters if p.conditions}
        assert len(changed - dependent) <= 1


def test_each_other_choice_and_four_draws_of_a_number():
    cube = Cube(CONDITIONAL)
    start = CONDITIONAL.encode({"model": "cnn", "pool": True, "rate": 0.5, "loss": "mse"})
    origin, near = neighbours(start[None], cube, np.random.default_rng(0))
    values = [CONDITIONAL.decode(unit) for unit in near]
    assert origin.tolist() == [0] * 7
    assert [v["model"] for v in values] == ["mlp", "rnn", "cnn", "cnn", "cnn", "cnn", "cnn"]
    assert [v.get("pool") for v in values] == [None, None, False, True, True, True, True]
    assert all(1 <= v["depth"] <= 4 for v in values[:2])
    assert [v["rate"] for v in values[:3]] == [0.5] * 3
    assert len({v["rate"] for v in values[3:]} | {0.5}) == 5


def test_only_the_named_parameter():
    cube = Cube(CONDITIONAL)
    start = CONDITIONAL.encode({"model": "cnn", "pool": True, "rate": 0.5, "loss": "mse"})
    _, near = neighbours(start[None], cube, np.random.default_rng(0), only=2)
    assert [CONDITIONAL.decode(unit)["pool"] for unit in near] == [False]
    assert len(neighbours(start[None], cube, np.random.default_rng(0), only=1)[1]) == 0  # it is inactive


def test_draws_stay_in_the_cube_and_have_the_deviation():
    space = Space([Parameter("x", Float(0.0, 1.0))])
    starts = np.repeat([[0.0], [0.5]], 2000, axis=0)
    origin, near = neighbours(starts, Cube(space), np.random.default_rng(0))
    assert near.min() >= 0 and near.max() <= 1
    moves = np.abs(near[:, 0] - starts[origin, 0])
    for half in (moves[origin < 2000], moves[origin >= 2000]):
        assert half.mean() == pytest.approx(0.2 * np.sqrt(2 / np.pi), rel=0.03)


def test_climbs_to_the_best_of_a_discrete_space():
    space = Space([Parameter(f"c{i}", Choice(tuple("abcde"))) for i in range(4)])
    cube = Cube(space)
    goal = space.encode({"c0": "d", "c1": "a", "c2": "e", "c3": "b"})
    evaluated = []

    def score(units: np.ndarray) -> np.ndarray:
        evaluated.append(len(units))
        return (units == goal).sum(axis=1).astype(float)

    starts = cube.settle(1 - goal[None] * 0.999, np.random.default_rng(0))
    units, scores = climb(starts, score, cube, np.random.default_rng(0), steps=9)
    np.testing.assert_array_equal(units[0], goal)
    assert scores[0] == 4 and (np.diff(scores) <= 0).all()
    assert len(units) == sum(evaluated)
    missing = 4 - int((starts == goal).sum())
    assert evaluated == [1] + [16] * (missing + 1)  # one move for each, and a last look around
