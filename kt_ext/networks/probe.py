"""The shape and size of a user's layer, found by making it once."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import keras


def probe(make: Callable[[], keras.layers.Layer], shape: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """What a layer gives on inputs of ``shape`` (without the batch): its output's shape, and how many weights it has.

    Python's random numbers, from which Keras seeds initializers, stay as they were: a seeded model begins the same
    whether its size was asked for or not.

    Args:
        make: gives a new layer of one input at each call.
        shape: of one example.

    Returns:
        The output's shape without the batch, and what ``count_params()`` gives: all weights, those that are not trained
        included, the seeds of random layers not.

    Raises:
        TypeError: ``make()`` gives no Keras layer, or the layer gives something else than one tensor.
        ValueError: it gives the same layer again, or a dimension of the output is not fixed.
    """
    before = random.getstate()
    try:
        layer, again = make(), make()
        if not isinstance(layer, keras.layers.Layer):
            raise TypeError(f"make() gives {layer!r}: must be a keras.layers.Layer, such as keras.layers.LeakyReLU()")
        if again is layer:
            raise ValueError(
                f"make() gives the same layer, {layer.name!r}, at each call; make the layer inside of it, as in "
                "lambda: keras.layers.LeakyReLU()"
            )
        output = layer(keras.KerasTensor((None, *shape)))
    finally:
        random.setstate(before)
    if not isinstance(output, keras.KerasTensor):
        raise TypeError(f"layer {layer.name!r}: gives {output!r}; must give one tensor")
    found = tuple(output.shape[1:])
    if not found or None in found:
        raise ValueError(
            f"layer {layer.name!r}: gives shape {output.shape} on {tuple(shape)}; all but the batch must be fixed"
        )
    return found, layer.count_params()
