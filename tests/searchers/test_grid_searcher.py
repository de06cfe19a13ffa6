"""Grid search goes through all combinations in order."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.core.history import History
from kt_ext.core.searcher import SpaceExhausted
from kt_ext.core.space import Choice, Condition, Float, Int, Parameter, Space
from kt_ext.searchers import GridSearcher

RNG = np.random.default_rng(0)


def walk(space: Space, searcher: GridSearcher, history: History) -> list[dict]:
    """What the searcher proposes until the space is exhausted."""
    proposals = []
    while True:
        try:
            values = searcher.propose(history, space, RNG)
        except SpaceExhausted:
            return proposals
        proposals.append(dict(values))
        history.start(len(history), values)


def test_order_and_nesting():
    space = Space(
        [
            Parameter("model", Choice(("mlp", "cnn"))),
            Parameter("layers", Int(1, 2), (Condition("model", ("mlp",)),)),
            Parameter("optimizer", Choice(("sgd", "adam"))),
        ]
    )
    assert walk(space, GridSearcher(), History()) == [
        {"model": "mlp", "layers": 1, "optimizer": "sgd"},
        {"model": "mlp", "layers": 1, "optimizer": "adam"},
        {"model": "mlp", "layers": 2, "optimizer": "sgd"},
        {"model": "mlp", "layers": 2, "optimizer": "adam"},
        {"model": "cnn", "optimizer": "sgd"},
        {"model": "cnn", "optimizer": "adam"},
    ]


@pytest.mark.parametrize(
    ("domain", "points", "values"),
    [
        (Float(0, 1), 4, [0.125, 0.375, 0.625, 0.875]),
        (Float(1, 10000, scale="log"), 2, [10.0, 1000.0]),
        (Float(0, 1, 0.5), 2, [0.0, 0.5, 1.0]),
        (Int(1, 5), 2, [1, 2, 3, 4, 5]),
        (Int(1, 5, scale="log"), 10, [1, 2, 3, 4, 5]),
        (Int(1, 255, scale="log"), 2, [4, 64]),
        (Int(1, 16, 4, "log"), 1, [1, 4, 16]),
    ],
)
def test_points_of_a_domain(domain, points, values):
    proposals = walk(Space([Parameter("p", domain)]), GridSearcher(points), History())
    assert [proposal["p"] for proposal in proposals] == pytest.approx(values)
    assert all(type(proposal["p"]) is type(values[0]) for proposal in proposals)


def test_what_was_tried_is_left_out():
    space, history = Space([Parameter("n", Int(0, 4))]), History()
    for trial_id, n in enumerate((0, 3)):
        history.start(trial_id, {"n": n})
    assert [values["n"] for values in walk(space, GridSearcher(), history)] == [1, 2, 4]


def test_a_space_that_grew_starts_over():
    history, searcher = History(), GridSearcher()
    first = Space([Parameter("n", Int(0, 1))])
    walk(first, searcher, history)
    grown = Space([Parameter("n", Int(0, 1)), Parameter("m", Int(0, 1))])
    assert walk(grown, searcher, history) == [{"n": 0, "m": 0}, {"n": 0, "m": 1}, {"n": 1, "m": 0}, {"n": 1, "m": 1}]
    wider = Space([Parameter("n", Int(0, 2))])
    assert walk(wider, searcher, history) == [{"n": 2}]


def test_a_grid_far_too_large_to_list():
    space = Space([Parameter(f"p{i}", Int(0, 9)) for i in range(30)])
    history, searcher = History(), GridSearcher()
    for trial_id in range(12):
        history.start(trial_id, searcher.propose(history, space, RNG))
    assert history.values(11) == {**{f"p{i}": 0 for i in range(28)}, "p28": 1, "p29": 1}


def test_points_must_be_positive():
    with pytest.raises(ValueError, match="points=0: must be an integer >= 1"):
        GridSearcher(points=0)
