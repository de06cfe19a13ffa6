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
#: Layers of several inputs, whose output is in the units that the inputs have in common.
_MERGES = (layers.Add, layers.Concatenate, layers.Average, layers.Maximum)
#: Names of variables that are added.
_ADDED = ("bias", "beta")

#: By how many powers of two the output of an operation (by its place) is to be divided.
Shift = Callable[[int, Any], int]


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
    shifts: dict[int, int] = {}

    def find(place: int, output: Any) -> int:
        largest = float(ops.max(output))
        shifts[place] = math.frexp(largest)[1] if largest > 0 else 0
        return shifts[place]

    with _linear(model):
        tensors = map(ops.convert_to_tensor, values)
        with keras.StatelessScope(state_mapping=list(zip(variables, tensors, strict=True))):
            _, exponent = _flow(model, find)
        _, gradients = variable_gradients(lambda: _flow(model, lambda place, _: shifts[place])[0], variables, values)
    flow = sum(
        float(np.sum(value.astype("float64") * gradient))
        for value, gradient, kernel in zip(values, gradients, kernels, strict=True)
        if kernel
    )
    return math.log(flow) + exponent * math.log(2) if flow > 0 else -math.inf


def _flow(model: keras.Model, shift: Shift) -> tuple[Any, int]:
    """The sum of the outputs for an input of ones, divided by a power of two, and its exponent."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"model: has {len(model.inputs)} inputs and {len(model.outputs)} outputs; synflow needs one of each"
        )
    entry, end = model.inputs[0], model.outputs[0]
    known = {id(entry): (ops.ones((1, *entry.shape[1:])), 0)}
    for place, operation in enumerate(getattr(model, "operations", model.layers)):
        if isinstance(operation, layers.InputLayer):
            continue
        given = [known[id(tensor)] for tensor in keras.tree.flatten(operation.input)]
        exponent = max(exponent for _, exponent in given)
        aligned = [tensor * 2.0 ** (own - exponent) for tensor, own in given]
        if isinstance(operation, _PASSED):
            output = aligned[0]
        elif len(aligned) == 1:
            output = operation(aligned[0])
        elif isinstance(operation, _MERGES):
            output = operation(aligned)
        else:
            raise ValueError(
                f"layer {operation.name!r}: synflow knows of layers of several inputs Add, Concatenate, Average and "
                "Maximum; use measure='jacob_cov' or 'grad_norm'"
            )
        power = shift(place, output)
        known[id(operation.output)] = (output * 2.0**-power, exponent + power)
    output, exponent = known[id(end)]
    return ops.sum(output), exponent


@contextmanager
def _linear(model: keras.Model) -> Iterator[None]:
    """Within it the layers of the model have no activation functions."""
    bent = [layer for layer in model.layers if callable(getattr(layer, "activation", None))]
    functions = [layer.activation for layer in bent]
    try:
        for layer in bent:
            layer.activation = keras.activations.linear
        yield
    finally:
        for layer, function in zip(bent, functions, strict=True):
            layer.activation = function
