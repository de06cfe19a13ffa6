"""Live values on JAX: a variable that is part of the model's state, which the jitted step takes as its input."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np

from kt_ext.training.live_float import VARIABLE_NAME, LiveFloat


class JaxLiveFloat(LiveFloat):
    """A variable tracked by the optimizer, or else by the model; untracked, JAX would bake its value in without a word.

    The variable holds the value and one minus the value, each rounded from double precision: Keras's dropout computes
    ``1 - rate`` in Python, and a float32 subtraction would differ in the last bit.
    """

    # A Python float takes the dtype of the other operand, which a float32 array does only if that is float32 too.
    dtypes = frozenset({"float32"})

    def __init__(self, value: float, below: float = 1.0) -> None:
        self.value, self.below = value, below
        self._variable = keras.Variable(
            _pair(value), dtype="float32", trainable=False, autocast=False, name=VARIABLE_NAME
        )
        self._holder = _Holder(self._variable)

    @classmethod
    def fits(cls, model: Any, owner: Any) -> bool:
        if isinstance(owner, keras.optimizers.Optimizer):
            return hasattr(owner, "_track_variable") and hasattr(owner, "_untrack_variable")
        return "seed_generators" in getattr(getattr(model, "_tracker", None), "config", {})

    def assign(self, value: float) -> None:
        self._variable.assign(_pair(value))
        self.value = value

    def track(self, model: Any, owner: Any) -> None:
        # Private, for there is no public way to add state to a built model; Optimizer.add_variable is public, but
        # cannot take the variable back when it is attached again.
        if isinstance(owner, keras.optimizers.Optimizer):
            owner._track_variable(self._variable)
        else:
            self._in_tracker_of(model, track=True)

    def untrack(self, model: Any, owner: Any) -> None:
        if isinstance(owner, keras.optimizers.Optimizer):
            owner._untrack_variable(self._variable)
        else:
            self._in_tracker_of(model, track=False)

    def _in_tracker_of(self, model: keras.Model, track: bool) -> None:
        tracker = model._tracker
        was_locked = tracker.locked
        tracker.unlock()
        if track:
            tracker.add_to_store("seed_generators", self._holder)
        else:
            tracker.untrack(self._holder)
        tracker.locked = was_locked  # Tracker.lock() would take the message of the lock from us

    def __jax_array__(self) -> jax.Array:
        return self._variable.value[0]

    def __rmul__(self, other: float) -> jax.Array:
        return other * self._variable.value[0]

    def __rsub__(self, other: float) -> jax.Array:
        value, complement = self._variable.value
        return complement if other == 1 else other - value

    def __rtruediv__(self, other: float) -> jax.Array:
        return other / self._variable.value[0]


class _Holder(keras.random.SeedGenerator):
    """Passes the variable off as the state of a random generator.

    So it is an input of the steps (``model.non_trainable_variables``) but no weight (``model.weights``): weights saved
    while it is attached can be loaded into a model without it.
    """

    def __init__(self, variable: keras.Variable) -> None:
        self.state = variable


def _pair(value: float) -> np.ndarray:
    return np.array([value, 1.0 - value], np.float32)
