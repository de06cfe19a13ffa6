"""What one hyperparameter may be: its values, how they are drawn, and how they are moved.

``from_unit`` and ``to_unit`` are Keras Tuner's ``prob_to_value`` and ``value_to_prob``, with three defects mended:

* a value that float rounding takes out of the bounds is clipped to them;
* a linear float step counts its values with a tolerance, so 0, 0.1, ... 1 has the 11 values that Keras Tuner documents
  and not the 10 that ``1.0 // 0.1`` gives: the upper end can be drawn;
* the way back to the unit interval takes the nearest step, where ``//`` may take the one before.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kt_ext.core.decision import Value

SCALES = ("linear", "log", "reverse_log")
# Keras Tuner's own tolerance when it counts logarithmic steps.
_STEP_TOLERANCE = 1e-8


class _Domain(ABC):
    """What every domain can do. A finite one numbers its values 0, 1, ... ``count - 1``, in the order of the units."""

    @property
    @abstractmethod
    def count(self) -> int | None:
        """The number of distinct values, None when infinite."""

    @abstractmethod
    def at(self, index: int) -> Value:
        """The value with this number; only for a finite domain."""

    @abstractmethod
    def index(self, value: Value) -> int | None:
        """The number of a value, compared by ``==``; None if it is not in the domain or the domain is infinite."""

    @abstractmethod
    def from_unit(self, unit: float) -> Value:
        """The value at ``unit``, in [0, 1]; a uniform unit gives the distribution that the user asked for."""

    @abstractmethod
    def to_unit(self, value: Value) -> float:
        """A unit that leads to ``value``, or to the nearest value of the domain; NaN if there is no such thing."""

    @abstractmethod
    def perturb(self, value: Value, rng: np.random.Generator, factors: Sequence[float]) -> Value:
        """A value near ``value``, inside the domain."""

    @abstractmethod
    def problem(self, value: object) -> str | None:
        """The rule that ``value`` breaks and the remedy, or None if it is a value of this domain."""


@dataclass(frozen=True)
class _Number(_Domain):
    low: float
    high: float
    step: float | None = None
    scale: str = "linear"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"scale={self.scale!r}: must be one of {', '.join(SCALES)}")
        if not math.isfinite(self.high - self.low):
            raise ValueError(f"low={self.low}, high={self.high}: the range must be finite; narrow it")
        if self.low > self.high:
            raise ValueError(f"low={self.low}: must not exceed high={self.high}; exchange the two")
        if self.scale != "linear" and self.low <= 0:
            raise ValueError(f"low={self.low}: must be > 0 on a {self.scale} scale; raise it or use scale='linear'")
        least = 0 if self.scale == "linear" else 1
        if self.step is not None and not least < self.step < math.inf:
            raise ValueError(f"step={self.step}: must be > {least} on a {self.scale} scale; use None for no step")

    def _steps(self) -> int:
        """How many values lie ``step`` apart."""
        assert self.step is not None
        if self.scale == "linear":
            return math.floor((self.high - self.low) / self.step + _STEP_TOLERANCE) + 1
        return int(math.log(self.high / self.low, self.step) + _STEP_TOLERANCE) + 1

    def _at_step(self, index: int) -> float:
        """Step ``index``. On a reverse logarithmic scale the steps descend from ``high``, as in Keras Tuner."""
        assert self.step is not None
        if self.scale == "linear":
            value = self.low + index * self.step
        elif self.scale == "log":
            value = self.low * self.step**index
        else:
            value = self.high + self.low - self.low * self.step**index
        return min(max(value, self.low), self.high)

    def _nearest_step(self, value: float) -> int:
        assert self.step is not None
        value = min(max(value, self.low), self.high)
        if self.scale == "linear":
            position = (value - self.low) / self.step
        else:
            ratio = value / self.low if self.scale == "log" else (self.high - value + self.low) / self.low
            position = math.log(ratio, self.step)
        return min(max(round(position), 0), self._steps() - 1)

    def _stretch(self, unit: float, high: float) -> float:
        """The unit interval onto [low, high]."""
        if self.scale == "linear":
            return unit * (high - self.low) + self.low
        if self.scale == "log":
            return self.low * math.pow(high / self.low, unit)
        return high + self.low - self.low * math.pow(high / self.low, 1 - unit)

    def _squash(self, value: float, high: float) -> float:
        """The inverse of ``_stretch``."""
        if high == self.low:
            return 0.5
        if self.scale == "linear":
            return (value - self.low) / (high - self.low)
        if self.scale == "log":
            return math.log(value / self.low) / math.log(high / self.low)
        return 1.0 - math.log((high + self.low - value) / self.low) / math.log(high / self.low)

    @abstractmethod
    def nearest(self, value: float) -> Value:
        """The value of the domain that is nearest to ``value``."""

    def perturb(self, value: Value, rng: np.random.Generator, factors: Sequence[float]) -> Value:
        """``value`` times one of ``factors``, brought back to the bounds and the step.

        Where a discrete value does not change by that, it moves to the next one in the factor's direction, if there
        is one. Without a step a zero stays zero.
        """
        if isinstance(value, str):
            return self.from_unit(rng.random())
        start = self.nearest(float(value))
        factor = factors[int(rng.integers(len(factors)))]
        moved = self.nearest(float(start) * factor)
        index = self.index(start)
        if moved != start or factor == 1 or index is None or self.count is None:
            return moved
        upwards = factor > 1 if float(start) >= 0 else factor < 1
        if self.step is not None and self.scale == "reverse_log":
            upwards = not upwards
        index += 1 if upwards else -1
        return self.at(index) if 0 <= index < self.count else start

    def _breach(self, value: float) -> str | None:
        if not self.low <= value <= self.high:
            return f"must be between {self.low} and {self.high}; choose a value inside or widen the bounds"
        if self.step is not None and not math.isclose(float(self.nearest(value)), value, rel_tol=1e-9, abs_tol=1e-12):
            return f"must be a multiple of step={self.step} from low={self.low}; the nearest is {self.nearest(value)}"
        return None


@dataclass(frozen=True)
class Float(_Number):
    """A float in [low, high].

    Args:
        low: the least value.
        high: the greatest value.
        step: the distance of two values, or their ratio on a logarithmic scale; None for a continuous range.
        scale: "linear", "log" (equal mass for equal ratios) or "reverse_log" (the same, counted down from ``high``).
    """

    def __post_init__(self) -> None:
        for name in ("low", "high") if self.step is None else ("low", "high", "step"):
            object.__setattr__(self, name, float(getattr(self, name)))
        super().__post_init__()

    @cached_property
    def count(self) -> int | None:
        if self.step is not None:
            return self._steps()
        return 1 if self.low == self.high else None

    def at(self, index: int) -> float:
        return self.low if self.step is None else float(self._at_step(index))

    def index(self, value: Value) -> int | None:
        if self.count is None or not isinstance(value, (int, float)):
            return None
        index = 0 if self.step is None else self._nearest_step(value)
        return index if self.at(index) == value else None

    def from_unit(self, unit: float) -> float:
        if self.step is not None:
            return self.at(_bucket(unit, self._steps()))
        return min(max(self._stretch(unit, self.high), self.low), self.high)

    def to_unit(self, value: Value) -> float:
        if isinstance(value, str):
            return math.nan
        if self.step is not None:
            return _centre(self._nearest_step(float(value)), self._steps())
        return min(max(self._squash(self.nearest(float(value)), self.high), 0.0), 1.0)

    def nearest(self, value: float) -> float:
        if self.step is not None:
            return self.at(self._nearest_step(value))
        return min(max(float(value), self.low), self.high)

    def problem(self, value: object) -> str | None:
        if type(value) not in (float, int):
            return f"must be a plain float, not {type(value).__name__}; convert it"
        return self._breach(value)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Int(_Number):
    """An integer in [low, high], both ends included.

    Args:
        low: the least value.
        high: the greatest value.
        step: the distance of two values, or their ratio on a logarithmic scale; None for every integer.
        scale: "linear", "log" (equal mass for equal ratios) or "reverse_log" (the same, counted down from ``high``).
    """

    low: int
    high: int
    step: int | None = None
    scale: str = "linear"

    def __post_init__(self) -> None:
        for name in ("low", "high") if self.step is None else ("low", "high", "step"):
            given = getattr(self, name)
            if int(given) != given:
                raise ValueError(f"{name}={given}: must be an integer; use Float for other numbers")
            object.__setattr__(self, name, int(given))
        super().__post_init__()

    @cached_property
    def count(self) -> int:
        return self.high - self.low + 1 if self.step is None else self._steps()

    def _steps(self) -> int:
        assert self.step is not None
        # Integers need no tolerance, and large ones must not pass through a float.
        return (self.high - self.low) // self.step + 1 if self.scale == "linear" else super()._steps()

    def at(self, index: int) -> int:
        return self.low + index if self.step is None else int(self._at_step(index))

    def index(self, value: Value) -> int | None:
        if not isinstance(value, (int, float)) or not self.low <= value <= self.high or int(value) != value:
            return None
        index = int(value) - self.low if self.step is None else self._nearest_step(value)
        return index if self.at(index) == value else None

    def from_unit(self, unit: float) -> int:
        if self.step is None and self.scale != "linear":
            # + 1: each integer owns the interval up to the next one, the last included.
            return min(max(int(self._stretch(unit, self.high + 1)), self.low), self.high)
        return self.at(_bucket(unit, self.count))

    def to_unit(self, value: Value) -> float:
        if isinstance(value, str):
            return math.nan
        nearest = self.nearest(float(value))
        if self.step is None and self.scale != "linear":
            return self._squash(nearest + 0.5, self.high + 1)
        index = self.index(nearest)
        assert index is not None
        return _centre(index, self.count)

    def nearest(self, value: float) -> int:
        if self.step is not None:
            return self.at(self._nearest_step(value))
        return round(min(max(value, self.low), self.high))

    def problem(self, value: object) -> str | None:
        if type(value) is not int:
            return f"must be a plain int, not {type(value).__name__}; convert it"
        return self._breach(value)


@dataclass(frozen=True)
class Choice(_Domain):
    """One of ``values``.

    Args:
        values: at least one bool, int, float or str; one that is listed twice is drawn twice as often.
        ordered: whether neighbours are alike. Numbers are neighbours in order of size, others as listed.
    """

    values: tuple[Value, ...]
    ordered: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values:
            raise ValueError("values=(): must hold at least one value; give one or leave the parameter out")
        for value in self.values:
            _check_plain("values", value)

    @cached_property
    def _distinct(self) -> tuple[Value, ...]:
        return tuple(dict.fromkeys(self.values))

    @cached_property
    def _numbers(self) -> dict[Value, int]:
        return {value: number for number, value in enumerate(self._distinct)}

    @cached_property
    def _by_size(self) -> tuple[Value, ...]:
        numeric = not any(isinstance(value, str) for value in self.values)
        return tuple(sorted(self._distinct)) if numeric else self._distinct  # type: ignore[type-var]

    @property
    def count(self) -> int:
        return len(self._distinct)

    def at(self, index: int) -> Value:
        return self._distinct[index]

    def index(self, value: Value) -> int | None:
        return self._numbers.get(value)

    def from_unit(self, unit: float) -> Value:
        return self.values[_bucket(unit, len(self.values))]

    def to_unit(self, value: Value) -> float:
        if value not in self._numbers:
            return math.nan
        return _centre(self.values.index(value), len(self.values))

    def perturb(self, value: Value, rng: np.random.Generator, factors: Sequence[float]) -> Value:
        """A neighbour of an ordered choice, any other value of an unordered one."""
        if value not in self._numbers:
            return self.from_unit(rng.random())
        others = [other for other in self._distinct if other != value]
        if self.ordered:
            place = self._by_size.index(value)
            others = [self._by_size[near] for near in (place - 1, place + 1) if 0 <= near < self.count]
        return others[int(rng.integers(len(others)))] if others else value

    def problem(self, value: object) -> str | None:
        if any(value == own and type(value) is type(own) for own in self.values):
            return None
        return f"must be one of {list(self.values)}; choose one of them or add it to the choices"


@dataclass(frozen=True)
class Boolean(_Domain):
    """False or True."""

    @property
    def count(self) -> int:
        return 2

    def at(self, index: int) -> bool:
        return bool(index)

    def index(self, value: Value) -> int | None:
        return int(value) if value in (False, True) else None

    def from_unit(self, unit: float) -> bool:
        return bool(unit >= 0.5)

    def to_unit(self, value: Value) -> float:
        return 0.75 if value else 0.25

    def perturb(self, value: Value, rng: np.random.Generator, factors: Sequence[float]) -> bool:
        """The same: there is nothing nearby."""
        return bool(value)

    def problem(self, value: object) -> str | None:
        return None if type(value) is bool else f"must be a plain bool, not {type(value).__name__}; convert it"


@dataclass(frozen=True)
class Fixed(_Domain):
    """Always ``value``."""

    value: Value

    def __post_init__(self) -> None:
        _check_plain("value", self.value)

    @property
    def count(self) -> int:
        return 1

    def at(self, index: int) -> Value:
        return self.value

    def index(self, value: Value) -> int | None:
        return 0 if value == self.value else None

    def from_unit(self, unit: float) -> Value:
        return self.value

    def to_unit(self, value: Value) -> float:
        return 0.5

    def perturb(self, value: Value, rng: np.random.Generator, factors: Sequence[float]) -> Value:
        return self.value

    def problem(self, value: object) -> str | None:
        if value == self.value and type(value) is type(self.value):
            return None
        return f"must be {self.value!r}, it is fixed; leave it out or make it tunable"


Domain = Float | Int | Choice | Boolean | Fixed
_KINDS: dict[str, type] = {cls.__name__.lower(): cls for cls in (Float, Int, Choice, Boolean, Fixed)}


def domain_to_json(domain: Domain) -> dict[str, Any]:
    """The domain as a JSON object, e.g. ``{"type": "int", "low": 1, "high": 9, "step": null, "scale": "log"}``."""
    return {"type": type(domain).__name__.lower(), **asdict(domain)}


def domain_from_json(record: Mapping[str, Any]) -> Domain:
    """The inverse of ``domain_to_json``. Raises KeyError for an unknown type."""
    fields = dict(record)
    return _KINDS[fields.pop("type")](**fields)


def _bucket(unit: float, count: int) -> int:
    """Which of ``count`` equal parts of the unit interval holds ``unit``, divided as Keras Tuner does, to the bit."""
    return min(math.floor(unit / (1 / count)), count - 1)


def _centre(index: int, count: int) -> float:
    return (index + 0.5) * (1 / count)


def _check_plain(argument: str, value: object) -> None:
    if type(value) not in (bool, int, float, str) or value != value:
        raise ValueError(f"{argument}={value!r}: must be a plain bool, int, float or str and not NaN; convert it")
