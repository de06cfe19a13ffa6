"""The last resort of a searcher in a finite space: any configuration that no trial has had yet."""

from __future__ import annotations

from bisect import bisect_right, insort

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.searcher import SpaceExhausted
from kt_ext.core.space import Space


class Untried:
    """Picks among the configurations of a finite space that are not in the history.

    It keeps the sorted numbers of the tried configurations, a cache that follows the history and starts afresh when
    the space or the history is another one.
    """

    def __init__(self) -> None:
        self._key: tuple[object, Space] | None = None
        self._followed = 0
        self._tried: list[int] = []

    def pick(self, history: History, space: Space, rng: np.random.Generator) -> dict[str, Value]:
        """An untried configuration, each as likely as any other.

        Raises SpaceExhausted if there is none, ValueError for an infinite space.
        """
        if space.size is None:
            raise ValueError(f"space of {len(space.parameters)} parameters: must be finite; sample it instead")
        self._follow(history, space)
        left = space.size - len(self._tried)
        if left == 0:
            raise SpaceExhausted(f"all {space.size} configurations of the space have been tried")
        rank = min(int(rng.random() * left), left - 1)
        # tried[i] - i configurations before tried[i] are untried, so this many tried ones stand before the one we want.
        skipped = bisect_right(range(len(self._tried)), rank, key=lambda i: self._tried[i] - i)
        return space.enumeration.at(rank + skipped)

    def _follow(self, history: History, space: Space) -> None:
        if self._key != (history.identity, space):
            self._key, self._followed, self._tried = (history.identity, space), 0, []
        for values in history.configurations[self._followed :]:
            number = space.enumeration.index(values)
            # A trial from before the space grew is none of its configurations.
            if number is not None:
                insort(self._tried, number)
        self._followed = len(history.configurations)
