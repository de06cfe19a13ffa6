"""Synaptic flow of networks of any depth, in single precision.

Tanaka, Kunin, Yamins and Ganguli (2020), "Pruning neural networks without any data by iteratively conserving synaptic
flow"; as a measure of architectures Abdelfattah et al. (2021): with absolute weights, an input of ones and R the sum of
the outputs, the sum of ``weight * dR/dweight`` over all kernels. Normalizations are left out as in their code; biases
are 0, and activations the identity, as ReLU is of what is positive.

R grows exponentially with depth and leaves even double precision. But such a network is homogeneous: each output can be
divided by a power of two, and the exponents be counted beside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from kt_ext.networks.gradients import variable_gradients

#: Layers that are passed by.
_PASSED = (
    *(layers.BatchNormalization, layers.LayerNormalization, layers.GroupNormalization, layers.UnitNormalization),
    *(layers.Activation, layers.Softmax, layers.Dropout),
)
#: Names of layers and operations of several inputs, whose output is in the units that the inputs have in common.
_MERGES = ("Add", "Concatenate", "Average", "Maximum", "Stack")
#: Names of variables that are added.
_ADDED = ("bias", "beta")

#: By how many powers of two an output is to be divided; called for each in the order of their computation.
Shift = Callable[[Any], int]


@dataclass(frozen=True)
class _Scaled:
    """``tensor * 2**exponent``."""

    tensor: Any
    exponent: int


def synflow(model: keras.Model) -> float:
    """The natural logarithm of the synaptic flow; ``-inf`` if no path leads through the network.

    Raises:
        ValueError: the model is no graph of layers with one input and one output, or merges outputs in a way unknown.
    """
    variables = list(model.trainable_variables)
    arrays = [variable.numpy().astype("float32") for variable in variables]
    kernels = [array.ndim > 1 for array in arrays]
    values = [
        np.zeros_like(array) if variable.name in _ADDED else np.abs(array)
        for variable, array in zip(variables, arrays, strict=True)
    ]
    # The shifts are found beforehand: where gradients are taken, the outputs are no numbers on JAX.
    shifts: list[int] = []

    def find(output: Any) -> int:
        largest = float(ops.max(output))
        shifts.append(math.frexp(largest)[1] if largest > 0 else 0)
        return shifts[-1]

    def known() -> Any:
        again = iter(shifts)
        return _flow(model, lambda output: next(again)).tensor

    with _linear(model):
        tensors = map(ops.convert_to_tensor, values)
        with keras.StatelessScope(state_mapping=list(zip(variables, tensors, strict=True))):
            exponent = _flow(model, find).exponent
        _, gradients = variable_gradients(known, variables, values)
    flow = sum(
        float(np.sum(value.astype("float64") * gradient))
        for value, gradient, kernel in zip(values, gradients, kernels, strict=True)
        if kernel
    )
    return math.log(flow) + exponent * math.log(2) if flow > 0 else -math.inf


def _flow(model: keras.Model, shift: Shift) -> _Scaled:
    """The sum of the outputs for an input of ones."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"model: has {len(model.inputs)} inputs and {len(model.outputs)} outputs; synflow needs one of each"
        )
    ones = _Scaled(ops.ones((1, *model.inputs[0].shape[1:])), 0)
    output = _through(model, ones, shift)
    return _Scaled(ops.sum(output.tensor), output.exponent)


def _through(model: keras.Model, given: Any, shift: Shift) -> _Scaled:
    """What a model gives for scaled inputs; models within it are gone through likewise."""

    def scaled(operation: Any) -> Callable[..., _Scaled]:
        def run(*args: Any, **kwargs: Any) -> _Scaled:
            inputs = [leaf for leaf in keras.tree.flatten((args, kwargs)) if isinstance(leaf, _Scaled)]
            if isinstance(operation, _PASSED):
                return inputs[0]
            if isinstance(operation, keras.Model) and operation.inputs:
                return _through(operation, args[0], shift)
            if len(inputs) > 1 and type(operation).__name__ not in _MERGES:
                raise ValueError(
                    f"layer {operation.name!r}: synflow knows of layers of several inputs {', '.join(_MERGES)}; use "
                    "measure='jacob_cov' or 'grad_norm'"
                )
            exponent = max(each.exponent for each in inputs)

            def aligned(leaf: Any) -> Any:
                return leaf.tensor * 2.0 ** (leaf.exponent - exponent) if isinstance(leaf, _Scaled) else leaf

            args, kwargs = keras.tree.map_structure(aligned, (args, kwargs))
            output = operation(*args, **kwargs)
            power = shift(output)
            return _Scaled(output * 2.0**-power, exponent + power)

        return run

    # private, as there is no public way to compute a graph by other means; a Sequential has its graph within
    graph = model if hasattr(model, "_run_through_graph") else keras.Function(model.inputs, model.outputs)
    return keras.tree.flatten(graph._run_through_graph(given, operation_fn=scaled))[0]


def _layers_of(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """All layers, those of models within it too."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers_of(layer)
        else:
            yield layer


@contextmanager
def _linear(model: keras.Model) -> Iterator[None]:
    """Within it the layers of the model have no activation functions."""
    bent = [layer for layer in _layers_of(model) if callable(getattr(layer, "activation", None))]
    functions = [layer.activation for layer in bent]
    try:
        for layer in bent:
            layer.activation = keras.activations.linear
        yield
    finally:
        for layer, function in zip(bent, functions, strict=True):
            layer.activation = function
