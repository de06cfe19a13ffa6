"""A search space seen as its unit cube: many configurations at once, as rows of one array."""

from __future__ import annotations

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.space import Boolean, Choice, Condition, Fixed, Parameter, Space

# A domain of more values than this counts as continuous: its parts of the unit interval are too narrow to matter.
TABLED = 1024


class Cube:
    """The unit cube of a space. A row is what ``space.encode`` gives: NaN where a parameter is inactive.

    Args:
        space: the search space.

    Attributes:
        levels: for each parameter the units of its values, ascending, shape (count,), as ``space.encode`` gives them;
            None where there are infinitely many, or very many.
        unordered: for each parameter whether its values have no order: a Boolean, or a Choice that is not ordered.
        free: for each parameter whether it has more than one value.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.levels = [_levels(parameter) for parameter in space.parameters]
        self.unordered = np.array([_is_unordered(parameter) for parameter in space.parameters], dtype=bool)
        self.free = np.array([parameter.domain.count != 1 for parameter in space.parameters], dtype=bool)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """``n`` random configurations, shape (n, n_parameters)."""
        return self.settle(rng.random((n, len(self.levels))), rng)

    def settle(self, units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The nearest configurations of the space, a new array of shape (n, n_parameters).

        Coordinates go to the nearest value of their domain, inactive ones become NaN, active ones that are NaN are
        drawn.

        Args:
            units: coordinates in [0, 1] or NaN, shape (n, n_parameters).
            rng: the source of randomness.
        """
        settled = np.full(units.shape, np.nan)
        places: dict[str, list[int]] = {}
        for place, parameter in enumerate(self.space.parameters):
            active = np.ones(len(units), dtype=bool)
            for condition in parameter.conditions:
                active &= self._holds(condition, settled, places)
            for earlier in places.get(parameter.name, ()):  # of several under one name the first counts
                active &= np.isnan(settled[:, earlier])
            places.setdefault(parameter.name, []).append(place)
            column = units[active, place]
            missing = np.isnan(column)
            if missing.any():
                column = np.where(missing, rng.random(len(column)), column)
            settled[active, place] = self._nearest(place, column)
        return settled

    def _holds(self, condition: Condition, settled: np.ndarray, places: dict[str, list[int]]) -> np.ndarray:
        """Where the condition holds, shape (n,)."""
        holds = np.zeros(len(settled), dtype=bool)
        for parent in places[condition.parent]:
            rows = np.flatnonzero(~np.isnan(settled[:, parent]))
            units, inverse = np.unique(settled[rows, parent], return_inverse=True)
            domain = self.space.parameters[parent].domain
            met = np.array([domain.from_unit(unit) in condition.values for unit in units.tolist()], dtype=bool)
            holds[rows] = met[inverse]
        return holds

    def _nearest(self, place: int, column: np.ndarray) -> np.ndarray:
        levels = self.levels[place]
        if levels is None:
            return np.clip(column, 0.0, 1.0)
        return levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, column)]


def first_untried(units: np.ndarray, space: Space, history: History) -> dict[str, Value] | None:
    """The values of the first row that no trial has or had, None if all were tried.

    Args:
        units: configurations in the order of preference, shape (n, n_parameters).
        space: the search space.
        history: all trials so far.
    """
    for unit in units:
        values = space.decode(unit)
        if not history.contains(values):
            return values
    return None


def _levels(parameter: Parameter) -> np.ndarray | None:
    domain = parameter.domain
    if domain.count is None or domain.count > TABLED:
        return None
    return np.unique([domain.to_unit(domain.at(index)) for index in range(domain.count)])


def _is_unordered(parameter: Parameter) -> bool:
    domain = parameter.domain
    return isinstance(domain, (Boolean, Fixed)) or (isinstance(domain, Choice) and not domain.ordered)
