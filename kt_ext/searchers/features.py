"""A mixed, conditional space as inputs of a model that measures distances."""

from __future__ import annotations

import numpy as np

from kt_ext.searchers.cube import Cube

#: Where an inactive parameter is put: in the middle, as near to all values as can be.
MIDDLE = 0.5


class Features:
    """Maps rows of a cube to inputs of a model.

    A number or an ordered choice is one input. An unordered choice of k values is k indicators, any two values at the
    distance 1. A parameter with conditions has one more input, which says whether it is active. Inputs that belong
    together share a group, and so a length scale; the indicator of being active has a group of its own. Parameters of
    a single value are left out.

    Args:
        cube: the space.

    Attributes:
        groups: the group of each input, shape (n_inputs,).
    """

    def __init__(self, cube: Cube) -> None:
        self._levels, self._unordered = cube.levels, cube.unordered
        conditional = [bool(parameter.conditions) for parameter in cube.space.parameters]
        groups: list[int] = []
        self._columns: list[tuple[int, str]] = []
        for place, levels in enumerate(cube.levels):
            single = levels is not None and len(levels) == 1
            for kind in ("" if single else "value", "active" if conditional[place] else ""):
                if kind:
                    self._columns.append((place, kind))
                    width = len(levels) if kind == "value" and levels is not None and cube.unordered[place] else 1
                    groups += [len(self._columns) - 1] * width
        self.groups = np.array(groups, dtype=int)

    def __call__(self, units: np.ndarray) -> np.ndarray:
        """Inputs of shape (n, n_inputs) of rows of shape (n, n_parameters), NaN where a parameter is inactive."""
        columns = []
        for place, kind in self._columns:
            column, levels = units[:, place], self._levels[place]
            active = ~np.isnan(column)
            if kind == "active":
                columns.append(active[:, None].astype(float))
            elif self._unordered[place] and levels is not None:
                # Two indicators differ where two values do: 1/2 + 1/2.
                hot = (np.abs(column[:, None] - levels) < 1e-9) * np.sqrt(0.5)
                columns.append(np.where(active[:, None], hot, np.sqrt(0.5) / len(levels)))
            else:
                columns.append(np.where(active, column, MIDDLE)[:, None])
        return np.concatenate(columns, axis=1) if columns else np.empty((len(units), 0))
