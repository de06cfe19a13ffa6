"""Lays the layers of a network, one call for each, and keeps count of shapes, parameters and multiply-adds."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kt_ext.nas.network import Layer, Network, Shape, reaching

#: What a layer can do. "layer" is any Keras layer of the user's.
KINDS = (
    "input", "conv", "depthwise", "dense", "batch_norm", "layer_norm", "activation", "dropout", "max_pool", "avg_pool",
    "global_pool", "flatten", "add", "concat", "zero", "layer",
)  # fmt: skip

INPUT = "input"


@dataclass(frozen=True)
class Scale:
    """How much smaller than the architecture says a network is laid, for a cheap estimate.

    Attributes:
        filters: the share of all widths, in (0, 1].
        cells: cells (or blocks) in each stack, in place of the space's own number, >= 1; None leaves it.
    """

    filters: float = 1.0
    cells: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.filters <= 1:
            raise ValueError(f"filters={self.filters!r}: must be in (0, 1]; 1 leaves all widths")
        if self.cells is not None and (not isinstance(self.cells, int) or self.cells < 1):
            raise ValueError(f"cells={self.cells!r}: must be an integer >= 1, or None for the space's own number")


class Draft:
    """A network in the making. Every method returns the name of the layer that it laid, to be given to the next ones.

    Convolutions and pools are 1D, 2D or 3D as the shape of their input is, pad to the "same" size, and take integers.

    Args:
        input_shape: of one example, such as (32, 32, 3).
        scale: see ``Scale``; ``filters`` applies it to a width.

    Raises:
        ValueError: a dimension is no integer >= 1.
    """

    def __init__(self, input_shape: Sequence[int], scale: Scale | None = None) -> None:
        shape = tuple(input_shape) if isinstance(input_shape, Sequence) else ()
        if not shape or not all(isinstance(size, int) and size >= 1 for size in shape):
            raise ValueError(
                f"input_shape={input_shape!r}: must be integers >= 1, without the batch, such as (32, 32, 3) or (20,)"
            )
        self.scale = Scale() if scale is None else scale
        self._layers: dict[str, Layer] = {INPUT: Layer(INPUT, "input", (), shape)}
        self._scopes: list[str] = []
        self._block = ""
        self._counts: dict[str, int] = {}

    @property
    def input(self) -> str:
        """The input's name."""
        return INPUT

    def shape(self, x: str) -> Shape:
        """The shape of a layer's output."""
        return self._layers[x].shape

    def laid(self, x: str) -> Layer:
        """The layer of this name."""
        return self._layers[x]

    def channels(self, x: str) -> int:
        """The last dimension of a layer's output."""
        return self.shape(x)[-1]

    def is_spatial(self, x: str) -> bool:
        """Whether a layer's output has positions beside its channels."""
        return len(self.shape(x)) > 1

    def filters(self, width: int) -> int:
        """A width of the architecture at this draft's scale, >= 1."""
        return max(1, round(width * self.scale.filters))

    @contextmanager
    def scope(self, name: str, block: str = "") -> Iterator[None]:
        """Layers laid inside have ``name/`` before their names, and belong to ``block`` unless inside another."""
        outer = self._block
        self._scopes.append(name)
        self._block = outer or block
        try:
            yield
        finally:
            self._scopes.pop()
            self._block = outer

    def conv(self, x: str, filters: int, kernel: int = 3, stride: int = 1, bias: bool = False) -> str:
        """A convolution with ``filters`` outputs; ``filters`` is taken as it is, so scale it with ``self.filters``."""
        shape = self._strided(x, stride)
        weights = kernel ** len(shape) * self.channels(x) * filters
        return self._lay(
            "conv", (x,), (*shape, filters), weights + bias * filters, weights * math.prod(shape),
            filters=filters, kernel=kernel, stride=stride, bias=bias,
        )  # fmt: skip

    def depthwise(self, x: str, kernel: int = 3, stride: int = 1, bias: bool = False, dilation: int = 1) -> str:
        """A convolution of each channel on its own. 1D and 2D; with a stride there can be no dilation."""
        shape, channels = self._strided(x, stride), self.channels(x)
        if stride > 1 and dilation > 1:
            raise ValueError(f"dilation={dilation} with stride={stride}: Keras has one or the other; lay two layers")
        if len(shape) > 2:
            raise ValueError(f"depthwise on {self.shape(x)}: Keras has it in 1D and 2D; use conv")
        weights = kernel ** len(shape) * channels
        return self._lay(
            "depthwise", (x,), (*shape, channels), weights + bias * channels, weights * math.prod(shape),
            kernel=kernel, stride=stride, bias=bias, dilation=dilation,
        )  # fmt: skip

    def dense(self, x: str, units: int, activation: str | None = None, bias: bool = True) -> str:
        """A dense layer on the last dimension."""
        shape = self.shape(x)
        weights = shape[-1] * units
        return self._lay(
            "dense", (x,), (*shape[:-1], units), weights + bias * units, weights * math.prod(shape[:-1]),
            units=units, activation=activation, bias=bias,
        )  # fmt: skip

    def batch_norm(self, x: str, zero_gamma: bool = False) -> str:
        """Batch normalization; ``zero_gamma`` begins with a scale of 0, so that it gives zeros at first."""
        return self._lay("batch_norm", (x,), self.shape(x), 4 * self.channels(x), zero_gamma=zero_gamma)

    def layer_norm(self, x: str) -> str:
        """Layer normalization over the last dimension."""
        return self._lay("layer_norm", (x,), self.shape(x), 2 * self.channels(x))

    def activation(self, x: str, function: str) -> str:
        """An activation function by its Keras name; "linear" lays nothing."""
        return x if function == "linear" else self._lay("activation", (x,), self.shape(x), function=function)

    def dropout(self, x: str, rate: float) -> str:
        """Dropout; a rate of 0 lays nothing."""
        return self._lay("dropout", (x,), self.shape(x), rate=float(rate)) if rate > 0 else x

    def max_pool(self, x: str, size: int = 2, stride: int = 2) -> str:
        """The maximum of each window."""
        shape = (*self._strided(x, stride), self.channels(x))
        return self._lay("max_pool", (x,), shape, size=size, stride=stride)

    def avg_pool(self, x: str, size: int = 2, stride: int = 2) -> str:
        """The mean of each window."""
        shape = (*self._strided(x, stride), self.channels(x))
        return self._lay("avg_pool", (x,), shape, size=size, stride=stride)

    def global_pool(self, x: str) -> str:
        """The mean over all positions; lays nothing where there are none."""
        return self._lay("global_pool", (x,), (self.channels(x),)) if self.is_spatial(x) else x

    def flatten(self, x: str) -> str:
        """All numbers in one row; lays nothing where they are."""
        return self._lay("flatten", (x,), (math.prod(self.shape(x)),)) if self.is_spatial(x) else x

    def add(self, xs: Sequence[str]) -> str:
        """The sum of outputs of equal shape; of one alone, that one."""
        if len({self.shape(x) for x in xs}) != 1:
            raise ValueError(f"add of shapes {[self.shape(x) for x in xs]}: must be equal; project them with conv")
        return xs[0] if len(xs) == 1 else self._lay("add", tuple(xs), self.shape(xs[0]))

    def concat(self, xs: Sequence[str]) -> str:
        """The channels of outputs of equal size side by side; of one alone, that one."""
        if len({self.shape(x)[:-1] for x in xs}) != 1:
            raise ValueError(f"concat of shapes {[self.shape(x) for x in xs]}: must agree in all but their channels")
        channels = sum(self.channels(x) for x in xs)
        return xs[0] if len(xs) == 1 else self._lay("concat", tuple(xs), (*self.shape(xs[0])[:-1], channels))

    def zero(self, x: str, stride: int = 1, filters: int | None = None) -> str:
        """Zeros of the shape that a convolution of ``x`` would have (a dense layer of vectors, whose stride means
        nothing); ``filters`` None: as many channels as it has.
        """
        shape = self._strided(x, stride) if self.is_spatial(x) else ()
        return self._lay("zero", (x,), (*shape, self.channels(x) if filters is None else filters), stride=stride)

    def layer(self, x: str, make: Callable[[], Any]) -> str:
        """Any Keras layer of one input: ``make()`` gives a new one. It is made here once, to learn shape and size."""
        probe = importlib.import_module("kt_ext.networks.probe").probe  # the only thing here that needs Keras
        shape, params = probe(make, self.shape(x))
        return self._lay("layer", (x,), shape, params, make=make)

    def finish(self, output: str) -> Network:
        """The network that ends with ``output``; layers that it does not depend on are left out."""
        return Network(reaching(tuple(self._layers.values()), output))

    def _strided(self, x: str, stride: int) -> Shape:
        shape = self.shape(x)
        if len(shape) < 2:
            raise ValueError(f"shape {shape}: a convolution or pool needs positions beside channels; use dense")
        return tuple(-(-size // stride) for size in shape[:-1])

    def _lay(
        self, kind: str, inputs: tuple[str, ...], shape: Shape, params: int = 0, flops: int = 0, **settings: Any
    ) -> str:
        base = "/".join([*self._scopes, kind])
        count = self._counts.get(base, 0)
        self._counts[base] = count + 1
        name = base if count == 0 else f"{base}_{count}"
        self._layers[name] = Layer(name, kind, inputs, shape, params, flops, settings, self._block)
        return name
