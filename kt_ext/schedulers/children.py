"""How the explore step builds a child: what stays, what changes, and what follows its parent parameter."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.space import Parameter, Space


def child_of(
    donor: Mapping[str, Value],
    space: Space,
    keep: Collection[str],
    changed: Callable[[int, Parameter, Value], Value],
    drawn: Callable[[int], float],
) -> dict[str, Value]:
    """Values of the parameters that are active in the child.

    Args:
        donor: the donor's values.
        space: the search space.
        keep: names of parameters that keep the donor's values.
        changed: the place in the space of another parameter that is active in the donor, the parameter and the donor's
            value, to the child's.
        drawn: the place of a parameter that was not active in the donor, to its coordinate in [0, 1].
    """
    before = {id(parameter) for parameter in space.active(donor)}
    child: dict[str, Value] = {}
    for place, parameter in enumerate(space.parameters):
        name = parameter.name
        if name in child or not parameter.holds(child):
            continue
        if id(parameter) not in before or name not in donor:
            child[name] = parameter.domain.from_unit(drawn(place))
        elif name in keep:
            child[name] = donor[name]
        else:
            child[name] = changed(place, parameter, donor[name])
    return child


def reflected(unit: np.ndarray | float) -> np.ndarray:
    """Coordinates brought into [0, 1] by reflection, so that what lies beyond does not collect at the ends."""
    folded = np.abs(unit) % 2
    return np.minimum(folded, 2 - folded)
