"""Quasi-random search: points that cover the space more evenly than independent draws (Bousquet et al., 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Space
from kt_ext.searchers.untried import Untried

if TYPE_CHECKING:
    from scipy.stats.qmc import QMCEngine

SEQUENCES = ("sobol", "halton")
# Points are made so many at a time: a power of 2, as the balance of Sobol points wants it.
BLOCK = 64
# How many points further we look for an untried one, before we take any.
POINTS_AHEAD = 1024


class QuasiRandomSearcher(AbstractSearcher):
    """Gives the k-th trial the k-th point of a scrambled sequence, or the next point whose values are untried.

    Args:
        sequence: "sobol" or "halton".
        seed: integer >= 0 of the scrambling. The ``rng`` of ``propose`` is used only where a finite space is nearly
            exhausted.
    """

    def __init__(self, sequence: str = "sobol", seed: int = 0) -> None:
        if sequence not in SEQUENCES:
            raise ValueError(f"sequence={sequence!r}: must be one of {', '.join(SEQUENCES)}")
        if seed < 0:
            raise ValueError(f"seed={seed}: must be an integer >= 0; 0 is a seed like any other")
        self.sequence = sequence
        self.seed = seed
        self._untried = Untried()
        self._key: tuple[object, Space] | None = None
        self._next = 0
        self._engine: QMCEngine | None = None
        self._block = np.empty((0, 0))  # (BLOCK, n_parameters)
        self._block_number = -1

    def propose(self, history: History, space: Space, rng: np.random.Generator) -> dict[str, Value]:
        """Untried values. Raises SpaceExhausted when a finite space has none left."""
        if self._key != (history.identity, space):
            self._key, self._next = (history.identity, space), 0
        # What was tried stays tried, so points that an earlier call passed over need not be looked at again.
        self._next = max(self._next, len(history))
        while self._next < len(history) + POINTS_AHEAD:
            values = space.decode(self._point(self._next, len(space.parameters)))
            if not history.contains(values):
                return values
            self._next += 1
        if space.size is None:
            return space.decode(self._point(len(history), len(space.parameters)))
        return self._untried.pick(history, space, rng)

    def _point(self, position: int, dimensions: int) -> np.ndarray:
        """Point ``position`` of the sequence, shape (dimensions,), in [0, 1]."""
        if dimensions == 0:
            return np.empty(0)
        number = position // BLOCK
        if self._engine is None or self._engine.d != dimensions:
            self._engine, self._block_number = self._new_engine(dimensions), -1
        if number != self._block_number:
            if self._engine.num_generated > number * BLOCK:
                self._engine.reset()
            if number * BLOCK > self._engine.num_generated:
                self._engine.fast_forward(number * BLOCK - self._engine.num_generated)
            self._block, self._block_number = self._engine.random(BLOCK), number
        return self._block[position % BLOCK]

    def _new_engine(self, dimensions: int) -> QMCEngine:
        # Imported late: scipy.stats takes most of a second, and other searchers do without.
        from scipy.stats import qmc

        generator = np.random.default_rng(self.seed)
        if self.sequence == "sobol":
            return qmc.Sobol(dimensions, scramble=True, seed=generator)
        return qmc.Halton(dimensions, scramble=True, seed=generator)
