"""The spaces of public benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kt_ext.nas.draft import Draft
from kt_ext.nas.ops import OPS, Op
from kt_ext.nas.spaces.cell import CellSpace
from kt_ext.nas.spaces.macro import MacroSpace


def _renamed(ours: str, theirs: str) -> Op:
    return replace(OPS[ours], name=theirs)


#: NAS-Bench-201's operations by its names.
NB201_OPS = (
    _renamed("none", "none"),
    _renamed("skip", "skip_connect"),
    _renamed("conv1x1", "nor_conv_1x1"),
    _renamed("conv3x3", "nor_conv_3x3"),
    _renamed("avgpool3x3", "avg_pool_3x3"),
)

#: NAS-Bench-101's, whose activations follow the normalization.
NB101_OPS = (
    _renamed("conv3x3", "conv3x3-bn-relu"),
    _renamed("conv1x1", "conv1x1-bn-relu"),
    _renamed("maxpool3x3", "maxpool3x3"),
)


def _twice(ours: str, theirs: str) -> Op:
    """DARTS lays a separable convolution two times, the stride in the first."""
    half = OPS[ours].lay

    def lay(net: Draft, x: str, filters: int, stride: int, activation: str, first: bool) -> str:
        x = half(net, x, net.channels(x), stride, activation, first)
        return half(net, x, filters, 1, activation, first)

    return Op(theirs, lay)


#: DARTS's, without "none", which its cells never keep. Its strided identity is a 1x1 convolution here, and its dilated
#: convolutions are not dilated where they have a stride.
DARTS_OPS = (
    _renamed("maxpool3x3", "max_pool_3x3"),
    _renamed("avgpool3x3", "avg_pool_3x3"),
    _renamed("skip", "skip_connect"),
    _twice("sep3x3", "sep_conv_3x3"),
    _twice("sep5x5", "sep_conv_5x5"),
    _renamed("dil3x3", "dil_conv_3x3"),
    _renamed("dil5x5", "dil_conv_5x5"),
)


def nb201(
    stacks: int | Sequence[int] = 3,
    cells_per_stack: int | Sequence[int] = 5,
    filters: int | Sequence[int] = 16,
    name: str = "arch",
) -> CellSpace:
    """NAS-Bench-201 (Dong and Yang, 2020): six edges, five operations, 15,625 cells of which 6,466 differ.

    With one number for each argument ``str`` of an architecture is the benchmark's own text,
    ``|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|...|``. Arguments as of ``CellSpace``.
    """
    return CellSpace(
        NB201_OPS, 4, "edges", ("normal",), stacks=stacks, cells_per_stack=cells_per_stack, filters=filters, name=name
    )


def nb101(
    stacks: int | Sequence[int] = 3,
    cells_per_stack: int | Sequence[int] = 3,
    filters: int | Sequence[int] = 128,
    name: str = "arch",
) -> CellSpace:
    """NAS-Bench-101 (Ying et al., 2019): graphs of 7 nodes and 9 edges at most, 423,624 cells that differ. Arguments as
    of ``CellSpace``.
    """
    return CellSpace(
        NB101_OPS, 7, "dag", ("normal",), stacks=stacks, cells_per_stack=cells_per_stack, filters=filters,
        reduction="max_pool", name=name,
    )  # fmt: skip


def darts(
    stacks: int | Sequence[int] = 3,
    cells_per_stack: int | Sequence[int] = 6,
    filters: int | Sequence[int] = 36,
    name: str = "arch",
) -> CellSpace:
    """DARTS (Liu et al., 2019): a normal and a reduce cell of four nodes, 20 cells in all. Arguments as of
    ``CellSpace``.
    """
    return CellSpace(
        DARTS_OPS, 4, "pairs", stacks=stacks, cells_per_stack=cells_per_stack, filters=filters, stem_multiplier=3,
        name=name,
    )  # fmt: skip


def nb_macro(name: str = "arch") -> MacroSpace:
    """NAS-Bench-Macro (Su et al., 2021): eight layers of three operations, 6,561 networks of which 3,969 differ.

    ``str`` of an architecture is the benchmark's own text of eight digits.
    """
    return MacroSpace(name)
