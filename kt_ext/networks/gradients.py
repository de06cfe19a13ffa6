"""Gradients on any Keras backend, of a model that stays as it is.

What runs in here runs in a ``keras.StatelessScope``: moving statistics and seeds that a layer would change are changed
in the scope alone, and variables can be given other values without being assigned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np


def variable_gradients(
    function: Callable[[], Any], variables: Sequence[Any], values: Sequence[np.ndarray] | None = None
) -> tuple[float, list[np.ndarray]]:
    """A scalar and its gradients by variables.

    Args:
        function: gives a scalar tensor made with layers and ``keras.ops``.
        variables: Keras variables that it may depend on.
        values: what they are to be, in place of their own values.

    Returns:
        The scalar, and one array for each variable in its shape; zeros where the scalar does not depend on it.
    """
    points = [variable.numpy() for variable in variables] if values is None else values

    def at(tensors: list[Any]) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, tensors, strict=True))):
            return function()

    return _differentiate(at, points)


def input_gradients(function: Callable[[Any], Any], x: np.ndarray) -> tuple[float, np.ndarray]:
    """A scalar and its gradients by its input.

    Args:
        function: gives a scalar tensor of a tensor, made with layers and ``keras.ops``.
        x: where.

    Returns:
        The scalar, and an array in the shape of ``x``.
    """

    def at(tensors: list[Any]) -> Any:
        with keras.StatelessScope():
            return function(tensors[0])

    value, gradients = _differentiate(at, [x])
    return value, gradients[0]


def _differentiate(
    function: Callable[[list[Any]], Any], points: Sequence[np.ndarray]
) -> tuple[float, list[np.ndarray]]:
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _by_tensorflow(function, points)
    if backend == "jax":
        return _by_jax(function, points)
    if backend == "torch":
        return _by_torch(function, points)
    raise NotImplementedError(
        f"keras.backend.backend()={backend!r}: gradients are there on tensorflow, jax and torch; set KERAS_BACKEND"
    )


def _by_tensorflow(function: Callable[[list[Any]], Any], points: Sequence[np.ndarray]) -> tuple[float, list[Any]]:
    import tensorflow as tf

    tensors = [tf.convert_to_tensor(point) for point in points]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(tensors)
    gradients = tape.gradient(value, tensors, unconnected_gradients="zero")
    return float(value), [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]


def _by_jax(function: Callable[[list[Any]], Any], points: Sequence[np.ndarray]) -> tuple[float, list[Any]]:
    import jax

    value, gradients = jax.value_and_grad(function)([jax.numpy.asarray(point) for point in points])
    return float(value), [np.asarray(gradient) for gradient in gradients]


def _by_torch(function: Callable[[list[Any]], Any], points: Sequence[np.ndarray]) -> tuple[float, list[Any]]:
    import torch

    with torch.enable_grad():
        tensors = [keras.ops.convert_to_tensor(point).requires_grad_(True) for point in points]
        value = function(tensors)
        gradients = torch.autograd.grad(value, tensors, allow_unused=True)
    found = zip(tensors, gradients, strict=True)
    return float(value), [
        keras.ops.convert_to_numpy(torch.zeros_like(tensor) if gradient is None else gradient)
        for tensor, gradient in found
    ]
