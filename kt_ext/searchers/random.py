"""Random search (Bergstra and Bengio, 2012): each parameter drawn on its own, no configuration twice."""

from __future__ import annotations

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Space
from kt_ext.searchers.untried import Untried

# How often a repeated draw is drawn anew. In an infinite space a repetition after so many is accepted; in a finite one
# the untried configurations are counted.
DRAWS = 64


class RandomSearcher(AbstractSearcher):
    """Draws each parameter from its domain, anew where a trial has had these values before."""

    def __init__(self) -> None:
        self._untried = Untried()

    def propose(self, history: History, space: Space, rng: np.random.Generator) -> dict[str, Value]:
        """Untried values. Raises SpaceExhausted when a finite space has none left."""
        for _ in range(DRAWS):
            values = space.sample(rng)
            if not history.contains(values):
                return values
        if space.size is None:
            return values
        return self._untried.pick(history, space, rng)
