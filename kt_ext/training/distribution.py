"""Strategies of ``tf.distribute``: which ones a search can use, and variables whose replicas differ.

Under ``MirroredStrategy`` most variables are equal on all replicas. Those that a layer updates in the step and that are
not aggregated then are not: the moving statistics of BatchNormalization are each replica's own (Keras 3 makes them with
``aggregation="none"``), and reading one gives that of the first. So each replica's value is part of a model's state.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


def make_strategy(distribution_strategy: Any) -> Any:
    """The strategy that a tuner's ``distribution_strategy`` means: itself, or what the function makes; None for None.

    Args:
        distribution_strategy: a ``tf.distribute.Strategy``, a function without arguments that makes one (a strategy
            cannot be pickled), or None.

    Raises:
        TypeError: it is something else.
        ValueError: the backend has no strategies, or Keras cannot ``fit`` under this one.
    """
    if distribution_strategy is None:
        return None
    if (backend := keras.backend.backend()) != "tensorflow":
        raise ValueError(f"distribution_strategy={distribution_strategy!r}: {_elsewhere(backend)}")
    import tensorflow as tf

    strategy = distribution_strategy
    if callable(strategy):
        try:
            inspect.signature(strategy).bind()
        except TypeError as error:
            raise TypeError(f"distribution_strategy={strategy!r}: a function must take no arguments: {error}") from None
        strategy = strategy()
    if not isinstance(strategy, tf.distribute.Strategy):
        made = "" if strategy is distribution_strategy else f" made {strategy!r}, which"
        raise TypeError(
            f"distribution_strategy={distribution_strategy!r}:{made} must be a tf.distribute.Strategy or a function "
            "that makes one, e.g. tf.distribute.MirroredStrategy(); use None for none"
        )
    _check_fits(strategy)
    return strategy


def _elsewhere(backend: str) -> str:
    if backend == "jax":
        return (
            "strategies are TensorFlow's, and a keras.distribution holds for the whole process; call "
            "keras.distribution.set_distribution(keras.distribution.DataParallel()) before the search, in each worker, "
            "and leave distribution_strategy out"
        )
    return f"strategies are TensorFlow's, the backend is {backend}; leave it out, and run a worker on each GPU"


def _check_fits(strategy: Any) -> None:
    import tensorflow as tf

    broken = {
        "MultiWorkerMirroredStrategy": "'PerReplica ... unsupported type', Keras issue 20585",
        "ParameterServerStrategy": "its datasets need a ClusterCoordinator, which Keras 3 does not use",
    }
    for name, why in broken.items():
        if isinstance(strategy, getattr(tf.distribute, name)):
            raise ValueError(
                f"distribution_strategy={strategy!r}: Keras 3 cannot fit under {name} ({why}); use "
                "tf.distribute.MirroredStrategy for the GPUs of one machine, and for several machines start a worker "
                "on each, which trains trials of its own (KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and _PORT)"
            )


def replicas(model: keras.Model, variable: keras.Variable) -> tuple[Any, ...]:
    """The TensorFlow variable of each replica; none where the variable is not distributed."""
    if keras.backend.backend() != "tensorflow" or model.distribute_strategy.num_replicas_in_sync == 1:
        return ()
    import tensorflow as tf

    value = variable.value
    if not isinstance(value, tf.distribute.DistributedValues):
        return ()
    return model.distribute_strategy.experimental_local_results(value)


def differing_replicas(model: keras.Model, variables: Mapping[str, keras.Variable]) -> dict[str, np.ndarray]:
    """The values on each replica, shape (replicas, *variable.shape), of those variables whose replicas may differ.

    Not read are the trainable ones and an optimizer's slots, which all replicas update with the same gradients. They
    are the most and the largest, and reading each replica would take as many times as long.

    Args:
        variables: by names that begin with ``optimizer/`` if they are the optimizer's.
    """
    found = {}
    for name, variable in variables.items():
        on_each = replicas(model, variable)
        if on_each and _may_differ(variable.value, slot=name.startswith("optimizer/") and len(variable.shape) > 0):
            found[name] = np.stack([np.asarray(one.numpy()) for one in on_each])
    return found


def _may_differ(value: Any, slot: bool) -> bool:
    import tensorflow as tf

    if value.synchronization == tf.VariableSynchronization.ON_READ:
        return True
    # TensorFlow's ``trainable`` is as the variable was made, whatever is frozen now.
    return value.aggregation == tf.VariableAggregation.NONE and not value.trainable and not slot


def as_one(variable: keras.Variable, values: np.ndarray) -> np.ndarray:
    """One value for the values of the replicas, shape variable.shape: for a model with another number of them.

    As the strategy aggregates it on reading; where that is nothing, the mean of numbers with a fraction, as Keras 2 did
    for moving statistics, and the first replica's integer.
    """
    import tensorflow as tf

    if variable.value.aggregation != tf.VariableAggregation.NONE:
        return np.asarray(variable.value.value().numpy())
    if not keras.backend.is_float_dtype(variable.dtype) or (values == values[0]).all():
        return values[0].copy()
    return values.mean(axis=0, dtype=np.float64).astype(values.dtype)
