"""Layers that Keras does not have, made of what it has: a saved model is loaded by Keras alone."""

from __future__ import annotations

import keras

from kt_ext.nas.network import Shape


def zeros(shape: Shape, stride: int, filters: int, name: str) -> keras.layers.Layer:
    """The operation "none": zeros of the shape that a convolution with "same" padding would have, whatever comes in.

    Args:
        shape: of one input.
        stride: of all positions; an output has ceil(size / stride) of them. Of vectors it means nothing.
        filters: channels of the output.
        name: of the layer.
    """
    inputs = keras.Input(shape)
    positions = (slice(None, None, stride),) * (len(shape) - 1)
    one = keras.ops.zeros_like(inputs[(slice(None), *positions, slice(0, 1))])
    return keras.Model(inputs, keras.ops.repeat(one, filters, axis=-1), name=name)
