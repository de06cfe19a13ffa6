"""The contract of a searcher: WHICH values a new trial gets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.space import Space


class SpaceExhausted(Exception):
    """Every configuration of the space has been proposed."""


class AbstractSearcher(ABC):
    """Proposes values for new trials.

    ``propose`` is a function of its arguments alone: what a searcher keeps between calls is a cache that can be
    thrown away. So a search goes on after a restart without the searcher having a state of its own.
    """

    @property
    def on_record(self) -> str:
        """What the journal calls it."""
        return type(self).__name__

    @abstractmethod
    def propose(self, history: History, space: Space, rng: np.random.Generator) -> Mapping[str, Value]:
        """Values of the active parameters for the next trial.

        Args:
            history: all trials so far, those still running included.
            space: the search space; it may have grown since the last call.
            rng: the only source of randomness.

        Raises:
            SpaceExhausted: no untried configuration is left.
        """
