"""The searcher for who does not want to choose."""

from __future__ import annotations

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Space
from kt_ext.searchers.cube import Cube
from kt_ext.searchers.features import Features
from kt_ext.searchers.forest import ForestSearcher
from kt_ext.searchers.gp import GPSearcher

#: A Gaussian process measures distances, which say little in a space of more inputs than this.
MOST_INPUTS = 40


class AutoSearcher(AbstractSearcher):
    """A Gaussian process; a random forest in a space of many inputs, as architectures have.

    An input is a number, one value of an unordered choice, or whether a conditional parameter is active.

    Args:
        seed: integer >= 0 of the first, quasi-random proposals.
    """

    def __init__(self, seed: int = 0) -> None:
        self._gp = GPSearcher(seed=seed)
        self._forest = ForestSearcher(seed=seed)
        self._space: Space | None = None

    def propose(self, history: History, space: Space, rng: np.random.Generator) -> dict[str, Value]:
        """Untried values. Raises SpaceExhausted when a finite space has none left."""
        if self._space != space:
            self._space, self._inputs = space, len(Features(Cube(space)).groups)
        searcher = self._gp if self._inputs <= MOST_INPUTS else self._forest
        return dict(searcher.propose(history, space, rng))
