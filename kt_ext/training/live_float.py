"""What a live value looks like to Keras: a Python float while it traces, a variable in the step that comes of it."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

#: The name of every variable behind a live value, by which it is kept out of a model's state.
VARIABLE_NAME = "kt_ext_live_value"


class LiveFloat(ABC):
    """Stands in an attribute such as ``Dropout.rate`` and yields the value of a variable in tensor arithmetic.

    Keras asks an attribute ``if rate > 0`` or ``rate == 1.0`` while it traces. The answer is that of a number between
    0 and ``below``, exclusive: the general case. A question that cannot be answered so, and ``float()``, raise
    TypeError, for a number that slips out as a Python float is baked into the step for good.

    Attributes:
        value: the number it stands for now.
        below: what all its values are less than.
        dtypes: of tensors with which it computes in Keras's noise layers as a Python float would.
    """

    value: float
    below: float
    dtypes: ClassVar[frozenset[str]]

    @abstractmethod
    def __init__(self, value: float, below: float = 1.0) -> None: ...

    @classmethod
    @abstractmethod
    def fits(cls, model: Any, owner: Any) -> bool:
        """Whether the variable can be made an input of the model's step for an attribute of ``owner``."""

    @abstractmethod
    def assign(self, value: float) -> None:
        """Change the number, on every replica, for the very next step."""

    @abstractmethod
    def track(self, model: Any, owner: Any) -> None:
        """Make the variable an input of the model's steps, if the backend asks for it."""

    @abstractmethod
    def untrack(self, model: Any, owner: Any) -> None:
        """Undo ``track``."""

    def __bool__(self) -> bool:
        return True

    def __float__(self) -> float:
        raise TypeError(f"{self!r} has no fixed value: float() would bake it into the traced step; read .value")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value})"

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other if isinstance(other, LiveFloat) else self._answer(operator.eq, other)

    def __lt__(self, other: object) -> bool:
        return self._answer(operator.lt, other)

    def __le__(self, other: object) -> bool:
        return self._answer(operator.le, other)

    def __gt__(self, other: object) -> bool:
        return self._answer(operator.gt, other)

    def __ge__(self, other: object) -> bool:
        return self._answer(operator.ge, other)

    def _answer(self, question: Callable[[float, Any], bool], other: Any) -> Any:
        if not isinstance(other, (int, float)):
            return NotImplemented  # a tensor knows how to compare itself; anything else is simply not equal
        if other <= 0 or other >= self.below:
            return question(0.5, other)
        raise TypeError(f"{self!r} {question.__name__} {other}: a live value cannot decide this while tracing")
