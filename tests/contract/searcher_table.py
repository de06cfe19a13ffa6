"""Every searcher. A new one adds a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kt_ext.core.searcher import AbstractSearcher
from kt_ext.searchers import EvolutionSearcher, ForestSearcher, GPSearcher, TPESearcher, make_searcher
from kt_ext.searchers.initial import InitialValues
from kt_ext.searchers.warm_start import EarlierTrial, WarmStart


class Row(NamedTuple):
    """A searcher and what it promises beyond the contract."""

    make: Callable[[int], AbstractSearcher]  # from the seed
    seeded: bool = True  # another seed gives other proposals
    many: int = 400  # how many proposals are many: a model that takes 20 ms for each is asked for fewer


def small_forest(seed: int) -> ForestSearcher:
    """Few trees and candidates: the contract asks for thousands of proposals."""
    return ForestSearcher(5, n_trees=3, random_share=0.5, n_candidates=20, n_starts=2, n_steps=2, seed=seed)


def small_gp(seed: int) -> GPSearcher:
    return GPSearcher(5, seed=seed, n_candidates=20, max_rows=20)


SEARCHERS: dict[str, Row] = {
    "random": Row(lambda seed: make_searcher("random", seed)),
    "sobol": Row(lambda seed: make_searcher("sobol", seed)),
    "halton": Row(lambda seed: make_searcher("halton", seed)),
    "grid": Row(lambda seed: make_searcher("grid", seed), seeded=False),
    "tpe": Row(lambda seed: make_searcher("tpe", seed)),
    "tpe alone": Row(lambda seed: TPESearcher(5, multivariate=False, random_share=0.2, seed=seed)),
    "elites": Row(lambda seed: make_searcher("elites", seed)),
    "forest": Row(small_forest, many=200),
    "gp": Row(small_gp, many=100),
    "evolution": Row(lambda seed: EvolutionSearcher(population_size=5, seed=seed)),
    "mutation": Row(lambda seed: EvolutionSearcher("mutation", population_size=5, seed=seed)),
    "initial_values": Row(lambda seed: InitialValues(make_searcher("random", seed), [])),
    "warm_start": Row(
        lambda seed: WarmStart(make_searcher("random", seed), [EarlierTrial({"momentum": 0.5}, [(1, 1.0)])])
    ),
}
