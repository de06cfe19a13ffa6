"""Which children a morphism search proposes, and whose weights they begin with."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.nas.head import classifier
from kt_ext.nas.moves import kind_of_move
from kt_ext.nas.network import Network
from kt_ext.nas.records import Records
from kt_ext.nas.searcher import PARENT, ArchitectureSearcher
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture
from kt_ext.nas.spaces.chain import ChainSpace
from kt_ext.nas.spaces.skip import SkipSpace
from kt_ext.nas.strategies.morphism import Morphism
from nas.strategy_table import whole

CHAIN = ChainSpace(["conv3x3", "conv5x5"], 4, (8, 16, 32), residual=False)
SKIPS = SkipSpace(["conv3x3", "sep3x3", "sep5x5"], 4, (8, 16))


def laid(arch: Architecture) -> Network:
    return arch.space.network(arch, (8, 8, 1), classifier(10))


def records(space: AbstractArchitectureSpace, *scored: tuple[Architecture, float], max_trials: int = 20) -> Records:
    history = History()
    for number, (arch, objective) in enumerate(scored):
        history.start(number, space.values(arch))
        history.record(Observation(number, 1, objective))
    return Records(space, max_trials).follow(history)


def test_the_first_are_random_and_have_no_parent() -> None:
    strategy = Morphism(population=3)
    one, two = CHAIN.random(np.random.default_rng(1)), CHAIN.random(np.random.default_rng(2))
    proposal = strategy.choose(records(CHAIN, (one, 0.5), (two, 0.4)), np.random.default_rng(7))
    assert proposal.arch == CHAIN.random(np.random.default_rng(7))
    assert proposal.parent is None


@pytest.mark.parametrize("space", [CHAIN, SKIPS], ids=["chain", "skip"])
def test_a_child_keeps_the_function_of_its_parent(space: AbstractArchitectureSpace) -> None:
    strategy = Morphism(population=2)
    strategy.bind(laid)
    seen = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        values = {"depth": 2, "layer1/width": 8, "layer2/width": 8, "layer1/op": "sep3x3", "layer2/op": "conv3x3"}
        known = [space.repair(values), space.random(rng)]
        if known[0] == known[1]:
            continue
        found = strategy.choose(records(space, (known[0], 0.1), (known[1], 0.2)), rng)
        assert found.parent in (0, 1)
        if found.parent == 0:
            seen.add(kind_of_move(laid(known[0]), laid(found.arch)))
    assert None not in seen and len(seen) >= 2


@pytest.mark.parametrize("move", ["widen", "deepen", "kernel"])
def test_only_the_moves_that_are_allowed(move: str) -> None:
    strategy = Morphism([move], population=2, parent="best")
    strategy.bind(laid)
    parent = CHAIN.repair({"depth": 2, "layer1/op": "conv3x3", "layer1/width": 8, "layer2/op": "conv3x3"})
    other = CHAIN.repair({"depth": 4, "layer1/op": "conv5x5"})
    for seed in range(4):
        found = strategy.choose(records(CHAIN, (parent, 0.1), (other, 0.2)), np.random.default_rng(seed))
        assert found.parent == 0
        assert kind_of_move(laid(parent), laid(found.arch)) == move


def test_a_parent_without_a_move_is_mutated_and_still_gives_its_weights() -> None:
    largest = CHAIN.repair({f"layer{i}/{gene}": value for i in range(1, 5) for gene, value in
                            (("op", "conv5x5"), ("width", 32))} | {"depth": 4})  # fmt: skip
    smaller = CHAIN.repair({"depth": 1})
    strategy = Morphism(population=2, parent="best")
    strategy.bind(laid)
    found = strategy.choose(records(CHAIN, (largest, 0.1), (smaller, 0.2)), np.random.default_rng(0))
    assert found.parent == 0
    assert kind_of_move(laid(largest), laid(found.arch)) is None
    assert found.arch != largest


def test_who_failed_gives_no_weights() -> None:
    archs = [CHAIN.repair({"depth": depth}) for depth in (1, 2)]
    strategy = Morphism(population=2, parent="best")
    found = strategy.choose(records(CHAIN, (archs[0], np.inf), (archs[1], np.inf)), np.random.default_rng(0))
    assert found.parent is None


def test_the_best_parent_is_the_best_of_all_and_a_tournaments_winner_one_of_the_last() -> None:
    archs = [CHAIN.repair({"depth": depth, "layer1/width": width}) for depth in (1, 2) for width in (8, 16)]
    known = records(CHAIN, *zip(archs, (0.1, 0.4, 0.3, 0.2), strict=True))
    best = Morphism(population=2, parent="best")
    assert {best.choose(known, np.random.default_rng(seed)).parent for seed in range(5)} == {0}
    last = Morphism(population=2, tournament=1)
    assert {last.choose(known, np.random.default_rng(seed)).parent for seed in range(8)} == {2, 3}


def test_widths_that_a_sum_ties_grow_together() -> None:
    space = ChainSpace(["conv3x3"], 3, (8, 16, 32), min_depth=3)  # residual
    parent = space.repair({f"layer{i}/width": 16 for i in (1, 2, 3)})
    assert all(kind_of_move(laid(parent), laid(child)) is None for child in space.neighbours(parent))
    strategy = Morphism(["widen"], population=2, parent="best")
    strategy.bind(laid)
    found = strategy.choose(records(space, (parent, 0.1), (space.repair({}), 0.2)), np.random.default_rng(0))
    assert found.arch == space.repair({f"layer{i}/width": 32 for i in (1, 2, 3)})


def test_a_fresh_strategy_makes_the_same_proposals() -> None:
    def proposals(restart_at: int) -> list[dict]:
        history, random = History(), EventRandom(3)
        made = []
        for number in range(14):
            if number in (0, restart_at):
                strategy = Morphism(population=4)
                strategy.bind(laid)
                searcher = ArchitectureSearcher(SKIPS, strategy, 14)
            values = dict(searcher.propose(history, whole(SKIPS), random.at(number)))
            made.append(values)
            history.start(number, values)
            history.record(Observation(number, 1, float(number % 5)))
        return made

    made = proposals(restart_at=0)
    assert made == proposals(restart_at=9)
    assert sum(PARENT in values for values in made) == 10
    assert len({tuple(sorted(values.items())) for values in made}) == 14


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"moves": ()}, "moves"),
        ({"moves": "widen"}, "moves"),
        ({"moves": ("shrink",)}, "moves=.*must be some of deepen, skip, widen, kernel"),
        ({"parent": "worst"}, "parent='worst': must be 'tournament' or 'best'"),
        ({"parent": "best", "tournament": 3}, "tournament=3"),
        ({"population": 1}, "population=1"),
    ],
)
def test_arguments_are_checked(arguments: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Morphism(**arguments)
