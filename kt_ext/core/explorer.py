"""The contract of an explorer: WHICH values a trial goes on with that takes over another's state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from kt_ext.core.decision import Run, Value
from kt_ext.core.history import History
from kt_ext.core.space import Space


class AbstractExplorer(ABC):
    """The explore step of population based training. Like a searcher, it has no state but what can be thrown away.

    Attributes:
        mutable: the parameters that the user lets change in mid-training; None: all that do not shape the model.
    """

    mutable: tuple[str, ...] | None = None

    @abstractmethod
    def explore(
        self, run: Run, history: History, space: Space, structural: Collection[str], rng: np.random.Generator
    ) -> Mapping[str, Value]:
        """Values of the active parameters for the trial ``run.trial_id``.

        Args:
            run: ``run.restore`` is the donor's state; its values then are
                ``history.values_at(run.restore.trial_id, run.restore.epoch)``.
            history: all trials so far, those still running included.
            space: the search space; it may have grown since the last call.
            structural: names of parameters that must keep the donor's values, as those do that shape the model's
                variables, which come with the donor's state.
            rng: the only source of randomness.
        """

    @abstractmethod
    def configuration(self) -> dict[str, Any]:
        """The arguments of the constructor as a JSON object: a search is only gone on with under the same."""
