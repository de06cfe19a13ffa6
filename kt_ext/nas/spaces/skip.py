"""Chains whose layers may take earlier outputs, too: branches and skip connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from kt_ext.core.decision import Value
from kt_ext.nas.draft import Draft
from kt_ext.nas.ops import Op, matched, project
from kt_ext.nas.spaces.arguments import stride_between
from kt_ext.nas.spaces.layers import AbstractLayers


class SkipSpace(AbstractLayers):
    """A chain in which layer i may also take the outputs of nodes j < i - 1; node 0 is the stem.

    Genes beside the chain's: Booleans ``skip{j}_{i}``. The chain's own edge is always there, so every choice is a
    network. With ``merge="add"`` a skip ends in a normalization, after a 1x1 convolution (of vectors: a dense layer)
    where its shape is another one, so that a new one can begin as zero; with "concat" it is projected where its size
    is another one.

    Args:
        merge: how a layer's inputs become one, "add" or "concat".
        ops, max_depth, widths, min_depth, activations, dropouts, reduce_every, residual, stem, name: see
            ``ChainSpace``.

    Raises:
        ValueError: an argument is out of its range, an op unknown; the text says what to do.
    """

    def __init__(
        self,
        ops: Sequence[str | Op],
        max_depth: int,
        widths: int | Sequence[int],
        *,
        merge: Literal["add", "concat"] = "add",
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
        if merge not in ("add", "concat"):
            raise ValueError(f"merge={merge!r}: must be 'add' or 'concat'")
        self.merge = merge

    def skips(self, values: Mapping[str, Value], i: int) -> list[int]:
        return [j for j, name in enumerate(self.skip_genes(i)) if values[name]]

    def skip_genes(self, i: int) -> list[str]:
        return [f"skip{j}_{i}" for j in range(i - 1)]

    def merged(self, net: Draft, nodes: Sequence[str], sources: Sequence[int]) -> str:
        last = nodes[-1]
        inputs = [last]
        for j in sources:
            with net.scope(f"skip{j}"):
                inputs.append(self._skipped(net, nodes[j], last))
        with net.scope("merge"):
            return net.add(inputs) if self.merge == "add" else net.concat(inputs)

    def _skipped(self, net: Draft, x: str, last: str) -> str:
        stride = stride_between(net.shape(x), net.shape(last))
        if self.merge == "concat":
            return matched(net, x, net.channels(x), stride)
        if net.shape(x) == net.shape(last):
            return net.batch_norm(x)
        return project(net, x, net.channels(last), stride, "linear", False)
