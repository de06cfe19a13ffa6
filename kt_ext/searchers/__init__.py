"""Searchers decide which values a new trial gets."""

from __future__ import annotations

from collections.abc import Callable

from kt_ext.core.searcher import AbstractSearcher, SpaceExhausted
from kt_ext.searchers.elites import EliteSearcher
from kt_ext.searchers.evolution import EvolutionSearcher
from kt_ext.searchers.forest import ForestSearcher
from kt_ext.searchers.gp import GPSearcher
from kt_ext.searchers.grid import GridSearcher
from kt_ext.searchers.optuna_searcher import OptunaSearcher
from kt_ext.searchers.quasi_random import QuasiRandomSearcher
from kt_ext.searchers.random import RandomSearcher
from kt_ext.searchers.tpe import TPESearcher

__all__ = [
    "AbstractSearcher",
    "EliteSearcher",
    "EvolutionSearcher",
    "ForestSearcher",
    "GPSearcher",
    "GridSearcher",
    "OptunaSearcher",
    "QuasiRandomSearcher",
    "RandomSearcher",
    "SpaceExhausted",
    "TPESearcher",
    "make_searcher",
]

# Each takes the seed.
_BY_NAME: dict[str, Callable[[int], AbstractSearcher]] = {
    "random": lambda seed: RandomSearcher(),
    "quasi_random": lambda seed: QuasiRandomSearcher(seed=seed),
    "sobol": lambda seed: QuasiRandomSearcher("sobol", seed),
    "halton": lambda seed: QuasiRandomSearcher("halton", seed),
    "grid": lambda seed: GridSearcher(),
    "tpe": lambda seed: TPESearcher(seed=seed),
    "gp": lambda seed: GPSearcher(seed=seed),
    "forest": lambda seed: ForestSearcher(seed=seed),
    "evolution": lambda seed: EvolutionSearcher(seed=seed),
    "elites": lambda seed: EliteSearcher(),
}


def make_searcher(searcher: str | AbstractSearcher, seed: int) -> AbstractSearcher:
    """The searcher of this name, or the one that is given.

    Args:
        searcher: a name, or a searcher of one's own, which is returned as it is.
        seed: integer >= 0, for those that need one of their own beside the ``rng`` of ``propose``.

    Raises:
        ValueError: unknown name.
        TypeError: neither a name nor a searcher.
    """
    if isinstance(searcher, str):
        if searcher not in _BY_NAME:
            raise ValueError(f"searcher={searcher!r}: must be one of {', '.join(_BY_NAME)}, or an AbstractSearcher")
        return _BY_NAME[searcher](seed)
    if not isinstance(searcher, AbstractSearcher):
        raise TypeError(
            f"searcher={searcher!r} of type {type(searcher).__name__}: must be a name ({', '.join(_BY_NAME)}) "
            "or an instance of AbstractSearcher"
        )
    return searcher
