"""Architectures that a model ranks: some near the best ones, some from all over the space."""

from __future__ import annotations

import math

import numpy as np

from kt_ext.nas.records import Records, Scored
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture

#: So many of the best have children among the candidates, each so many, drawn anew whenever so many more were scored.
BEST, CHILDREN, RENEWAL = 10, 40, 10
#: Chance of each further mutation of a child.
FURTHER = 0.4
#: Random architectures come in blocks; a new block comes and the oldest leaves with each scored trial.
BLOCKS, BLOCK = 25, 20

_Batch = tuple[list[Architecture], np.ndarray]


class Candidates:
    """Keeps candidates and their encodings from one proposal to the next; a function of the trials and the seed.

    Args:
        seed: integer >= 0.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        # A cache: of a block's number, or of a trial's and when its children were drawn.
        self._batches: dict[tuple[int, ...], _Batch] = {}
        self._of: tuple[AbstractArchitectureSpace, object] | None = None

    def given(self, records: Records, scored: Scored) -> _Batch:
        """About a thousand architectures, tried ones among them, and their features, shape (n, n_features)."""
        if self._of != (records.space, records.identity):
            self._of, self._batches = (records.space, records.identity), {}
        n = len(scored)
        best = [scored.records[place] for place in np.argsort(scored.objectives, kind="stable")[:BEST]]
        parents = {(one.number, n // RENEWAL): one.arch for one in best}
        blocks = range(max(0, n - BLOCKS), n)
        self._batches = {
            **{(block,): self._batches.get((block,)) or self._random(records.space, block) for block in blocks},
            **{key: self._batches.get(key) or self._children(arch, key) for key, arch in parents.items()},
        }
        batches = self._batches.values()
        return [arch for archs, _ in batches for arch in archs], np.concatenate([features for _, features in batches])

    def _random(self, space: AbstractArchitectureSpace, block: int) -> _Batch:
        rng = np.random.default_rng([self.seed, block])
        return _encoded([space.random(rng) for _ in range(BLOCK)])

    def _children(self, parent: Architecture, key: tuple[int, ...]) -> _Batch:
        rng = np.random.default_rng([self.seed, *key])
        archs = []
        for _ in range(CHILDREN):
            child = parent.space.mutate(parent, rng)
            while rng.random() < FURTHER:
                child = parent.space.mutate(child, rng)
            archs.append(child)
        return _encoded(archs)


def features_of(arch: Architecture) -> np.ndarray:
    """The space's encoding at unit length, so that the product of two is 1 for equal ones, shape (n_features,)."""
    return arch.features / max(math.sqrt(arch.features @ arch.features), 1e-12)


def _encoded(archs: list[Architecture]) -> _Batch:
    return archs, np.array([features_of(arch) for arch in archs])
