"""Cells stacked to a network: one small graph is searched, and repeated."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Literal

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.space import Parameter
from kt_ext.nas.draft import Draft
from kt_ext.nas.ops import Op, make_ops, project
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture, Graph
from kt_ext.nas.spaces.arguments import integer, numbers
from kt_ext.nas.spaces.cell_dag import DagTopology
from kt_ext.nas.spaces.cell_edges import EdgesTopology
from kt_ext.nas.spaces.cell_pairs import PairsTopology
from kt_ext.nas.spaces.topology import AbstractTopology

TOPOLOGIES: dict[str, type[AbstractTopology]] = {
    "edges": EdgesTopology,
    "pairs": PairsTopology,
    "dag": DagTopology,
}
NORMAL, REDUCE = "normal", "reduce"
REDUCTIONS = ("cell", "residual", "max_pool")


class CellSpace(AbstractArchitectureSpace):
    """A stem, then stacks of equal cells; from stack to stack the width doubles and the size halves.

    Genes: those of each cell, ``normal/...`` and ``reduce/...`` (see the topologies), and ``stacks``, ``cells`` and
    ``filters`` where several values are given.

    Args:
        ops: names of operations, or your own.
        nodes: of a cell. "edges": with its input and output; "pairs": without them; "dag": with them.
        inputs: how nodes get their inputs. "edges": node j sums an op on each earlier node (NAS-Bench-201); "pairs":
            each node sums two ops on two earlier outputs, and a cell sees the last two cells (DARTS); "dag": any graph
            with an op on each node and nine edges at most (NAS-Bench-101).
        cells: ("normal", "reduce"), where a reduce cell, searched too, halves the size; or ("normal",).
        stacks: how many, one number or those to choose from.
        cells_per_stack: normal cells in each, likewise.
        filters: width of the first stack, likewise.
        reduction: without a reduce cell, what halves the size: a "residual" block that doubles the width too
            (NAS-Bench-201), or "max_pool" (NAS-Bench-101).
        stem_multiplier: width of the stem in ``filters``.
        name: begins the names of the hyperparameters.

    Raises:
        ValueError: an argument is out of its range, an op unknown; the text says what to do.
    """

    def __init__(
        self,
        ops: Sequence[str | Op],
        nodes: int = 4,
        inputs: Literal["edges", "pairs", "dag"] = "edges",
        cells: Sequence[str] = (NORMAL, REDUCE),
        *,
        stacks: int | Sequence[int] = 3,
        cells_per_stack: int | Sequence[int] = 1,
        filters: int | Sequence[int] = 16,
        reduction: Literal["cell", "residual", "max_pool"] | None = None,
        stem_multiplier: int = 1,
        name: str = "arch",
    ) -> None:
        super().__init__(name)
        if inputs not in TOPOLOGIES:
            raise ValueError(f"inputs={inputs!r}: must be one of {', '.join(map(repr, TOPOLOGIES))}")
        if tuple(cells) not in ((NORMAL,), (NORMAL, REDUCE)):
            raise ValueError(f"cells={cells!r}: must be ('normal',) or ('normal', 'reduce')")
        self.cells = tuple(cells)
        if reduction is None:
            reduction = "cell" if REDUCE in self.cells else "residual"
        if reduction not in REDUCTIONS or (reduction == "cell") != (REDUCE in self.cells):
            raise ValueError(
                f"reduction={reduction!r} with cells={self.cells}: must be 'cell' with a reduce cell, 'residual' or "
                "'max_pool' without; leave it out to have what fits"
            )
        self.reduction = reduction
        self.topology = TOPOLOGIES[inputs](make_ops(ops), nodes)
        self.inputs = inputs
        self._numbers = {
            "stacks": numbers("stacks", stacks),
            "cells": numbers("cells_per_stack", cells_per_stack),
            "filters": numbers("filters", filters),
        }
        self.stem_multiplier = integer("stem_multiplier", stem_multiplier)

    def parameters(self) -> list[Parameter]:
        genes = [
            Parameter(f"{cell}/{gene.name}", gene.domain) for cell in self.cells for gene in self.topology.parameters()
        ]
        return genes + [Parameter(name, domain) for name, domain in self._numbers.items() if domain.count > 1]

    def cell(self, arch: Architecture, name: str) -> dict[str, Value]:
        """The genes of one cell by their names inside it."""
        values = arch.values
        return {short: values[full] for short, full in self._gene_names[name]}

    @cached_property
    def _gene_names(self) -> dict[str, list[tuple[str, str]]]:
        short = [gene.name for gene in self.topology.parameters()]
        return {cell: [(name, f"{cell}/{name}") for name in short] for cell in self.cells}

    def _number(self, arch: Architecture, name: str) -> int:
        return int(arch.values.get(name, self._numbers[name].at(0)))

    # The network

    def lay(self, arch: Architecture, net: Draft) -> str:
        cells = {name: self.cell(arch, name) for name in self.cells}
        filters = self._number(arch, "filters")
        repeats = self._number(arch, "cells") if net.scale.cells is None else net.scale.cells
        halved = 2 if net.is_spatial(net.input) else 1
        with net.scope("stem", block="stem"):
            x = _stem(net, net.filters(filters * self.stem_multiplier), self.topology.first)
        before = x
        for stack in range(self._number(arch, "stacks")):
            width = net.filters(filters * 2**stack)
            with net.scope(f"stack{stack}"):
                if stack > 0 and self.reduction == "cell":
                    with net.scope(REDUCE):
                        laid = self.topology.lay(net, cells[REDUCE], before, x, width, halved)
                    before, x = x, laid
                elif stack > 0:
                    with net.scope("reduction", block=self.reduction):
                        before, x = x, _reduced(net, x, width, halved, self.reduction)
                for number in range(repeats):
                    with net.scope(f"cell{number}"):
                        laid = self.topology.lay(net, cells[NORMAL], before, x, width, 1)
                    before, x = x, laid
        if not self.topology.normed:
            return x
        with net.scope("last", block="norm"):
            return net.activation(net.batch_norm(x), "relu")

    # What strategies need

    def canonical(self, arch: Architecture) -> Hashable:
        cells = [
            self.topology.canonical(self.cell(arch, name), name == NORMAL and self._fitting)
            for name in self._laid_cells(arch)
        ]
        return (*cells, *(arch.values[name] for name in self._numbers if name in arch.values))

    @property
    def _fitting(self) -> bool:
        """Whether what a normal cell gets has its width already."""
        return self.reduction != "max_pool" and self.stem_multiplier == 1

    def _laid_cells(self, arch: Architecture) -> tuple[str, ...]:
        return self.cells if self._number(arch, "stacks") > 1 else (NORMAL,)

    def repair(self, values: Mapping[str, Value]) -> Architecture:
        arch = super().repair(values)
        mended = dict(arch.values)
        for name in self.cells:
            for gene, value in self.topology.repair(self.cell(arch, name)).items():
                mended[f"{name}/{gene}"] = value
        return arch if mended == arch.values else Architecture(self, tuple(mended.items()))

    def is_valid(self, arch: Architecture) -> bool:
        return self.repair(arch.values) == arch

    def encode(self, arch: Architecture) -> np.ndarray:
        cells = [self.topology.features(self.cell(arch, name)) for name in self.cells]
        if any(features is None for features in cells):
            return super().encode(arch)
        numbers = [domain.to_unit(arch.values[name]) for name, domain in self._numbers.items() if name in arch.values]
        return np.concatenate([*cells, numbers])  # type: ignore[list-item]

    # Text and pictures

    def text(self, arch: Architecture) -> str:
        """The cells, then what else was chosen; of one cell and nothing else, that cell alone."""
        words = {name: self.topology.text(self.cell(arch, name)) for name in self.cells}
        words.update({name: str(arch.values[name]) for name in self._numbers if name in arch.values})
        return words[NORMAL] if len(words) == 1 else " ".join(f"{name}={word}" for name, word in words.items())

    def parse(self, text: str) -> dict[str, Value]:
        words = {NORMAL: text} if " " not in text else dict(part.partition("=")[::2] for part in text.split())
        values: dict[str, Value] = {}
        for name, word in words.items():
            if name in self.cells:
                values.update({f"{name}/{gene}": value for gene, value in self.topology.parse(word).items()})
            else:
                values[name] = int(word)
        return values

    def graphs(self, arch: Architecture) -> dict[str, Graph]:
        """One graph for each cell."""
        return {name: self.topology.graph(self.cell(arch, name)) for name in self._laid_cells(arch)}


def _stem(net: Draft, filters: int, first: bool) -> str:
    """A convolution (of vectors: a dense layer) with normalization; bent where ops begin with their weights."""
    x = net.conv(net.input, filters, 3) if net.is_spatial(net.input) else net.dense(net.input, filters, bias=False)
    x = net.batch_norm(x)
    return x if first else net.activation(x, "relu")


def _reduced(net: Draft, x: str, filters: int, stride: int, reduction: str) -> str:
    """Half the size. "residual": NAS-Bench-201's block, whose shortcut is an average pool and a 1x1 convolution."""
    if not net.is_spatial(x):
        return project(net, x, filters, 1, "relu", True)
    if reduction == "max_pool":
        return net.max_pool(x, 2, stride)
    long = x
    for step in (stride, 1):
        long = net.batch_norm(net.conv(net.activation(long, "relu"), filters, 3, step))
    short = net.conv(net.avg_pool(x, 2, stride), filters, 1)
    return net.add([long, short])
