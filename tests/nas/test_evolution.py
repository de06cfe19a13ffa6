"""Who is in the population, who becomes a parent, and what a child is made of."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.nas.records import Records
from kt_ext.nas.strategies.evolution import Evolution, default_population
from nas.strategy_table import Bag

SPACE = Bag()
#: In the order of their trials.
ARCHS = [
    SPACE.repair({"depth": 3, "op1": first, "op2": second, "op3": third})
    for first in "abc"
    for second in "abc"
    for third in "abc"
]


def records(objectives: list[float | None], max_trials: int = 100) -> Records:
    """Trials with one report each; None for one that is running still."""
    history = History()
    for number, objective in enumerate(objectives):
        history.start(number, SPACE.values(ARCHS[number]))
        if objective is not None:
            history.record(Observation(number, 1, objective))
            history.end(number)
    return Records(SPACE, max_trials).follow(history)


def members(strategy: Evolution, seen: Records) -> list[int]:
    return [one.number for one in strategy.members(seen).records]


@pytest.mark.parametrize(("trials", "population"), [(1, 2), (14, 2), (15, 3), (100, 20), (150, 30), (5000, 30)])
def test_population_by_default(trials: int, population: int) -> None:
    assert default_population(trials) == population
    seen = records([0.5] * (population - 1), trials) if population < 28 else None
    if seen is not None:
        assert len(Evolution().members(seen)) == 0
        assert len(Evolution().members(records([0.5] * population, trials))) == population


def test_the_oldest_or_the_worst_leaves() -> None:
    seen = records([0.1, 0.9, 0.5, np.inf, 0.3, 0.5, 0.7])
    assert members(Evolution(4), seen) == [3, 4, 5, 6]
    assert members(Evolution(4, remove="worst"), seen) == [0, 2, 4, 5]


def test_running_trials_are_no_members() -> None:
    assert members(Evolution(3), records([0.1, None, 0.2, None, 0.3, 0.4, None])) == [2, 4, 5]


def test_members_are_in_the_order_in_which_they_got_there() -> None:
    history = History()
    for number in range(4):
        history.start(number, SPACE.values(ARCHS[number]))
    for number in (2, 0, 3, 1):
        history.record(Observation(number, 1, 0.5))
    assert members(Evolution(3), Records(SPACE, 50).follow(history)) == [0, 3, 1]


def test_members_are_compared_at_the_highest_epoch_that_enough_reached() -> None:
    """Of six trials four got to epoch 3 or beyond; what came later is not looked at."""
    history = History()
    for number, epochs in enumerate([1, 3, 9, 3, 1, 3]):
        history.start(number, SPACE.values(ARCHS[number]))
        for epoch in range(1, epochs + 1):
            history.record(Observation(number, epoch, 10.0 * number - epoch))
    found = Evolution(4).members(Records(SPACE, 50).follow(history))
    assert [one.number for one in found.records] == [1, 2, 3, 5]
    assert found.objectives.tolist() == [7.0, 17.0, 27.0, 47.0]


@pytest.mark.parametrize("objectives", [[0.4, 0.1, 0.3, 0.2, np.inf], [np.inf] * 5])
def test_a_tournament_is_won_by_the_best_of_those_drawn(objectives: list[float]) -> None:
    strategy = Evolution(5, tournament=3)
    found = strategy.members(records(objectives))
    for seed in range(200):
        drawn = np.random.default_rng(seed).integers(5, size=3)
        best = min(drawn, key=lambda place: objectives[place])
        assert strategy.pick(found, np.random.default_rng(seed)) == best


def test_half_of_them_compete_by_default() -> None:
    strategy = Evolution(12)
    found = strategy.members(records([0.1 * place for place in range(12)]))
    for seed in range(50):
        assert (
            strategy.pick(found, np.random.default_rng(seed)) == np.random.default_rng(seed).integers(12, size=6).min()
        )


def test_truncation_takes_any_of_the_best() -> None:
    strategy = Evolution(6, selection="truncation", tournament=2)
    found = strategy.members(records([0.4, 0.1, 0.3, 0.2, np.inf, 0.9]))
    assert {strategy.pick(found, np.random.default_rng(seed)) for seed in range(50)} == {1, 3}


def test_the_first_are_random_and_then_a_gene_of_a_parent_is_mutated() -> None:
    strategy = Evolution(3, tournament=3, crossover=0.0)
    few = records([0.1, None, 0.2])
    assert strategy.choose(few, np.random.default_rng(4)).arch == SPACE.random(np.random.default_rng(4))
    enough = records([0.3, 0.1, 0.2])
    for seed in range(50):
        rng = np.random.default_rng(seed)
        parent = enough.record(min(rng.integers(3, size=3), key=lambda place: [0.3, 0.1, 0.2][place])).arch
        assert strategy.choose(enough, np.random.default_rng(seed)).arch == SPACE.mutate(parent, rng)


def test_a_child_of_two_has_genes_of_both_and_is_mutated_only_if_it_is_like_one() -> None:
    """Of trials 1 (aab) and 5 (abc)."""
    strategy = Evolution(2, tournament=1, crossover=1.0)
    history = History()
    for number in (1, 5):
        history.start(number, SPACE.values(ARCHS[number]))
        history.record(Observation(number, 1, 0.5))
    seen = Records(SPACE, 10).follow(history)
    children = [strategy.choose(seen, np.random.default_rng(seed)).arch for seed in range(100)]
    assert ARCHS[1] not in children
    assert ARCHS[5] not in children
    crossed = [SPACE.repair({"depth": 3, "op1": "a", "op2": op2, "op3": op3}) for op2, op3 in ("ac", "bb")]
    assert all(child in crossed or min(SPACE.distance(child, ARCHS[own]) for own in (1, 5)) <= 3 for child in children)
    assert all(arch in children for arch in crossed)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"population": 1}, "population=1: must be an integer >= 2"),
        ({"remove": "best"}, "remove='best': must be 'oldest', as in the paper, or 'worst'"),
        ({"selection": "roulette"}, "selection='roulette': must be 'tournament' or 'truncation'"),
        ({"population": 10, "tournament": 11}, "tournament=11: must be an integer from 1 to population=10"),
        ({"tournament": 0}, "tournament=0: must be an integer from 1 to"),
        ({"crossover": 1.5}, r"crossover=1.5: must be in \[0, 1\]"),
    ],
)
def test_what_is_out_of_range_is_named(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Evolution(**arguments)
