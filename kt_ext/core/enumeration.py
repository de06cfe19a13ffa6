"""The configurations of a finite conditional space, numbered without listing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from kt_ext.core.decision import Value

if TYPE_CHECKING:
    from kt_ext.core.space import Parameter

# What later parameters can still see of the values chosen so far: (name, value) of active parents.
_State = frozenset[tuple[str, object]]
# Stands for any value that no condition mentions.
_OTHER = object()


class _Branch(NamedTuple):
    """The values numbered ``start`` to ``stop - 1`` of an active parameter, which all lead to state ``then``."""

    start: int
    stop: int
    then: _State
    active: bool = True


class Enumeration:
    """Counts, ranks and unranks configurations: distinct mappings of active names to values.

    The order is lexicographic, a parameter's values in the order of its domain, parameters as given, except that those
    linked by conditions stand together. Values that no condition tells apart share one branch, and a parent is
    forgotten after its last child, so the work grows with the conditions, not with the number of configurations.

    Args:
        parameters: parents before children.

    Attributes:
        count: the number of configurations, None when infinite.
    """

    count: int | None

    def __init__(self, parameters: tuple[Parameter, ...]) -> None:
        self._given = parameters
        self._parameters = _families(parameters)
        self._layers: list[dict[_State, list[_Branch]]] = []
        self._counts: list[dict[_State, int]] = []
        self.count = self._build()

    def _build(self) -> int | None:
        mentioned: dict[str, dict[Value, None]] = {}
        for parameter in self._parameters:
            for condition in parameter.conditions:
                mentioned.setdefault(condition.parent, {}).update(dict.fromkeys(condition.values))
        last_use: dict[str, int] = {}
        for place, parameter in enumerate(self._parameters):
            for name in (parameter.name, *(condition.parent for condition in parameter.conditions)):
                last_use[name] = place

        states: dict[_State, None] = {frozenset(): None}
        for place, parameter in enumerate(self._parameters):
            layer = {}
            for state in states:
                seen = dict(state)
                kept = {name: value for name, value in seen.items() if last_use[name] > place}
                if parameter.name in seen or not parameter.holds(seen):
                    layer[state] = [_Branch(0, 1, frozenset(kept.items()), active=False)]
                    continue
                if parameter.domain.count is None:
                    return None
                layer[state] = [
                    _Branch(start, stop, frozenset({**kept, parameter.name: token}.items()))
                    for start, stop, token in _runs(parameter, mentioned.get(parameter.name, {}))
                ]
            self._layers.append(layer)
            states = {branch.then: None for branches in layer.values() for branch in branches}

        counts = {state: 1 for state in states}
        self._counts.append(counts)
        for layer in reversed(self._layers):
            counts = {
                state: sum((branch.stop - branch.start) * counts[branch.then] for branch in branches)
                for state, branches in layer.items()
            }
            self._counts.append(counts)
        self._counts.reverse()
        return self._counts[0][frozenset()]

    def at(self, number: int) -> dict[str, Value]:
        """Configuration ``number``, from 0. Raises IndexError outside of [0, count); count must not be None."""
        if self.count is None or not 0 <= number < self.count:
            raise IndexError(f"number={number}: must be in [0, {self.count})")
        state: _State = frozenset()
        found = {}
        for place, parameter in enumerate(self._parameters):
            for branch in self._layers[place][state]:
                below = self._counts[place + 1][branch.then]
                if number < (branch.stop - branch.start) * below:
                    break
                number -= (branch.stop - branch.start) * below
            if branch.active:
                found[id(parameter)] = parameter.domain.at(branch.start + number // below)
                number %= below
            state = branch.then
        return {p.name: found[id(p)] for p in self._given if id(p) in found}

    def index(self, values: Mapping[str, Value]) -> int | None:
        """The number of a configuration, None if ``values`` is not exactly one of them."""
        if self.count is None:
            return None
        state: _State = frozenset()
        number = active = 0
        for place, parameter in enumerate(self._parameters):
            branches = self._layers[place][state]
            if not branches[0].active:
                state = branches[0].then
                continue
            own = parameter.domain.index(values[parameter.name]) if parameter.name in values else None
            if own is None:
                return None
            active += 1
            for branch in branches:
                below = self._counts[place + 1][branch.then]
                if own < branch.stop:
                    break
                number += (branch.stop - branch.start) * below
            number += (own - branch.start) * below
            state = branch.then
        return number if active == len(values) else None


def _families(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """The parameters, those linked by conditions or a shared name moved together (stable)."""
    root = {parameter.name: parameter.name for parameter in parameters}

    def find(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    for parameter in parameters:
        for condition in parameter.conditions:
            root[find(parameter.name)] = find(condition.parent)
    families: dict[str, list[Parameter]] = {}
    for parameter in parameters:
        families.setdefault(find(parameter.name), []).append(parameter)
    return tuple(parameter for family in families.values() for parameter in family)


def _runs(parameter: Parameter, mentioned: Mapping[Value, None]) -> list[tuple[int, int, object]]:
    """The domain's value numbers cut into (start, stop, token): mentioned values alone, the others as ``_OTHER``."""
    count = parameter.domain.count
    assert count is not None
    special = {index: value for value in mentioned if (index := parameter.domain.index(value)) is not None}
    runs: list[tuple[int, int, object]] = []
    start = 0
    for index in sorted(special):
        if start < index:
            runs.append((start, index, _OTHER))
        runs.append((index, index + 1, special[index]))
        start = index + 1
    if start < count:
        runs.append((start, count, _OTHER))
    return runs
