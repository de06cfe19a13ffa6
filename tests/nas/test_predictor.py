"""The ensemble against its definition, what it learns from, what it ranks; and the Gaussian process beside it."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.nas.records import Records, Scored
from kt_ext.nas.strategies.candidates import BEST, BLOCK, BLOCKS, CHILDREN, RENEWAL, Candidates, most_promising
from kt_ext.nas.strategies.lesson import MOST, content, features_of, lesson
from kt_ext.nas.strategies.predictor import PRIOR, RIDGE, TERMS, Ensemble, Predictor
from kt_ext.nas.strategies.surrogate import Bayesian
from kt_ext.searchers.copula import normal_scores
from nas.strategy_table import Words

SPACE = Words()


def records(n: int, running: int = 0, objective=lambda number: (7.0 * number) % 11) -> Records:
    """So many scored trials, and some that run."""
    history, rng = History(), np.random.default_rng(3)
    tried: dict = {}
    while len(tried) < n + running:
        arch = SPACE.random(rng)
        tried[arch.key] = arch
    for number, arch in enumerate(tried.values()):
        history.start(number, SPACE.values(arch))
        if number < n:
            history.record(Observation(number, 1, float(objective(number))))
            history.end(number)
    return Records(SPACE, 100).follow(history)


def test_the_ensemble_is_ridge_regression_on_products_of_features() -> None:
    """By the normal equations, on all products of three of (1, features): what each member's function leaves."""
    rng = np.random.default_rng(1)
    features, targets = rng.normal(size=(12, 4)), rng.normal(size=12)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    new = features[:3] + 0.1
    ensemble = Ensemble(features, targets, 3, np.random.default_rng(8))
    drawn = np.random.default_rng(8)
    projections = drawn.standard_normal((3, 3, TERMS, 5))

    def products(rows: np.ndarray) -> np.ndarray:
        ones = np.column_stack([np.ones(len(rows)), rows])
        return np.array([np.kron(np.kron(row, row), row) for row in ones]) / np.sqrt(8)

    for member, weights in enumerate(drawn.exponential(size=(3, 12))):
        a, b, c = projections[member]
        prior = sum(np.kron(np.kron(a[term], b[term]), c[term]) for term in range(TERMS)) * PRIOR / np.sqrt(TERMS)
        given = products(features)
        left = targets - given @ prior
        mean = np.average(left, weights=weights)
        normal = given.T @ (weights[:, None] * given) + RIDGE * np.eye(given.shape[1])
        ridge = np.linalg.solve(normal, given.T @ (weights * (left - mean)))
        assert ensemble.predict(new)[member] == pytest.approx(products(new) @ (prior + ridge) + mean, abs=1e-9)


def test_members_agree_on_what_was_tried_and_not_on_what_is_far_from_it() -> None:
    tried = [SPACE.repair({"letter0": a, "letter1": b}) for a in "abcd" for b in "abcd"]
    far = SPACE.repair({f"letter{place}": "d" for place in range(5)})
    ensemble = Ensemble(features_of(tried), np.zeros(16), 200, np.random.default_rng(0))
    assert ensemble.predict(features_of(tried)).std(0).max() < 0.3
    assert ensemble.predict(features_of([far])).std() > 0.5


def test_features_have_unit_length() -> None:
    features = features_of([SPACE.random(np.random.default_rng(seed)) for seed in range(4)])
    assert features.shape == (4, 20)
    assert np.linalg.norm(features, axis=1) == pytest.approx(1.0)


def test_targets_are_ranks_and_a_failed_trial_is_the_worst() -> None:
    scored = records(5, objective=lambda number: [3.0, np.inf, 1e9, -2.0, 3.0][number]).scored(5)
    assert lesson(scored)[1] == pytest.approx(normal_scores(np.array([2.0, 9.0, 5.0, 1.0, 2.0])))


def test_of_many_trials_the_best_and_the_latest_are_learned_from() -> None:
    one = records(1).trials[0]
    objectives = np.arange(1000.0)  # the first are the best
    features, targets = lesson(Scored([one] * 1000, objectives))
    assert features.shape == (MOST, 20)
    expected = [*range(MOST // 3), *range(1000 - (MOST - MOST // 3), 1000)]
    assert targets == pytest.approx(normal_scores(objectives)[expected])


def test_content_tells_other_trials_and_other_objectives_apart() -> None:
    scored = records(4).scored(1)
    assert content(scored) == content(records(4).scored(1))
    assert content(scored) != content(scored.last(3))
    assert content(scored) != content(Scored(scored.records, scored.objectives + 1))


def test_candidates_are_children_of_the_best_and_random_ones() -> None:
    seen = records(60)
    scored = seen.scored(1)
    archs, features = Candidates(seed=5).given(seen, scored)
    assert len(archs) == BLOCKS * BLOCK + BEST * CHILDREN
    assert features == pytest.approx(features_of(archs))
    best = [scored.records[place].arch for place in np.argsort(scored.objectives, kind="stable")[:BEST]]
    families = [archs[start : start + CHILDREN] for start in range(BLOCKS * BLOCK, len(archs), CHILDREN)]
    for parent, children in zip(best, families, strict=True):
        steps = [SPACE.distance(parent, child) for child in children]
        assert min(steps) <= 1 < max(steps)


def test_candidates_do_not_depend_on_what_was_asked_before() -> None:
    kept = Candidates(seed=5)
    for n in (20, 21, 21, 35, 70, 71):
        seen = records(n)
        archs, features = kept.given(seen, seen.scored(1))
        fresh_archs, fresh_features = Candidates(seed=5).given(seen, seen.scored(1))
        assert archs == fresh_archs
        assert (features == fresh_features).all()


def test_candidates_are_kept_and_renewed() -> None:
    """With one more trial one random block is new; children stay until ``RENEWAL`` more were scored."""
    history, kept, records_ = History(), Candidates(seed=5), Records(SPACE, 100)
    rng, drawn = np.random.default_rng(3), []
    for number in range(60):
        history.start(number, SPACE.values(SPACE.random(rng)))
        history.record(Observation(number, 1, float(number)))  # the first stay the best
        if number >= 57:
            seen = records_.follow(history)
            drawn.append(kept.given(seen, seen.scored(1))[0])
    for before, after, new in zip(drawn, drawn[1:], (0, BEST * CHILDREN), strict=False):
        same = {id(arch) for arch in before} & {id(arch) for arch in after}
        assert len(after) - len(same) == BLOCK + new
    assert 60 % RENEWAL == 0


def test_the_most_promising_that_is_new() -> None:
    seen = records(3)
    tried, new = seen.trials[1].arch, [SPACE.repair({f"letter{place}": "d"}) for place in (0, 1)]
    promise = np.array([0.5, 3.0, 2.0])
    assert most_promising(seen, [new[0], tried, new[1]], promise, np.random.default_rng(0)).arch == new[1]
    at_random = most_promising(seen, [tried], np.array([1.0]), np.random.default_rng(6)).arch
    assert at_random == SPACE.random(np.random.default_rng(6))


@pytest.mark.parametrize("make", [lambda: Predictor(n_startup=5), lambda: Bayesian(n_startup=5)])
def test_random_until_enough_are_scored(make) -> None:
    few = records(4, running=9)
    assert make().choose(few, np.random.default_rng(2)).arch == SPACE.random(np.random.default_rng(2))
    assert make().choose(records(5), np.random.default_rng(2)).arch != SPACE.random(np.random.default_rng(2))


def test_the_ensemble_is_fitted_when_something_was_reported_and_not_before() -> None:
    strategy, seen = Predictor(n_startup=5), records(8, running=1)
    first = strategy._ensemble(seen, seen.scored(5))
    assert strategy._ensemble(seen, seen.scored(5)) is first
    assert strategy._ensemble(seen, seen.scored(5).last(7)) is not first


def test_bayesian_looks_elsewhere_while_the_most_promising_runs() -> None:
    """Not at its neighbours first, which without a report of it look about as good."""
    moved = []
    for seed in range(8):
        history, rng = History(), np.random.default_rng(seed)
        for number in range(12):
            arch = SPACE.random(rng)
            history.start(number, SPACE.values(arch))
            history.record(Observation(number, 1, -float(str(arch).count("d"))))
            history.end(number)
        picks = []
        for number in (12, 13):
            arch = Bayesian(n_startup=5).choose(Records(SPACE, 99).follow(history), EventRandom(seed).at(number)).arch
            history.start(number, SPACE.values(arch))
            picks.append(arch)
        moved.append(SPACE.distance(*picks))
    assert np.mean(moved) > 1.5


@pytest.mark.parametrize("make", [Predictor, Bayesian])
def test_arguments(make) -> None:
    with pytest.raises(ValueError, match="n_startup=1: must be an integer >= 2; leave it out"):
        make(n_startup=1)
    with pytest.raises(ValueError, match="n_models=1: must be an integer >= 2"):
        Predictor(n_models=1)
