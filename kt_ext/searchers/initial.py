"""Values that are to be tried before the searcher is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Space


class ToTry:
    """Goes through a list of values and leaves out what a trial has or had before, perhaps with more parameters.

    Args:
        values: in the order in which they are to be tried.
    """

    def __init__(self, values: Sequence[Mapping[str, Value]]) -> None:
        self.values = tuple(dict(each) for each in values)
        self._key: object = None
        self._followed = 0
        self._left: list[dict[str, Value]] = []

    def first(self, history: History) -> Mapping[str, Value] | None:
        """The first that were not tried yet; None when all were. What was tried stays tried."""
        if self._key is not history.identity:
            self._key, self._followed, self._left = history.identity, 0, list(self.values)
        new = history.configurations[self._followed :]
        self._followed += len(new)
        # A parameter that showed only in training is in the trial's configuration by now.
        self._left = [values for values in self._left if not any(values.items() <= each.items() for each in new)]
        return self._left[0] if self._left else None


class InitialValues(AbstractSearcher):
    """Proposes given values first, in order, those left out that a trial has or had before.

    Args:
        searcher: proposes all that follows.
        values: of the active parameters, for each trial.
        completed: adds values for parameters that have become known since; None where there are none.
    """

    def __init__(
        self,
        searcher: AbstractSearcher,
        values: Sequence[Mapping[str, Value]],
        completed: Callable[[Mapping[str, Value]], Mapping[str, Value]] | None = None,
    ) -> None:
        self.searcher = searcher
        self._to_try = ToTry(values)
        self._completed = dict if completed is None else completed

    @property
    def on_record(self) -> str:
        """As the searcher that comes after."""
        return self.searcher.on_record

    def propose(self, history: History, space: Space, rng: np.random.Generator) -> Mapping[str, Value]:
        """The first values that were not tried yet, then the searcher's. Raises SpaceExhausted as that does."""
        values = self._to_try.first(history)
        return self.searcher.propose(history, space, rng) if values is None else self._completed(values)
