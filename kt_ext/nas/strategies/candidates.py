"""Architectures that a model ranks: some near the best ones, some from all over the space."""

from __future__ import annotations

import numpy as np

from kt_ext.nas.records import Records, Scored
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture
from kt_ext.nas.strategies.lesson import features_of
from kt_ext.nas.strategies.sizes import share_of
from kt_ext.nas.strategy import Proposal

#: So many of the best have children among the candidates, each so many, drawn anew whenever so many more were scored.
BEST, CHILDREN, RENEWAL = 10, 20, 10
#: Chance of each further mutation of a child.
FURTHER = 0.4
#: Random architectures come in blocks; with each scored trial a new block comes and the oldest leaves.
BLOCKS, BLOCK = 25, 10

#: By default a fifth of the trials is random at first, so many at most.
STARTUP_SHARE, STARTUP = 5, 20

_Batch = tuple[list[Architecture], np.ndarray]


class Candidates:
    """Keeps candidates and their features from one proposal to the next; a function of the trials and the seed.

    Args:
        seed: integer >= 0.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        # A cache: by a block's number, or by a trial's and when its children were drawn.
        self._batches: dict[tuple[int, ...], _Batch] = {}
        self._identity: object = None

    def given(self, records: Records, scored: Scored) -> _Batch:
        """Some hundreds of architectures, tried ones among them, and their features, shape (n, n_features)."""
        if self._identity is not records.identity:
            self._identity, self._batches = records.identity, {}
        n, before = len(scored), self._batches
        now: dict[tuple[int, ...], _Batch] = {}
        for block in range(max(0, n - BLOCKS), n):
            now[(block,)] = before.get((block,)) or self._random(records.space, (block,))
        for place in np.argsort(scored.objectives, kind="stable")[:BEST]:
            parent = scored.records[place]
            key = (parent.number, n // RENEWAL)
            now[key] = before.get(key) or self._children(parent.arch, key)
        self._batches = now
        archs = [arch for batch, _ in now.values() for arch in batch]
        return archs, np.concatenate([features for _, features in now.values()])

    def _random(self, space: AbstractArchitectureSpace, key: tuple[int, ...]) -> _Batch:
        rng = np.random.default_rng([self.seed, *key])
        archs = [space.random(rng) for _ in range(BLOCK)]
        return archs, features_of(archs)

    def _children(self, parent: Architecture, key: tuple[int, ...]) -> _Batch:
        rng = np.random.default_rng([self.seed, *key])
        archs = []
        for _ in range(CHILDREN):
            child = parent.space.mutate(parent, rng)
            while rng.random() < FURTHER:
                child = parent.space.mutate(child, rng)
            archs.append(child)
        return archs, features_of(archs)


def startup(given: int | None, max_trials: int) -> int:
    """How many trials are random before a model is asked."""
    return share_of(max_trials, STARTUP_SHARE, 2, STARTUP) if given is None else given


def most_promising(
    records: Records, archs: list[Architecture], promise: np.ndarray, rng: np.random.Generator
) -> Proposal:
    """The untried candidate with the largest promise, shape (n,); a random architecture if all were tried."""
    for place in np.argsort(-promise, kind="stable"):
        if records.is_new(archs[place]):
            return Proposal(archs[place])
    return Proposal(records.space.random(rng))
