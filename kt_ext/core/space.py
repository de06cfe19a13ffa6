"""A search space: parameters, each with a domain and the conditions under which it is active."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.domains import Boolean, Choice, Domain, Fixed, Float, Int, domain_from_json, domain_to_json
from kt_ext.core.enumeration import Enumeration

__all__ = ["Boolean", "Choice", "Condition", "Domain", "Fixed", "Float", "Int", "Parameter", "Space"]


@dataclass(frozen=True)
class Condition:
    """Holds while the active parameter named ``parent`` has one of ``values`` (compared by ``==``)."""

    parent: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))


@dataclass(frozen=True)
class Parameter:
    """A named domain, active while all its conditions hold."""

    name: str
    domain: Domain
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(self.conditions))

    def holds(self, values: Mapping[str, object]) -> bool:
        """Whether all conditions hold, given the values of the active parameters before this one."""
        return all(c.parent in values and values[c.parent] in c.values for c in self.conditions)


class Space:
    """An immutable search space, equal to another of the same content.

    Two parameters may share a name under different conditions; values are keyed by name, and where several are active
    the first one counts. Parents are moved before their children; the order is kept otherwise.

    Args:
        parameters: in the order in which they are decided.

    Raises:
        ValueError: a condition names an unknown parent, or conditions form a cycle.

    Examples:
        >>> rate = Parameter("rate", Float(1e-4, 1e-1, scale="log"))
        >>> momentum = Parameter("momentum", Float(0.5, 0.99), (Condition("optimizer", ("sgd",)),))
        >>> space = Space([Parameter("optimizer", Choice(("sgd", "adam"))), rate, momentum])
        >>> [parameter.name for parameter in space.active({"optimizer": "adam"})]
        ['optimizer', 'rate']
        >>> space.sample(np.random.default_rng(0))["optimizer"]
        'adam'
    """

    parameters: tuple[Parameter, ...]

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self.parameters = _parents_first(tuple(parameters))
        names = [parameter.name for parameter in self.parameters]
        self._plain = len(set(names)) == len(names) and not any(p.conditions for p in self.parameters)

    def active(self, values: Mapping[str, Value]) -> tuple[Parameter, ...]:
        """The parameters that are active under (partial) ``values``, in order.

        The value of an inactive parameter activates nothing.
        """
        return tuple(self.parameters[place] for place in self._active_places(values))

    def _active_places(self, values: Mapping[str, Value]) -> Iterable[int]:
        if self._plain:
            return range(len(self.parameters))
        places = []
        seen: dict[str, Value | None] = {}
        for place, parameter in enumerate(self.parameters):
            if parameter.name not in seen and parameter.holds(seen):
                places.append(place)
                seen[parameter.name] = values.get(parameter.name)
        return places

    def sample(self, rng: np.random.Generator) -> dict[str, Value]:
        """Values of the active parameters, each drawn as its domain says. Draws one number for each parameter."""
        return self._decode(rng.random(len(self.parameters)).tolist())

    def perturb(
        self,
        values: Mapping[str, Value],
        rng: np.random.Generator,
        factors: Sequence[float] = (0.8, 1.2),
        resample_probability: float = 0.25,
        keep: Collection[str] = (),
    ) -> dict[str, Value]:
        """Values near ``values``: the explore step of population based training (Jaderberg et al., 2017).

        Each parameter is drawn anew with ``resample_probability`` (a Boolean flips instead). Else a number is
        multiplied by one of ``factors`` and brought back to its bounds and step, an ordered choice moves to a
        neighbour, an unordered one to any other value, a Boolean stays. Parameters that become active are drawn, those
        that become inactive are dropped, and so are names that the space does not know.

        Args:
            values: values of the active parameters.
            rng: the source of randomness.
            factors: what a number may be multiplied by.
            resample_probability: in [0, 1].
            keep: names of parameters that keep their values; nothing is drawn for them.
        """
        before = set(self._active_places(values))
        after: dict[str, Value] = {}
        for place, parameter in enumerate(self.parameters):
            name, domain = parameter.name, parameter.domain
            if name in after or not parameter.holds(after):
                continue
            if place not in before or name not in values:
                after[name] = domain.from_unit(rng.random())
            elif name in keep:
                after[name] = values[name]
            elif rng.random() >= resample_probability:
                after[name] = domain.perturb(values[name], rng, factors)
            elif isinstance(domain, Boolean):
                after[name] = not values[name]
            else:
                after[name] = domain.from_unit(rng.random())
        return after

    def encode(self, values: Mapping[str, Value]) -> np.ndarray:
        """``values`` as a point of the unit cube, shape (n_parameters,).

        NaN for a parameter that is inactive, that ``values`` lacks, or whose value is no longer among its choices;
        a number outside of its bounds is taken to the nearest one inside.
        """
        unit = np.full(len(self.parameters), math.nan)
        for place in self._active_places(values):
            parameter = self.parameters[place]
            if parameter.name in values:
                unit[place] = parameter.domain.to_unit(values[parameter.name])
        return unit

    def decode(self, unit: np.ndarray) -> dict[str, Value]:
        """The values of the active parameters at a point of the unit cube, shape (n_parameters,).

        Raises ValueError for another shape and for a coordinate outside of [0, 1] (or NaN) of an active parameter.
        """
        if np.shape(unit) != (len(self.parameters),):
            raise ValueError(f"unit of shape {np.shape(unit)}: must be ({len(self.parameters)},), one per parameter")
        return self._decode(np.asarray(unit, dtype=float).tolist())

    def _decode(self, unit: list[float]) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for parameter, coordinate in zip(self.parameters, unit, strict=True):
            if self._plain or (parameter.name not in values and parameter.holds(values)):
                if not 0 <= coordinate <= 1:
                    raise ValueError(f"unit of {parameter.name}={coordinate}: must be in [0, 1]; clip it")
                values[parameter.name] = parameter.domain.from_unit(coordinate)
        return values

    def validate(self, values: Mapping[str, Value]) -> None:
        """Raises ValueError unless ``values`` holds exactly the active parameters, each inside its domain."""
        active = {parameter.name: parameter for parameter in self.active(values)}
        for name, parameter in active.items():
            if name not in values:
                raise ValueError(f"{name}: is active and has no value; give it one")
            problem = parameter.domain.problem(values[name])
            if problem is not None:
                raise ValueError(f"{name}={values[name]!r}: {problem}")
        known = {parameter.name for parameter in self.parameters}
        for name in values:
            if name not in active:
                rule = "is not active under these values" if name in known else "is not a parameter of this space"
                raise ValueError(f"{name}={values[name]!r}: {rule}; leave it out")

    @cached_property
    def enumeration(self) -> Enumeration:
        """The configurations, numbered."""
        return Enumeration(self.parameters)

    @property
    def size(self) -> int | None:
        """The number of distinct configurations, None when infinite."""
        return self.enumeration.count

    def difference(self, other: Space) -> list[str]:
        """What was added, removed or changed on the way from this space to ``other``, a line for each; [] if equal."""
        lines = []
        matched, added, removed = _match(self.parameters, other.parameters)
        lines += [f"{_title(parameter)}: added {_describe(parameter.domain)}" for parameter in added]
        lines += [f"{_title(parameter)}: removed" for parameter in removed]
        for old, new in matched:
            lines += [f"{_title(new)}: {change}" for change in _changes(old, new)]
        if not lines and self != other:
            before, after = (", ".join(p.name for p in space.parameters) for space in (self, other))
            lines.append(f"order: {before} -> {after}")
        return lines

    def to_json(self) -> dict[str, Any]:
        """The space as a JSON object."""
        return {
            "parameters": [
                {
                    "name": parameter.name,
                    **domain_to_json(parameter.domain),
                    "conditions": [[c.parent, list(c.values)] for c in parameter.conditions],
                }
                for parameter in self.parameters
            ]
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Space:
        """The inverse of ``to_json``."""
        parameters = []
        for fields_ in record["parameters"]:
            domain = dict(fields_)
            name, conditions = domain.pop("name"), domain.pop("conditions")
            parameters.append(
                Parameter(name, domain_from_json(domain), tuple(Condition(p, tuple(v)) for p, v in conditions))
            )
        return cls(parameters)

    @cached_property
    def _content(self) -> str:
        # Text tells 1, 1.0 and True apart, which `==` does not.
        return json.dumps(self.to_json())

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Space) and self._content == other._content)

    def __hash__(self) -> int:
        return hash(self._content)

    def __repr__(self) -> str:
        return f"Space({list(self.parameters)})"


def _parents_first(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """The parameters, each after all those that its conditions name; otherwise in the given order."""
    names = {parameter.name for parameter in parameters}
    for parameter in parameters:
        for condition in parameter.conditions:
            if condition.parent not in names:
                raise ValueError(
                    f"{parameter.name}: its condition names {condition.parent!r}, which the space lacks; add the parent"
                )
    waiting = list(parameters)
    blocked = Counter(parameter.name for parameter in waiting)
    ordered: list[Parameter] = []
    while waiting:
        later = []
        for parameter in waiting:
            if any(blocked[condition.parent] for condition in parameter.conditions):
                later.append(parameter)
            else:
                ordered.append(parameter)
                blocked[parameter.name] -= 1
        if len(later) == len(waiting):
            cycle = ", ".join(dict.fromkeys(parameter.name for parameter in later))
            raise ValueError(f"{cycle}: their conditions form a cycle; let no parameter depend on itself")
        waiting = later
    return tuple(ordered)


def _match(
    old: tuple[Parameter, ...], new: tuple[Parameter, ...]
) -> tuple[list[tuple[Parameter, Parameter]], list[Parameter], list[Parameter]]:
    """Pairs of old and new, what was added, what was removed: by name and conditions first, then by name."""
    removed, added = list(old), list(new)
    pairs = []
    for same_conditions in (True, False):
        for parameter in list(added):
            for before in removed:
                if before.name == parameter.name and (not same_conditions or before.conditions == parameter.conditions):
                    pairs.append((before, parameter))
                    removed.remove(before)
                    added.remove(parameter)
                    break
    return pairs, added, removed


def _changes(old: Parameter, new: Parameter) -> list[str]:
    changes = []
    if type(old.domain) is not type(new.domain):
        changes.append(f"{_describe(old.domain)} -> {_describe(new.domain)}")
    else:
        for field in fields(new.domain):
            before, after = getattr(old.domain, field.name), getattr(new.domain, field.name)
            if repr(before) != repr(after):
                changes.append(f"{field.name} {_text(before)} -> {_text(after)}")
    if old.conditions != new.conditions:
        changes.append(f"conditions {_when(old) or 'none'} -> {_when(new) or 'none'}")
    return changes


def _title(parameter: Parameter) -> str:
    when = _when(parameter)
    return f"{parameter.name} ({when})" if when else parameter.name


def _when(parameter: Parameter) -> str:
    return " and ".join(f"{c.parent} in {list(c.values)}" for c in parameter.conditions)


def _describe(domain: Domain) -> str:
    shown = ", ".join(
        f"{field.name}={_text(getattr(domain, field.name))}"
        for field in fields(domain)
        if getattr(domain, field.name) is not None
    )
    return f"{type(domain).__name__}({shown})"


def _text(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)
