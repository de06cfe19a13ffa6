"""The contract of a cell's topology: which genes a cell has, and how its nodes are wired."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.space import Parameter
from kt_ext.nas.draft import Draft
from kt_ext.nas.ops import NONE, OPS, SKIP, Op
from kt_ext.nas.space import Graph
from kt_ext.nas.spaces.arguments import integer


class AbstractTopology(ABC):
    """One cell. ``values`` are always its own genes alone, by their names inside the cell.

    Args:
        ops: what edges or nodes choose from.
        nodes: how many there are; what counts is said by the topology.

    Attributes:
        first: whether the activation comes before the weights of an op.
        normed: whether batch normalization and activation follow the last cell.
    """

    least_nodes = 2
    first = True
    normed = False

    def __init__(self, ops: Sequence[Op], nodes: int) -> None:
        self.ops = tuple(ops)
        self.nodes = integer("nodes", nodes, self.least_nodes)
        self.names = tuple(op.name for op in ops)
        self._by_name = {op.name: op for op in ops}

    @abstractmethod
    def parameters(self) -> list[Parameter]:
        """The cell's genes, none of them conditional."""

    @abstractmethod
    def lay(self, net: Draft, values: Mapping[str, Value], before: str, x: str, filters: int, stride: int) -> str:
        """Lay the cell on the last cell's output ``x`` (and the one's before it); returns its output."""

    @abstractmethod
    def canonical(self, values: Mapping[str, Value], fitting: bool) -> Hashable:
        """Equal for cells that are the same network. ``fitting``: the input has the cell's own size and width; else
        a skip from it is a projection.
        """

    @abstractmethod
    def text(self, values: Mapping[str, Value]) -> str:
        """The cell in one word."""

    @abstractmethod
    def parse(self, text: str) -> dict[str, Value]:
        """The inverse of ``text``; for other text anything, or ValueError."""

    @abstractmethod
    def graph(self, values: Mapping[str, Value]) -> Graph:
        """A picture of the cell."""

    def repair(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """A valid cell near ``values``, which has each gene inside its domain."""
        return dict(values)

    def op(self, name: Value) -> Op:
        """The operation that a gene's value names."""
        return self._by_name[str(name)]

    def is_skip(self, name: Value) -> bool:
        """Whether an op hands its input on, whatever its name."""
        return self.op(name).lay is OPS[SKIP].lay

    def is_none(self, name: Value) -> bool:
        """Whether an op gives zeros, whatever its name."""
        return self.op(name).lay is OPS[NONE].lay

    def features(self, values: Mapping[str, Value]) -> np.ndarray | None:
        """Numbers for a model if there are better ones than the genes' own; None: there are not."""
        return None


def edges_text(groups: Sequence[Sequence[tuple[str, int]]]) -> str:
    """NAS-Bench-201's form: groups of (op, source), one for each node: ``|skip~0|+|conv3x3~0|skip~1|``."""
    return "+".join("|" + "|".join(f"{op}~{source}" for op, source in group) + "|" for group in groups)


def edges_parse(text: str) -> list[list[tuple[str, int]]]:
    """The inverse of ``edges_text``. Raises ValueError for text of another form."""
    groups = []
    for part in text.split("+"):
        words = [word.rpartition("~") for word in part.strip("|").split("|")]
        if any(not op or not source.isdecimal() for op, _, source in words):
            raise ValueError(f"{part!r}: must be like |skip~0|conv3x3~1|")
        groups.append([(op, int(source)) for op, _, source in words])
    return groups
