"""Random search: the baseline that every other strategy has to beat (Li and Talwalkar, 2020, arXiv:1902.07638)."""

from __future__ import annotations

import numpy as np

from kt_ext.nas.records import Records
from kt_ext.nas.strategy import AbstractStrategy, Proposal


class Random(AbstractStrategy):
    """Draws each architecture as the space does, whatever the others did."""

    def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
        """Any valid architecture."""
        return Proposal(records.space.random(rng))
