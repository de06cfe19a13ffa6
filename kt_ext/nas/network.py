"""A network as a graph of layers with shapes and costs, before any of it is built.

What a space says of an architecture: enough to count parameters and multiply-adds, to build it in Keras, to compare it
with another and to draw it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

#: Of one example, without the batch: (features,), (steps, channels) or (rows, columns, channels).
Shape = tuple[int, ...]

BYTES = 4  # of a float32


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: unique in its network and the same in a network that is only wider, deeper or more connected, so that
            weights find their place: the scopes and the kind, ``stage0/layer1/conv``.
        kind: what it does; one of ``kt_ext.nas.draft.KINDS``.
        inputs: names of the layers whose outputs it takes.
        shape: of its output.
        params: numbers in all its variables, those that are not trained (of a batch normalization) included.
        flops: multiply-adds for one example, of convolutions and dense layers alone, as NAS-Bench-201 counts.
        settings: the arguments of its kind, such as ``{"filters": 16, "kernel": 3, "stride": 1}``.
        block: the operation that it belongs to, such as ``sep3x3``; "" for none.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: Shape
    params: int = 0
    flops: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    block: str = ""


@dataclass(frozen=True)
class Network:
    """Layers in an order in which each comes after its inputs; the first is the input, the last the output."""

    layers: tuple[Layer, ...]

    @cached_property
    def by_name(self) -> dict[str, Layer]:
        """The layers by their names."""
        return {layer.name: layer for layer in self.layers}

    @property
    def input_shape(self) -> Shape:
        """The shape of one example."""
        return self.layers[0].shape

    @property
    def output(self) -> Layer:
        """The last layer."""
        return self.layers[-1]

    @cached_property
    def params(self) -> int:
        """What ``keras.Model.count_params`` gives for the model built of it."""
        return sum(layer.params for layer in self.layers)

    @cached_property
    def flops(self) -> int:
        """Multiply-adds for one example."""
        return sum(layer.flops for layer in self.layers)

    @cached_property
    def memory(self) -> int:
        """Bytes of all variables and of the outputs of all layers for one example, in float32."""
        return BYTES * (self.params + sum(math.prod(layer.shape) for layer in self.layers))


def reaching(layers: tuple[Layer, ...], output: str) -> tuple[Layer, ...]:
    """The layers that the output depends on, and the input, in the same order, the output last."""
    wanted = {output, layers[0].name}
    for layer in reversed(layers):
        if layer.name in wanted:
            wanted.update(layer.inputs)
    kept = [layer for layer in layers if layer.name in wanted and layer.name != output]
    return (*kept, next(layer for layer in layers if layer.name == output))
