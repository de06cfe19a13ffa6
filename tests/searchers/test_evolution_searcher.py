"""Evolution: the child of differential evolution by hand, slots, tournaments, and that both beat random search."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.space import Choice, Float, Parameter, Space
from kt_ext.searchers import EvolutionSearcher, RandomSearcher, make_searcher
from kt_ext.searchers.evolution import recombine
from searchers.searching import FUNCTIONS, SMOOTH, best, search, sphere

LINE = Space([Parameter("x", Float(0.0, 1.0))])


@pytest.mark.parametrize("seed", range(50))
def test_rand_1_bin(seed):
    """Storn and Price, 1997: a coordinate is the mutant's a + F (b - c) or the target's, one at least the mutant's."""
    rng = np.random.default_rng(seed)
    target, a, b, c = rng.random((4, 6))
    child = recombine(target, np.array([a, b, c]), 0.5, 0.3, rng)
    mutant = a + 0.5 * (b - c)
    inside = (mutant >= 0) & (mutant <= 1)
    assert all(x in (t, m) for x, t, m in zip(child[inside], target[inside], mutant[inside], strict=True))
    assert (child != target).any()
    assert (child >= 0).all() and (child <= 1).all()


def test_the_share_of_the_mutant():
    rng = np.random.default_rng(0)
    target, parents = np.full(100, 0.1), np.repeat([[0.5], [0.6], [0.4]], 100, axis=1)
    assert np.array_equal(recombine(target, parents, 0.5, 1.0, rng), np.full(100, 0.6))
    assert (recombine(target, parents, 0.5, 0.0, rng) == 0.6).sum() == 1
    assert 15 <= (recombine(target, parents, 0.5, 0.25, rng) == 0.6).sum() <= 36  # 25, deviation 4.3


def population(points: dict[float, dict[int, float]]) -> History:
    """Trials on a line: their x, and their objectives by epoch."""
    history = History()
    for trial_id, (x, curve) in enumerate(points.items()):
        history.start(trial_id, {"x": x})
        for epoch, objective in curve.items():
            history.record(Observation(trial_id, epoch, objective))
        history.end(trial_id)
    return history


def children(history: History, number: int = 60) -> set[float]:
    searcher, rng = EvolutionSearcher(population_size=4), np.random.default_rng(0)
    return {round(searcher.propose(history, LINE, rng)["x"], 6) for _ in range(number)}


def steps(target_free: tuple[float, ...]) -> set[float]:
    """Every mutant of three different members."""
    return {
        round(a + 0.5 * (b - c), 6)
        for a in target_free
        for b in target_free
        for c in target_free
        if len({a, b, c}) == 3
    }


def test_parents_are_the_best_of_their_slots():
    """The next trial is the ninth, for slot 0. Of slots 1 to 3 the second trial is better, equal, and worse."""
    objectives = [9.0, 5.0, 5.0, 5.0, 9.0, 4.0, 5.0, 6.0]
    xs = [0.01, 0.41, 0.47, 0.56, 0.02, 0.43, 0.49, 0.54]
    history = population({x: {1: y} for x, y in zip(xs, objectives, strict=True)})
    assert children(history) == steps((0.43, 0.49, 0.56))


def test_a_higher_epoch_comes_first():
    """Four trials have done nine epochs: what the others reached after one does not count against them."""
    xs = [0.01, 0.41, 0.47, 0.54, 0.02, 0.43, 0.49, 0.56]
    long, short = {1: 9.0, 9: 8.0}, {1: 1.0}
    history = population({x: curve for x, curve in zip(xs, [long] * 4 + [short] * 4, strict=True)})
    assert children(history) == steps((0.41, 0.47, 0.54))


def test_a_slot_without_a_report_gets_a_random_point():
    """The ninth trial is for slot 0, whose two trials ended without a report."""
    curves = [{}, {1: 1.0}, {1: 2.0}, {1: 3.0}, {}, {1: 4.0}, {1: 5.0}, {1: 6.0}]
    history = population({0.1 + 0.1 * k: curve for k, curve in enumerate(curves)})
    assert len(children(history, 60)) == 60


def test_a_tournament_is_among_the_youngest():
    """Two of the four youngest meet: the best wins half of the tournaments, the next a third, then a sixth, none.

    The four before them were better, but have died out. A child keeps one of its parent's two values.
    """
    space = Space([Parameter("name", Choice(tuple("abcdefgh"))), Parameter("x", Float(0.0, 1.0))])
    history = History()
    for trial_id, objective in enumerate([0.0, 0.0, 0.0, 0.0, 4.0, 2.0, 1.0, 3.0]):
        history.start(trial_id, {"name": "abcdefgh"[trial_id], "x": trial_id / 8})
        history.record(Observation(trial_id, 1, objective))
    searcher, rng = EvolutionSearcher("mutation", population_size=4), np.random.default_rng(0)
    parents = []
    for _ in range(600):
        child = searcher.propose(history, space, rng)
        parents.append(int(child["x"] * 8) if child["x"] * 8 % 1 == 0 else "abcdefgh".index(child["name"]))
    shares = np.bincount(parents, minlength=8) / 600
    np.testing.assert_allclose(shares, [0, 0, 0, 0, 0, 1 / 3, 1 / 2, 1 / 6], atol=0.06)
    assert shares[:5].sum() == 0


@pytest.mark.parametrize("strategy", ["de", "mutation"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_better_than_random(strategy, function):
    """Paired over ten seeds: the mean is better by two standard errors."""
    space, objective = FUNCTIONS[function]
    gains = [
        best(search(RandomSearcher(), space, objective, 100, seed))
        - best(search(EvolutionSearcher(strategy, seed=seed), space, objective, 100, seed))
        for seed in range(10)
    ]
    assert np.mean(gains) > 2 * np.std(gains, ddof=1) / np.sqrt(10)


@pytest.mark.parametrize(("strategy", "size"), [("de", 10), ("mutation", 20)])
def test_the_first_population_is_quasi_random(strategy, size):
    sobol = search(make_searcher("sobol", 3), SMOOTH, sphere, size + 3)
    ours = search(EvolutionSearcher(strategy, seed=3), SMOOTH, sphere, size + 3)
    same = [a == b for a, b in zip(ours.configurations, sobol.configurations, strict=True)]
    assert same == [True] * size + [False] * 3


def test_wrong_arguments():
    for settings, message in (
        ({"strategy": "ga"}, "strategy='ga': must be one of de, mutation"),
        ({"population_size": 3}, "population_size=3: must be an integer >= 4"),
        ({"mutation_factor": 0.0}, r"mutation_factor=0.0: must be in \(0, 2\]"),
        ({"crossover_probability": 1.1}, r"crossover_probability=1.1: must be in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            EvolutionSearcher(**settings)
