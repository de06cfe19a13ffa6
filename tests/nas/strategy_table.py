"""Every strategy that needs no network, two small spaces, and a search of several workers by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.space import Choice, Condition, Int, Parameter, Space
from kt_ext.nas.draft import Draft
from kt_ext.nas.limits import Limits
from kt_ext.nas.searcher import ArchitectureSearcher
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture
from kt_ext.nas.strategies.evolution import Evolution
from kt_ext.nas.strategies.grid import Grid
from kt_ext.nas.strategies.local_search import LocalSearch
from kt_ext.nas.strategies.predictor import Predictor
from kt_ext.nas.strategies.random import Random
from kt_ext.nas.strategies.surrogate import Bayesian
from kt_ext.nas.strategy import AbstractStrategy

STRATEGIES: dict[str, Callable[[], AbstractStrategy]] = {
    "random": Random,
    "grid": Grid,
    "evolution": lambda: Evolution(5),
    "mutation alone": lambda: Evolution(4, tournament=2, crossover=0.0),
    "keep the best": lambda: Evolution(4, remove="worst", selection="truncation"),
    "local_search": lambda: LocalSearch(3),
    "predictor": lambda: Predictor(n_startup=5, seed=3),
    "bayesian": lambda: Bayesian(n_startup=5),
}


class Bag(AbstractArchitectureSpace):
    """One to three layers, each of one of three operations, whose order does not matter: 39 choices, 19 networks."""

    def parameters(self) -> Sequence[Parameter]:
        return [
            Parameter("depth", Int(1, 3)),
            Parameter("op1", Choice(("a", "b", "c"))),
            Parameter("op2", Choice(("a", "b", "c")), (Condition("depth", (2, 3)),)),
            Parameter("op3", Choice(("a", "b", "c")), (Condition("depth", (3,)),)),
        ]

    def lay(self, arch: Architecture, net: Draft) -> str:
        raise NotImplementedError("never built here")

    def canonical(self, arch: Architecture) -> Hashable:
        return "".join(sorted(str(value) for name, value in arch.genes if name != "depth"))


class Words(AbstractArchitectureSpace):
    """Five letters: 1,024 networks."""

    def parameters(self) -> list[Parameter]:
        return [Parameter(f"letter{place}", Choice(tuple("abcd"))) for place in range(5)]

    def lay(self, arch: Architecture, net: Draft) -> str:
        raise NotImplementedError("never built here")

    def text(self, arch: Architecture) -> str:
        return "".join(str(value) for _, value in arch.genes)


def cost(arch: Architecture) -> dict[str, float]:
    """An operation "c" costs 2, another one 1."""
    return {"cost": float(sum(1 + (value == "c") for name, value in arch.genes if name != "depth"))}


def searcher(strategy: AbstractStrategy, most: float = 6.0) -> ArchitectureSearcher:
    """A search among the networks that cost at most so much; 6 is all of them."""
    return ArchitectureSearcher(Bag(), strategy, 20, Limits({"cost": (None, most)}, cost))


def whole(space: AbstractArchitectureSpace) -> Space:
    """The architecture's hyperparameters, as an oracle would hold them."""
    return Space(
        Parameter(
            f"{space.name}/{gene.name}",
            gene.domain,
            tuple(Condition(f"{space.name}/{one.parent}", one.values) for one in gene.conditions),
        )
        for gene in space.genes.parameters
    )


def search(
    searcher: ArchitectureSearcher, seed: int, trials: int, workers: int = 3, epochs: int = 3
) -> Iterator[tuple[int, History, dict]]:
    """Trials of several workers, each with 1 to ``epochs`` reports, some failing before the first, some at infinity.

    Yields the number of each proposal, a copy of the history that it was made from, and the proposal.
    """
    history, random, events = History(), EventRandom(seed), np.random.default_rng([seed, 1])
    space = whole(searcher.space)
    left: dict[int, int] = {}  # reports to come of running trials
    for number in range(trials):
        while len(left) == workers:
            trial = int(events.choice(list(left)))
            if left[trial] == 0 or events.random() < 0.1:
                del left[trial]
                history.end(trial)
                continue
            left[trial] -= 1
            objective = np.inf if events.random() < 0.1 else float(events.random())
            history.record(Observation(trial, history.epochs_of(trial) + 1, objective))
        values = dict(searcher.propose(history, space, random.at(number)))
        yield number, copied(history), values
        history.start(number, values)
        left[number] = int(events.integers(1, epochs + 1))


def copied(history: History) -> History:
    """Through its JSON."""
    copy = History()
    copy.load_state(json.loads(json.dumps(history.state())))
    return copy
