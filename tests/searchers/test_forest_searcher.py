"""The forest: its predictions, what it learns from, and that it finds better values than random search."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.space import Choice, Condition, Fixed, Float, Parameter, Space
from kt_ext.searchers import ForestSearcher, RandomSearcher, make_searcher
from kt_ext.searchers.copula import normal_scores
from kt_ext.searchers.forest import mixture
from searchers.searching import FUNCTIONS, SMOOTH, best, search, sphere

LINE = Space([Parameter("x", Float(0.0, 1.0))])


def small(**settings: object) -> ForestSearcher:
    return ForestSearcher(**{"n_trees": 10, "n_candidates": 100, "n_starts": 2, "n_steps": 3, **settings})


def test_normal_scores_are_quantiles_of_ranks():
    np.testing.assert_allclose(normal_scores(np.array([3.0, -1.0, 9.0])), [0.0, -0.967421566, 0.967421566])
    tied = normal_scores(np.array([5.0, math.inf, 5.0, math.inf]))
    np.testing.assert_allclose(tied, [-0.67448975, 0.67448975, -0.67448975, 0.67448975])
    assert normal_scores(np.empty(0)).shape == (0,)


def test_the_law_of_total_variance():
    """The mixture of two leaves is the two leaves' data put together, where they are of the same size."""
    left, right = np.array([1.0, 2.0, 6.0]), np.array([0.0, 4.0, 5.0])
    both = np.concatenate([left, right])
    mean, std = mixture(np.array([[left.mean()], [right.mean()]]), np.array([[left.var()], [right.var()]]))
    assert mean[0] == pytest.approx(both.mean()) and std[0] == pytest.approx(both.std())


@pytest.mark.parametrize(
    "function", [pytest.param(name, marks=[] if name == "smooth" else pytest.mark.slow) for name in FUNCTIONS]
)
def test_better_than_random_on_each_of_four_seeds(function):
    space, objective = FUNCTIONS[function]
    for seed in range(4):
        ours = best(search(small(seed=seed), space, objective, 50, seed))
        assert ours < best(search(RandomSearcher(), space, objective, 50, seed)) / 1.5


def test_any_increasing_transformation_of_the_objective_gives_the_same_proposals():
    plain = search(small(), SMOOTH, sphere, 20)
    bent = search(small(), SMOOTH, lambda values: 1e6 + 1e3 * math.exp(5 * sphere(values)), 20)
    assert list(plain.configurations) == list(bent.configurations)


def test_the_first_trials_are_quasi_random():
    sobol = search(make_searcher("sobol", 3), SMOOTH, sphere, 10)
    for n_startup, expected in ((None, 8), (3, 3)):
        ours = search(small(n_startup=n_startup, random_share=0.0, seed=3), SMOOTH, sphere, 10)
        same = [a == b for a, b in zip(ours.configurations, sobol.configurations, strict=True)]
        assert same == [True] * expected + [False] * (10 - expected)


def line(objective_at: dict[int, object], pending: tuple[float, ...] = ()) -> History:
    """Thirty trials on a line, each reporting ``objective_at[epoch](x)``, and some that run."""
    history = History()
    for trial_id in range(30):
        x = (trial_id + 0.5) / 30
        history.start(trial_id, {"x": x})
        for epoch, objective in objective_at.items():
            history.record(Observation(trial_id, epoch, objective(x)))  # type: ignore[operator]
        history.end(trial_id)
    for trial_id, x in enumerate(pending, 30):
        history.start(trial_id, {"x": x})
    return history


def proposals(history: History, number: int) -> np.ndarray:
    searcher, rng = small(random_share=0.0), np.random.default_rng(0)
    return np.array([searcher.propose(history, LINE, rng)["x"] for _ in range(number)])


def test_what_counts_is_the_highest_epoch():
    """After one epoch 0.2 looks best; only the ninth shows that 0.8 is."""
    misleading = line({1: lambda x: 5 + abs(x - 0.2), 9: lambda x: abs(x - 0.8)})
    assert np.abs(proposals(misleading, 10) - 0.8).max() < 0.1


def test_short_trials_are_learned_from():
    history = line({1: lambda x: 5 + abs(x - 0.2)})
    history.resume(25)
    history.record(Observation(25, 9, 4.0))  # one good trial far away from where the many say it is good
    assert (np.abs(proposals(history, 10) - 0.2) < 0.15).sum() >= 3


def test_running_trials_are_believed():
    """Many workers at the best spot: the next one looks elsewhere more than without them."""
    valley = {1: lambda x: abs(x - 0.5)}
    alone, crowded = line(valley), line(valley, tuple(0.5 + 0.002 * k for k in range(-8, 9)))
    spread = [np.abs(proposals(history, 15) - 0.5).mean() for history in (alone, crowded)]
    assert spread[1] > spread[0]


def test_infinite_objectives_are_the_worst():
    history = line({1: lambda x: math.inf if x < 0.5 else x})
    assert (proposals(history, 10) > 0.45).all()


def test_a_fixed_parameter_that_is_not_always_active():
    """The forest must be asked with the inputs that it was grown with, whichever parameters a batch has active."""
    space = Space(
        [
            Parameter("model", Choice(("a", "b"))),
            Parameter("kind", Fixed("k"), (Condition("model", ("a",)),)),
            Parameter("x", Float(0.0, 1.0)),
        ]
    )
    history = search(small(), space, lambda v: abs(v["x"] - 0.5) + 2 * (v["model"] == "b"), 30)
    assert best(history) < 0.02
    searcher = small()
    searcher.propose(history, space, np.random.default_rng(0))
    units = np.array([space.encode(history.values(trial_id)) for trial_id in history.ids])
    active = units[~np.isnan(units[:, 1])]
    assert 0 < len(active) < len(units)
    assert searcher._inputs(active, 1).shape[1] == searcher._inputs(units, 1).shape[1] == 3


def test_all_trials_failed():
    assert 0 <= proposals(line({1: lambda x: math.inf}), 1)[0] <= 1


def test_wrong_arguments():
    for settings, message in (
        ({"n_startup": 0}, "n_startup=0: must be an integer >= 1"),
        ({"n_trees": 0}, "n_trees=0: must be an integer >= 1"),
        ({"n_steps": -1}, "n_steps=-1: must be an integer >= 0"),
        ({"random_share": 1.5}, r"random_share=1.5: must be in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            ForestSearcher(**settings)
