"""What is good and what is bad for the TPE searcher, and what it makes of that."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.space import Choice, Float, Int, Parameter, Space
from kt_ext.searchers import QuasiRandomSearcher, TPESearcher
from kt_ext.searchers.axis import axis_of
from kt_ext.searchers.evidence import Evidence
from kt_ext.searchers.tpe import ranking

LINE = Space([Parameter("x", Float(0, 1))])


def trial(history: History, trial_id: int, x: float, objectives: list[float], ended: bool = True) -> None:
    """A trial with an objective for each of its epochs."""
    history.start(trial_id, {"x": x})
    for epoch, objective in enumerate(objectives, 1):
        history.record(Observation(trial_id, epoch, objective))
    if ended:
        history.end(trial_id)


def mixed_history() -> History:
    history = History()
    trial(history, 0, 0.0, [9, 3, 5])  # best up to epoch 2: 3
    trial(history, 1, 0.1, [9, 8, 1])  # 8: what came later does not count there
    trial(history, 2, 0.2, [2])  # stopped after one epoch
    trial(history, 3, 0.3, [1], ended=False)  # is on its way
    trial(history, 4, 0.4, [np.inf, np.inf])
    trial(history, 5, 0.5, [7, 4], ended=False)  # has got there, and goes on
    trial(history, 6, 0.6, [])  # failed
    trial(history, 7, 0.7, [1.5])
    trial(history, 8, 0.8, [], ended=False)
    return history


def test_ranking():
    evidence = Evidence().follow(mixed_history(), LINE)
    assert evidence.highest(4) == 2
    ranked, unfit = ranking(evidence, 2)
    assert ranked.tolist() == [0, 5, 1, 7, 2]
    assert unfit.tolist() == [3, 4, 6, 8]


def test_the_good_are_the_best_share_of_the_ranked():
    evidence = Evidence().follow(mixed_history(), LINE)
    for gamma, n_good in ((0.2, 1), (0.21, 2), (0.6, 3)):
        good, bad = TPESearcher(gamma=gamma).split(evidence, 2)
        assert good.tolist() == [0, 5, 1][:n_good]
        assert sorted([*good, *bad]) == list(range(9))


def test_at_most_25_are_good():
    history = History()
    for trial_id in range(1000):
        trial(history, trial_id, trial_id / 1000, [trial_id])
    good, bad = TPESearcher().split(Evidence().follow(history, LINE), 1)
    assert good.tolist() == list(range(25))
    assert len(bad) == 975


def test_the_start_is_quasi_random():
    history, random = History(), EventRandom(0)
    for trial_id in range(5):
        trial(history, trial_id, trial_id / 10, [1.0])
    expected = QuasiRandomSearcher(seed=3).propose(history, LINE, random.at(0))
    assert TPESearcher(n_startup=6, seed=3).propose(history, LINE, random.at(0)) == expected
    assert TPESearcher(n_startup=5, random_share=1.0, seed=3).propose(history, LINE, random.at(0)) == expected
    assert TPESearcher(n_startup=5, seed=3).propose(history, LINE, random.at(0)) != expected


@pytest.mark.parametrize("multivariate", [True, False])
def test_proposals_keep_near_the_good_and_away_from_the_pending(multivariate):
    history, random = History(), EventRandom(0)
    for trial_id in range(40):
        x = trial_id / 39
        trial(history, trial_id, x, [min(abs(x - 0.25), abs(x - 0.75))])

    def sides() -> list[bool]:
        searcher = TPESearcher(multivariate=multivariate, bandwidth=0.1)
        proposals = [searcher.propose(history, LINE, random.at(number))["x"] for number in range(60)]
        assert np.mean([min(abs(x - 0.25), abs(x - 0.75)) < 0.15 for x in proposals]) > 0.9
        return [x < 0.5 for x in proposals]

    assert 10 < sum(sides()) < 50
    for trial_id in range(40, 45):
        trial(history, trial_id, 0.25 + trial_id / 1e4, [], ended=False)
    assert sum(sides()) <= 3


def test_without_a_finite_objective_anything_may_come():
    history = History()
    for trial_id in range(12):
        trial(history, trial_id, trial_id / 20, [np.inf])
    proposals = [TPESearcher().propose(history, LINE, EventRandom(0).at(number))["x"] for number in range(30)]
    # All trials are bad, and lie below 0.6.
    assert np.mean([x > 0.6 for x in proposals]) > 0.9


def test_an_ordered_choice_has_neighbours_by_size():
    axis = axis_of(Choice((30, 10, 20, 20), ordered=True))
    domain = Choice((30, 10, 20, 20), ordered=True)
    units = np.array([domain.to_unit(value) for value in (10, 20, 30)] + [np.nan])
    coordinates = axis.coordinates(units)
    np.testing.assert_array_equal(coordinates, [0.125, 0.5, 0.875, np.nan])
    assert [axis.cell(coordinate) for coordinate in coordinates[:3]] == [(0.0, 0.25), (0.25, 0.75), (0.75, 1.0)]
    assert [domain.from_unit(axis.unit(coordinate)) for coordinate in coordinates[:3]] == [10, 20, 30]


@pytest.mark.parametrize("scale", ["linear", "log", "reverse_log"])
def test_the_cells_of_an_integer_hold_just_its_units(scale):
    domain = Int(3, 40, scale=scale)
    axis = axis_of(domain)
    for value in range(3, 41):
        low, high = axis.cell(domain.to_unit(value))
        assert [domain.from_unit(unit) for unit in (low + 1e-9, high - 1e-9)] == [value, value]


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_startup": 0},
        {"n_candidates": 0},
        {"gamma": 0.0},
        {"gamma": 1.0},
        {"prior_weight": 0.0},
        {"bandwidth": np.inf},
        {"random_share": 1.1},
        {"seed": -1},
    ],
    ids=str,
)
def test_bad_arguments(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"^{name}={value}: must be "):
        TPESearcher(**arguments)
