"""What holds for every strategy: no network twice, limits kept, the same proposals after a restart."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.searcher import SpaceExhausted
from kt_ext.core.space import Float, Parameter, Space
from kt_ext.nas.make import make_strategy
from kt_ext.nas.records import Records
from kt_ext.nas.searcher import PARENT, ArchitectureSearcher
from kt_ext.nas.space import Architecture
from kt_ext.nas.strategies.evolution import Evolution
from kt_ext.nas.strategies.random import Random
from kt_ext.nas.strategy import AbstractStrategy, Proposal
from kt_ext.searchers import QuasiRandomSearcher
from nas.strategy_table import STRATEGIES, Bag, Words, cost, search, searcher, whole

BAG = whole(Bag())


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("seed", range(3))
def test_a_restart_makes_the_same_proposal(name: str, seed: int) -> None:
    """At each step a fresh searcher, given the history through JSON alone, proposes what the old one did."""
    running = searcher(STRATEGIES[name]())
    for number, history, values in search(running, seed, 15):
        fresh = searcher(STRATEGIES[name]())
        assert fresh.propose(history, BAG, EventRandom(seed).at(number)) == values
        assert BAG.validate(values) is None


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("workers", [1, 4, 20])
def test_every_network_within_the_limits_once_and_then_the_end(name: str, workers: int) -> None:
    """Of the 19 networks three cost more than 4: acc, bcc and ccc."""
    running = searcher(STRATEGIES[name](), most=4)
    seen = []
    with pytest.raises(SpaceExhausted):
        for _, _, values in search(running, 7, 20, workers):
            seen.append(running.space.architecture(values))
    expected = {"a", "b", "c", "aa", "ab", "ac", "bb", "bc", "cc"}
    expected |= {"aaa", "aab", "aac", "abb", "abc", "bbb", "bbc"}
    assert len(seen) == 16
    assert {arch.key for arch in seen} == expected
    assert all(cost(arch)["cost"] <= 4 for arch in seen)


def best_of_sixty(name: str, seed: int) -> float:
    """How many of five letters are those of a hidden word, where neighbouring right ones count twice."""
    running, history, space = ArchitectureSearcher(Words(), STRATEGIES[name](), 60), History(), whole(Words())
    hidden = str(Words().random(np.random.default_rng(seed)))
    for number in range(60):
        values = running.propose(history, space, EventRandom(seed).at(number))
        right = [a == b for a, b in zip(values.values(), hidden, strict=True)]
        history.start(number, values)
        history.record(Observation(number, 1, -float(sum(right) + sum(a and b for a, b in pairwise(right)))))
        history.end(number)
    return -min(history.best(number)[0] for number in history.ids)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in ("random", "grid")])
@pytest.mark.slow
def test_better_than_random_search(name: str) -> None:
    """Sixty of 1,024 networks, of which the best has 9: by one and more on average."""
    seeds = range(6)
    by_chance = np.mean([best_of_sixty("random", seed) for seed in seeds])
    assert np.mean([best_of_sixty(name, seed) for seed in seeds]) >= by_chance + 1


class Stubborn(AbstractStrategy):
    """Always the same architecture."""

    def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
        return Proposal(records.space.repair({"depth": 1, "op1": "a"}))


def test_after_a_strategy_that_repeats_itself_a_random_one_is_taken() -> None:
    running = searcher(Stubborn())
    assert running.on_record == "Stubborn"
    keys = [running.space.architecture(values).key for _, _, values in search(running, 0, 19)]
    assert keys[0] == "a"
    assert len(set(keys)) == 19


def test_repeats_where_they_are_wanted() -> None:
    running = ArchitectureSearcher(Bag(), Stubborn(), 5, repeats=True)
    assert [values["arch/op1"] for _, _, values in search(running, 0, 5)] == ["a"] * 5


def test_other_hyperparameters_come_from_their_own_searcher() -> None:
    """And a rate of the architecture's own name stays out of it."""
    rates = Space([Parameter("rate", Float(1e-4, 1e-1, scale="log"))])
    both = Space([*BAG.parameters, *rates.parameters])
    drawn = ArchitectureSearcher(Bag(), Random(), 5).propose(History(), both, EventRandom(1).at(0))
    assert both.validate(drawn) is None
    quasi = ArchitectureSearcher(Bag(), Random(), 5, others=QuasiRandomSearcher(seed=2))
    expected = QuasiRandomSearcher(seed=2).propose(History(), rates, EventRandom(1).at(0))
    assert quasi.propose(History(), both, EventRandom(1).at(0))["rate"] == expected["rate"]


def test_inherit_names_the_nearest_trial_that_has_a_finite_objective() -> None:
    space = Bag()
    history = History()
    for number, (genes, objective) in enumerate(
        [
            ({"depth": 2, "op1": "a", "op2": "a"}, np.inf),
            ({"depth": 1, "op1": "c"}, 0.5),
            ({"depth": 2, "op1": "a", "op2": "b"}, 0.9),
            ({"depth": 3, "op1": "c", "op2": "a", "op3": "c"}, 0.1),
        ]
    ):
        history.start(number, space.values(space.repair(genes)))
        history.record(Observation(number, 1, objective))

    class Wanted(AbstractStrategy):
        def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
            return Proposal(space.repair({"depth": 2, "op1": "c", "op2": "c"}))

    values = ArchitectureSearcher(space, Wanted(), 9, inherit=True).propose(history, BAG, EventRandom(0).at(4))
    # distances: 2, 2 (depth, op2), 2, 3; the better one of the two finite at distance 2
    assert values[PARENT] == 1


def test_a_parent_of_the_strategy_is_passed_on() -> None:
    class Child(AbstractStrategy):
        def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
            return Proposal(records.space.random(rng), parent=17)

    assert ArchitectureSearcher(Bag(), Child(), 3).propose(History(), BAG, EventRandom(0).at(0))[PARENT] == 17


def test_strategies_by_name() -> None:
    assert isinstance(make_strategy("random", 0, 10), Random)
    made = make_strategy("evolution", 0, 40)
    assert isinstance(made, Evolution)
    assert made.population == 8
    mine = Stubborn()
    assert make_strategy(mine, 0, 10) is mine
    assert all(isinstance(make_strategy(name, 1, 10), AbstractStrategy) for name in ("grid", "predictor", "bayesian"))
    with pytest.raises(ValueError, match=r"strategy='evolve': must be one of random, grid, evolution, .* or an"):
        make_strategy("evolve", 0, 10)
    with pytest.raises(TypeError, match=r"strategy=<class .*Random'> of type ABCMeta: must be a name"):
        make_strategy(Random, 0, 10)  # type: ignore[arg-type]


def test_an_architecture_keeps_its_key() -> None:
    arch = Bag().repair({"depth": 3, "op1": "c", "op2": "a", "op3": "b"})
    assert isinstance(arch, Architecture)
    assert arch.key == "abc"
