"""Strategies by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from kt_ext.nas.strategies.evolution import Evolution, default_population
from kt_ext.nas.strategies.local_search import LocalSearch
from kt_ext.nas.strategies.random import Random
from kt_ext.nas.strategy import AbstractStrategy


def _late(module: str, name: str, **arguments: Any) -> AbstractStrategy:
    """Imported when it is wanted: these need scipy or Keras, which take seconds."""
    return getattr(importlib.import_module(f"kt_ext.nas.strategies.{module}"), name)(**arguments)


# Each takes the seed and the number of trials.
_BY_NAME: dict[str, Callable[[int, int], AbstractStrategy]] = {
    "random": lambda seed, max_trials: Random(),
    "grid": lambda seed, max_trials: _late("grid", "Grid"),
    "evolution": lambda seed, max_trials: Evolution(default_population(max_trials)),
    "local_search": lambda seed, max_trials: LocalSearch(),
    "predictor": lambda seed, max_trials: _late("predictor", "Predictor", seed=seed),
    "bayesian": lambda seed, max_trials: _late("surrogate", "Bayesian", seed=seed),
    "controller": lambda seed, max_trials: _late("controller", "Controller", seed=seed),
    "morphism": lambda seed, max_trials: _late("morphism", "Morphism"),
}


def make_strategy(strategy: str | AbstractStrategy, seed: int, max_trials: int) -> AbstractStrategy:
    """The strategy of this name, or the one that is given.

    Args:
        strategy: a name, or a strategy of one's own, which is returned as it is.
        seed: integer >= 0, for those that need one of their own beside the ``rng`` of ``choose``.
        max_trials: how many trials the search may start.

    Raises:
        ValueError: unknown name.
        TypeError: neither a name nor a strategy.
    """
    if isinstance(strategy, str):
        if strategy not in _BY_NAME:
            raise ValueError(f"strategy={strategy!r}: must be one of {', '.join(_BY_NAME)}, or an AbstractStrategy")
        return _BY_NAME[strategy](seed, max_trials)
    if not isinstance(strategy, AbstractStrategy):
        raise TypeError(
            f"strategy={strategy!r} of type {type(strategy).__name__}: must be a name ({', '.join(_BY_NAME)}) "
            "or an instance of AbstractStrategy"
        )
    return strategy
