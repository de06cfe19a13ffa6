"""Chains of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kt_ext.core.decision import Value
from kt_ext.nas.draft import Draft
from kt_ext.nas.ops import Op
from kt_ext.nas.spaces.layers import AbstractLayers


class ChainSpace(AbstractLayers):
    """A chain of up to ``max_depth`` layers or blocks, each with its own operation, width, activation and dropout.

    Images, series and vectors: a stem (a 3x3 convolution, of vectors a dense layer, with normalization), the layers,
    and the head. Vectors take "dense" and other operations that need no positions.

    Args:
        ops: names of operations, or your own.
        max_depth: most layers.
        widths: channels (units) to choose from.
        min_depth: least layers, >= 1.
        activations: names of Keras activations to choose from.
        dropouts: rates after a layer to choose from.
        reduce_every: layers in a group; the first of each further group has stride 2, on data with positions. None: no
            strides.
        residual: a layer whose output has its input's shape is added to its input, so that a new layer can begin as an
            identity; activations then stand before the weights, and a normalization follows the last layer.
        stem: channels (units) of the stem; None: the least of ``widths``.
        name: begins the names of the hyperparameters.

    Raises:
        ValueError: an argument is out of its range, an op unknown; the text says what to do.

    Examples:
        >>> from kt_ext import nas
        >>> space = ChainSpace(["conv3x3", "sep3x3"], max_depth=2, widths=[8, 16])
        >>> arch = space.from_text("conv3x3:8 > conv3x3:16")
        >>> space.params(arch, (8, 8, 1), nas.classifier(10)), space.size
        (2162, 20)
        >>> [str(near) for near in space.neighbours(arch)][:2]
        ['conv3x3:8', 'sep3x3:8 > conv3x3:16']
    """

    def __init__(
        self,
        ops: Sequence[str | Op],
        max_depth: int,
        widths: int | Sequence[int],
        *,
        min_depth: int = 1,
        activations: Sequence[str] = ("relu",),
        dropouts: Sequence[float] = (0.0,),
        reduce_every: int | None = None,
        residual: bool = True,
        stem: int | None = None,
        name: str = "arch",
    ) -> None:
        super().__init__(
            ops, max_depth, widths, min_depth, activations, dropouts, reduce_every, residual, stem, name
        )  # fmt: skip

    def skips(self, values: Mapping[str, Value], i: int) -> list[int]:
        return []

    def skip_genes(self, i: int) -> list[str]:
        return []

    def merged(self, net: Draft, nodes: Sequence[str], sources: Sequence[int]) -> str:
        return nodes[-1]
