"""What a model that measures distances sees of a configuration."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.core.space import Boolean, Choice, Condition, Fixed, Float, Int, Parameter, Space
from kt_ext.searchers.cube import Cube
from kt_ext.searchers.features import Features

HALF = np.sqrt(0.5)


def inputs(parameters: list[Parameter], *configurations: dict) -> tuple[list[int], np.ndarray]:
    space = Space(parameters)
    features = Features(Cube(space))
    units = np.array([space.encode(values) for values in configurations]).reshape(len(configurations), len(parameters))
    return features.groups.tolist(), features(units)


def test_numbers_and_ordered_choices_are_one_input_each():
    parameters = [
        Parameter("rate", Float(1e-4, 1.0, scale="log")),
        Parameter("units", Int(1, 4)),
        Parameter("size", Choice((8, 16, 32, 64), ordered=True)),
    ]
    groups, rows = inputs(parameters, {"rate": 1e-2, "units": 4, "size": 8})
    assert groups == [0, 1, 2]
    np.testing.assert_allclose(rows, [[0.5, 0.875, 0.125]])


def test_values_of_an_unordered_choice_are_all_at_distance_1():
    groups, rows = inputs([Parameter("c", Choice(tuple("abcd")))], *({"c": c} for c in "abcd"))
    assert groups == [0, 0, 0, 0]
    np.testing.assert_allclose(np.linalg.norm(rows[:, None] - rows, axis=2), 1 - np.eye(4))


def test_a_boolean_is_an_unordered_choice():
    groups, rows = inputs([Parameter("b", Boolean())], {"b": False}, {"b": True})
    assert groups == [0, 0]
    np.testing.assert_allclose(rows, [[HALF, 0], [0, HALF]])


def test_a_single_value_is_left_out():
    groups, rows = inputs([Parameter("loss", Fixed("mse")), Parameter("x", Float(0, 1))], {"loss": "mse", "x": 0.25})
    assert groups == [0]
    np.testing.assert_allclose(rows, [[0.25]])


def test_an_inactive_parameter_is_in_the_middle_and_says_so():
    of_b = (Condition("model", ("b",)),)
    parameters = [
        Parameter("model", Choice(("a", "b"))),
        Parameter("x", Float(0, 1), of_b),
        Parameter("c", Choice(("u", "v")), of_b),
        Parameter("kind", Fixed("k"), of_b),
    ]
    active = {"model": "b", "x": 0.75, "c": "v", "kind": "k"}
    groups, rows = inputs(parameters, {"model": "a"}, active)
    assert groups == [0, 0, 1, 2, 3, 3, 4, 5]  # model; x, active; c, active; active
    np.testing.assert_allclose(
        rows, [[HALF, 0, 0.5, 0, HALF / 2, HALF / 2, 0, 0], [0, HALF, 0.75, 1, 0, HALF, 1, 1]], atol=1e-12
    )


@pytest.mark.parametrize("parameters", [[], [Parameter("loss", Fixed("mse"))]])
def test_a_space_with_nothing_to_choose_has_no_inputs(parameters):
    groups, rows = inputs(parameters, {parameter.name: "mse" for parameter in parameters})
    assert groups == [] and rows.shape == (1, 0)
