"""A searcher that knows what earlier searches have found."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kt_ext.core.decision import Observation, Value
from kt_ext.core.history import History
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Space
from kt_ext.searchers.initial import ToTry


class EarlierTrial(NamedTuple):
    """What an earlier search observed of one configuration.

    Attributes:
        values: its hyperparameters, those included that the new space may not know.
        curve: (epoch, objective) in the order of the epochs; minimised, ``inf`` the worst.
    """

    values: Mapping[str, Value]
    curve: Sequence[tuple[int, float]]

    @property
    def best(self) -> float:
        """The best objective, ``inf`` without one."""
        return min((objective for _, objective in self.curve), default=math.inf)


class WarmStart(AbstractSearcher):
    """Has another searcher propose on a history that begins with earlier trials, whose ids are negative.

    Of their values those are left out that the space does not know, or that are inactive in it, and so are trials of
    whose values none is left.

    Args:
        searcher: proposes on the merged history.
        earlier: the trials, in the order of their start, or a function that reads them, called at the first proposal.
        best: so many of the best earlier configurations are proposed first, as near as the space allows: a number out
            of bounds at the nearest bound, a parameter that it had not in the middle of its scale.
        allowed: whether values may be proposed; the next best take the place of those that may not.
    """

    def __init__(
        self,
        searcher: AbstractSearcher,
        earlier: Sequence[EarlierTrial] | Callable[[], Sequence[EarlierTrial]],
        best: int = 1,
        allowed: Callable[[Mapping[str, Value]], bool] = lambda values: True,
    ) -> None:
        self.searcher = searcher
        self.best = best
        self._allowed = allowed
        self._read = earlier if callable(earlier) else (lambda: earlier)
        self._earlier: Sequence[EarlierTrial] | None = None
        self._key: tuple[object, Space] | None = None
        self._observed = 0
        self._to_try = ToTry([])
        self._values: dict[int, Mapping[str, Value]] = {}  # of this search's trials, as they are in the merged history
        self._merged = History()

    @property
    def on_record(self) -> str:
        """As the searcher that comes after."""
        return self.searcher.on_record

    def propose(self, history: History, space: Space, rng: np.random.Generator) -> Mapping[str, Value]:
        """The best earlier values that were not tried yet, then the searcher's. Raises SpaceExhausted as that does."""
        if self._key != (history.identity, space):
            self._begin(history, space)
        values = self._to_try.first(history)
        if values is not None:
            return _completed(values, space)
        self._follow(history)
        return self.searcher.propose(self._merged, space, rng)

    def _begin(self, history: History, space: Space) -> None:
        if self._earlier is None:
            self._earlier = tuple(self._read())
        self._key, self._observed = (history.identity, space), 0
        self._values, self._merged = {}, History()
        fitting = [(trial, values) for trial in self._earlier if (values := _fitting(trial.values, space))]
        for number, (trial, values) in enumerate(fitting, start=-len(fitting)):
            self._merged.start(number, values)
            for epoch, objective in trial.curve:
                self._merged.record(Observation(number, epoch, objective))
            self._merged.end(number)
        distinct: list[dict[str, Value]] = []
        for _, values in sorted((pair for pair in fitting if pair[0].best < math.inf), key=lambda pair: pair[0].best):
            near = _near(values, space)
            if near and near not in distinct and self._allowed(_completed(near, space)):
                distinct.append(near)
        self._to_try = ToTry(distinct[: self.best])

    def _follow(self, history: History) -> None:
        """Bring the merged history up to date, at the cost of what is new and one look at each trial's values."""
        merged = self._merged
        for trial_id in history.ids:
            values = history.values(trial_id)
            if trial_id not in self._values:
                merged.start(trial_id, values)
            elif values is not self._values[trial_id]:  # changed in mid-training
                merged.assign(trial_id, values)
            self._values[trial_id] = values
        trial_ids, epochs, objectives = history.observations()
        for place in range(self._observed, len(epochs)):
            merged.record(Observation(int(trial_ids[place]), int(epochs[place]), float(objectives[place])))
        self._observed = len(epochs)
        for trial_id in merged.pending - history.pending:
            merged.end(trial_id)
        for trial_id in sorted(history.pending - merged.pending):
            merged.resume(trial_id)


def _fitting(values: Mapping[str, Value], space: Space) -> dict[str, Value]:
    """Those of the parameters that are active under them."""
    return {p.name: values[p.name] for p in space.active(values) if p.name in values}


def _near(values: Mapping[str, Value], space: Space) -> dict[str, Value]:
    """The nearest that the domains allow; those are left out that nothing is near."""
    found = {}
    for parameter in space.active(values):
        if parameter.name in values:
            value = values[parameter.name]
            unit = parameter.domain.to_unit(value)
            if parameter.domain.problem(value) is None:
                found[parameter.name] = value
            elif not math.isnan(unit):
                found[parameter.name] = parameter.domain.from_unit(unit)
    active = _completed(found, space)
    return {name: value for name, value in found.items() if name in active}


def _completed(values: Mapping[str, Value], space: Space) -> dict[str, Value]:
    """A value for every active parameter: the given one, or that in the middle of its scale."""
    whole: dict[str, Value] = {}
    for parameter in space.parameters:  # parents first
        if parameter.name not in whole and parameter.holds(whole):
            whole[parameter.name] = values.get(parameter.name, parameter.domain.from_unit(0.5))
    return whole
