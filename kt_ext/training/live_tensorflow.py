"""Live values on TensorFlow: a variable that the traced step captures."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kt_ext.training.live_float import VARIABLE_NAME, LiveFloat


class _Number:
    """A float64 scalar read in the step. TensorFlow computes with it as it does with a Python float.

    ``tf.nn.experimental.stateless_dropout`` computes ``1 / (1 - rate)`` in Python, in double precision, if ``rate`` is
    a ``numbers.Real``, and only then converts. Doing the same makes a live rate give the very bits of a fixed one.
    """

    def __init__(self, read: Callable[[], tf.Tensor]) -> None:
        self._read = read

    def __rmul__(self, other: float) -> _Number:
        return _Number(lambda: other * self._read()) if isinstance(other, (int, float)) else NotImplemented

    def __rsub__(self, other: float) -> _Number:
        return _Number(lambda: other - self._read()) if isinstance(other, (int, float)) else NotImplemented

    def __rtruediv__(self, other: float) -> _Number:
        return _Number(lambda: other / self._read()) if isinstance(other, (int, float)) else NotImplemented


class TensorFlowLiveFloat(LiveFloat, _Number):
    """Create it inside the scope of the model's ``tf.distribute`` strategy: the variable is then one per replica."""

    dtypes = frozenset({"float32", "float16", "bfloat16"})

    def __init__(self, value: float, below: float = 1.0) -> None:
        self.value, self.below = value, below
        self._variable = tf.Variable(
            value,
            dtype=tf.float64,
            trainable=False,
            name=VARIABLE_NAME,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        _Number.__init__(self, self._read_once)

    def _read_once(self) -> tf.Tensor:
        """One read for all of a traced step: Adam asks for beta_1 several times for each weight."""
        if tf.executing_eagerly() or tf.distribute.has_strategy():  # each device reads a variable of its own
            return self._variable.read_value()
        # With the graph, and not with us, who would keep it alive.
        known = tf.compat.v1.get_default_graph().get_collection_ref(f"{VARIABLE_NAME}_{id(self)}")
        if not known:
            known.append(self._variable.read_value())
        return known[0]

    @classmethod
    def fits(cls, model: Any, owner: Any) -> bool:
        return True

    def assign(self, value: float) -> None:
        self._variable.assign(value)
        self.value = value

    def track(self, model: Any, owner: Any) -> None:
        """Nothing: a ``tf.function`` captures every variable that it reads."""

    def untrack(self, model: Any, owner: Any) -> None:
        """Nothing."""


def _convert(value: _Number, dtype: tf.DType | None = None, name: str | None = None, as_ref: bool = False) -> Any:
    """As a Python float converts: to the dtype of the other operand, float32 if there is none."""
    if as_ref or not (dtype is None or dtype.is_floating):
        return NotImplemented
    return tf.cast(value._read(), dtype or tf.float32, name=name)


numbers.Real.register(_Number)
tf.register_tensor_conversion_function(_Number, _convert)
