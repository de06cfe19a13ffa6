"""Counting, ranking and unranking the configurations of a conditional space."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.core.space import Boolean, Choice, Condition, Fixed, Float, Int, Parameter, Space
from random_spaces import random_space
from reference.enumerate_space import configurations


@pytest.mark.parametrize("seed", range(150))
def test_agrees_with_listing_all(seed):
    space = random_space(np.random.default_rng(seed), n_parameters=5)
    expected = list(configurations(space))
    enumeration = space.enumeration
    listed = [enumeration.at(number) for number in range(len(expected))]
    assert space.size == len(expected)
    assert sorted(map(repr, listed)) == sorted(map(repr, expected))
    assert [enumeration.index(values) for values in expected] == [listed.index(values) for values in expected]


def test_is_lexicographic():
    space = Space(
        [
            Parameter("model", Choice(("mlp", "cnn"))),
            Parameter("layers", Int(1, 2), (Condition("model", ("mlp",)),)),
            Parameter("flip", Boolean()),
        ]
    )
    assert [space.enumeration.at(number) for number in range(space.size)] == [
        {"model": "mlp", "layers": 1, "flip": False},
        {"model": "mlp", "layers": 1, "flip": True},
        {"model": "mlp", "layers": 2, "flip": False},
        {"model": "mlp", "layers": 2, "flip": True},
        {"model": "cnn", "flip": False},
        {"model": "cnn", "flip": True},
    ]


def test_outside_of_the_space():
    space = Space([Parameter("a", Int(0, 3)), Parameter("b", Boolean(), (Condition("a", (1,)),))])
    assert space.size == 5
    for values in ({}, {"a": 4}, {"a": 1}, {"a": 0, "b": True}, {"a": 1, "b": True, "c": 0}):
        assert space.enumeration.index(values) is None
    for number in (-1, 5):
        with pytest.raises(IndexError, match=f"number={number}"):
            space.enumeration.at(number)


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ([], 1),
        ([Parameter("a", Fixed(1))], 1),
        ([Parameter("a", Float(0.5, 0.5))], 1),
        ([Parameter("a", Float(0, 1))], None),
        ([Parameter("a", Float(0, 1, 0.1))], 11),
        ([Parameter("a", Choice((1, 1, 2)))], 2),
        # A parent of a billion values is not walked through.
        ([Parameter("a", Int(1, 10**9)), Parameter("b", Boolean(), (Condition("a", (7, 9)),))], 10**9 + 2),
        # A continuous child that can never be active does not make the space infinite; one that can does.
        ([Parameter("a", Int(1, 3)), Parameter("b", Float(0, 1), (Condition("a", (4,)),))], 3),
        ([Parameter("a", Int(1, 3)), Parameter("b", Float(0, 1), (Condition("a", (3,)),))], None),
        # 200 parents stand before all their children: 11 ** 200, without 2 ** 200 steps.
        (
            [Parameter(f"a{i}", Boolean()) for i in range(200)]
            + [Parameter(f"b{i}", Int(1, 10), (Condition(f"a{i}", (True,)),)) for i in range(200)],
            11**200,
        ),
    ],
)
def test_size(parameters, size):
    assert Space(parameters).size == size


def test_numbers_a_space_too_large_to_list():
    space = Space([Parameter(f"p{i}", Int(1, 1000)) for i in range(20)])
    number = 123456789**6
    values = space.enumeration.at(number)
    assert space.size == 1000**20
    assert space.enumeration.index(values) == number
    assert values["p19"] == number % 1000 + 1
