"""Every configuration of a finite space, by trying every value of every active parameter in turn."""

from __future__ import annotations

from collections.abc import Iterator

from kt_ext.core.decision import Value
from kt_ext.core.space import Space


def configurations(space: Space, values: dict[str, Value] | None = None, place: int = 0) -> Iterator[dict[str, Value]]:
    """The configurations in lexicographic order, parameters in the order of the space."""
    values = values or {}
    if place == len(space.parameters):
        yield values
        return
    parameter = space.parameters[place]
    met = all(c.parent in values and any(values[c.parent] == v for v in c.values) for c in parameter.conditions)
    if parameter.name in values or not met:
        yield from configurations(space, values, place + 1)
        return
    assert parameter.domain.count is not None
    for index in range(parameter.domain.count):
        yield from configurations(space, {**values, parameter.name: parameter.domain.at(index)}, place + 1)
