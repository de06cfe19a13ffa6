"""Grid search: every combination, one after the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.searcher import AbstractSearcher, SpaceExhausted
from kt_ext.core.space import Choice, Domain, Float, Int, Parameter, Space


class GridSearcher(AbstractSearcher):
    """Goes through all combinations in lexicographic order and leaves out what a trial has had before.

    Nothing is drawn. Parameters that depend on another are tried under each value of it that activates them. The last
    parameter changes fastest; parameters linked by conditions stand together.

    Args:
        points: how many values stand for a number without a step: the centres of so many equal parts of its scale, as
            in Keras Tuner. An integer with no more values than that, or on a linear scale, takes them all.

    Examples:
        >>> from kt_ext.core.space import Condition
        >>> history, rng = History(), np.random.default_rng(0)
        >>> units = Parameter("units", Choice((16, 32)), (Condition("layers", (2,)),))  # there with two layers
        >>> space, searcher = Space([Parameter("layers", Int(1, 2)), units]), GridSearcher()
        >>> for trial in range(space.size):
        ...     history.start(trial, searcher.propose(history, space, rng))
        ...     print(dict(history.values(trial)))
        {'layers': 1}
        {'layers': 2, 'units': 16}
        {'layers': 2, 'units': 32}
    """

    def __init__(self, points: int = 10) -> None:
        if points < 1:
            raise ValueError(f"points={points}: must be an integer >= 1; Keras Tuner takes 10")
        self.points = points
        self._key: tuple[object, Space] | None = None
        self._grid = Space([])
        self._next = 0

    def propose(self, history: History, space: Space, rng: np.random.Generator) -> dict[str, Value]:
        """The first untried combination. Raises SpaceExhausted when there is none."""
        if self._key != (history.identity, space):
            self._key, self._next = (history.identity, space), 0
            self._grid = Space([self._with_points(parameter) for parameter in space.parameters])
        size = self._grid.size
        assert size is not None
        # What was tried stays tried, so the next call need not look at it again.
        while self._next < size:
            values = self._grid.enumeration.at(self._next)
            if not history.contains(values):
                return values
            self._next += 1
        raise SpaceExhausted(f"all {size} combinations of the grid have been tried")

    def _with_points(self, parameter: Parameter) -> Parameter:
        domain: Domain = parameter.domain
        if not isinstance(domain, (Float, Int)) or (domain.count is not None and domain.count <= self.points):
            return parameter
        if domain.step is not None or (isinstance(domain, Int) and domain.scale == "linear"):
            return parameter
        centres = ((point + 0.5) / self.points for point in range(self.points))
        values = tuple(dict.fromkeys(domain.from_unit(centre) for centre in centres))
        return replace(parameter, domain=Choice(values, ordered=True))
