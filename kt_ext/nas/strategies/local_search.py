"""Local search over architectures (White, Nolen, Savani, 2021, "Exploring the Loss Landscape in Neural Architecture
Search", arXiv:2005.02960): a strong strategy where a space is smooth and trials are little noisy.
"""

from __future__ import annotations

import numpy as np

from kt_ext.nas.records import Records
from kt_ext.nas.strategy import AbstractStrategy, Proposal


class LocalSearch(AbstractStrategy):
    """Tries the neighbours of the best architecture, in random order, and moves on as soon as one is better.

    When the best has no untried neighbour left, those of the next best are tried, and so on. Which one is expanded
    follows from the trials alone, so that workers do not wait for each other.

    Args:
        n_startup: how many random architectures are tried first, at least 1.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, n_startup: int = 10) -> None:
        if n_startup < 1:
            raise ValueError(f"n_startup={n_startup}: must be an integer >= 1; leave it out for the default")
        self.n_startup = n_startup

    def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
        """An untried neighbour of the best architecture that has one; random at first."""
        scored = records.scored(self.n_startup)
        for place in np.argsort(scored.objectives, kind="stable"):
            near = list(records.space.neighbours(scored.records[place].arch))
            for choice in rng.permutation(len(near)):
                if records.is_new(near[choice]):
                    return Proposal(near[choice])
        return Proposal(records.space.random(rng))
