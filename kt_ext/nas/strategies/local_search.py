"""Local search over architectures (White, Nolen, Savani, 2021, "Exploring the Loss Landscape in Neural Architecture
Search", arXiv:2005.02960): strong where a space is small and smooth.
"""

from __future__ import annotations

import numpy as np

from kt_ext.nas.records import Records
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture
from kt_ext.nas.strategies.sizes import share_of
from kt_ext.nas.strategy import AbstractStrategy, Proposal

#: How near to an exhausted one an architecture is left out: its neighbours were all tried, and none was better.
BASIN = 1
#: By default a tenth of the trials is random at first, so many at most.
STARTUP_SHARE, STARTUP = 10, 10


class LocalSearch(AbstractStrategy):
    """Tries the neighbours of the best architecture, in random order, and moves on as soon as one is better.

    When all neighbours of the best have been tried, the search starts again from the best of those that are not among
    them; at random when there is none. Which one is expanded follows from the trials alone, so that workers do not wait
    for each other: while neighbours are running others are sent out.

    Args:
        n_startup: how many architectures are random at first, at least 1; each may start a climb later. None: a tenth
            of all, at most 10.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, n_startup: int | None = None) -> None:
        if n_startup is not None and n_startup < 1:
            raise ValueError(f"n_startup={n_startup}: must be an integer >= 1; leave it out for the default")
        self.n_startup = n_startup
        # A cache: the neighbours of those that were expanded, by their genes.
        self._near: dict[tuple, list[Architecture]] = {}
        self._space: AbstractArchitectureSpace | None = None

    def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
        """An untried neighbour of the best architecture that is not in an exhausted one's basin; random at first."""
        default = share_of(records.max_trials, STARTUP_SHARE, 1, STARTUP)
        scored = records.scored(default if self.n_startup is None else self.n_startup)
        exhausted: list[Architecture] = []
        for place in np.argsort(scored.objectives, kind="stable"):
            centre = scored.records[place].arch
            if any(records.space.distance(centre, other) <= BASIN for other in exhausted):
                continue
            near = self._neighbours(records, centre)
            for choice in rng.permutation(len(near)):
                if records.is_new(near[choice]):
                    return Proposal(near[choice])
            exhausted.append(centre)
        return Proposal(records.space.random(rng))

    def _neighbours(self, records: Records, centre: Architecture) -> list[Architecture]:
        if self._space is not records.space:
            self._space, self._near = records.space, {}
        if centre.genes not in self._near:
            self._near[centre.genes] = list(records.space.neighbours(centre))
        return self._near[centre.genes]
