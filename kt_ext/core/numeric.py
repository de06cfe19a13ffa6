"""Numbers as hyperparameters: Float and Int, linear or logarithmic, with steps or without.

``from_unit`` and ``to_unit`` are Keras Tuner's ``prob_to_value`` and ``value_to_prob``, with three defects mended:

* a value that float rounding takes out of the bounds is clipped to them;
* a linear float step counts its values with a tolerance, so 0, 0.1, ... 1 has the 11 values that Keras Tuner documents
  and not the 10 that ``1.0 // 0.1`` gives: the upper end can be drawn;
* the way back to the unit interval takes the nearest step, where ``//`` may take the one before.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.domain import AbstractDomain, bucket, centre

SCALES = ("linear", "log", "reverse_log")
# Keras Tuner's own tolerance when it counts logarithmic steps.
_STEP_TOLERANCE = 1e-8


@dataclass(frozen=True)
class _Number(AbstractDomain):
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
            return self.at(bucket(unit, self._steps()))
        return min(max(self._stretch(unit, self.high), self.low), self.high)

    def to_unit(self, value: Value) -> float:
        if isinstance(value, str):
            return math.nan
        if self.step is not None:
            return centre(self._nearest_step(float(value)), self._steps())
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
        return self.at(bucket(unit, self.count))

    def to_unit(self, value: Value) -> float:
        if isinstance(value, str):
            return math.nan
        nearest = self.nearest(float(value))
        if self.step is None and self.scale != "linear":
            return self._squash(nearest + 0.5, self.high + 1)
        index = self.index(nearest)
        assert index is not None
        return centre(index, self.count)

    def nearest(self, value: float) -> int:
        if self.step is not None:
            return self.at(self._nearest_step(value))
        return round(min(max(value, self.low), self.high))

    def problem(self, value: object) -> str | None:
        if type(value) is not int:
            return f"must be a plain int, not {type(value).__name__}; convert it"
        return self._breach(value)
