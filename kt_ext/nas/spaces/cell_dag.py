"""Cells that are any small graph with an operation on each node, as in NAS-Bench-101 (Ying et al., 2019)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cached_property

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.space import Boolean, Choice, Parameter
from kt_ext.nas.draft import Draft
from kt_ext.nas.ops import matched, project
from kt_ext.nas.space import Graph
from kt_ext.nas.spaces.graph_hash import graph_hash
from kt_ext.nas.spaces.topology import AbstractTopology

MAX_EDGES = 9

Edge = tuple[int, int]


class DagTopology(AbstractTopology):
    """Node 0 is the input, the last one the output, the others have an op on the sum of what comes in.

    Genes: ``e{i}_{j}``, whether an edge goes from node i to a later node j, and ``op{i}`` of the inner nodes. Edges on
    no way from input to output are there without effect, so that a later change of one gene can bring them to life;
    of the others there are ``MAX_EDGES`` at most.
    """

    least_nodes = 3
    first = False

    def parameters(self) -> list[Parameter]:
        edges = [Parameter(name, Boolean()) for name in self._names.values()]
        return edges + [Parameter(f"op{i}", Choice(self.names)) for i in range(1, self.nodes - 1)]

    @cached_property
    def _names(self) -> dict[Edge, str]:
        return {(i, j): f"e{i}_{j}" for i in range(self.nodes) for j in range(i + 1, self.nodes)}

    def live(self, values: Mapping[str, Value]) -> list[Edge]:
        """The edges on a way from the input to the output."""
        return self._live([edge for edge, name in self._names.items() if values[name]])

    def _live(self, edges: list[Edge]) -> list[Edge]:
        ahead, behind = self._reached(edges)
        return [(i, j) for i, j in edges if i in ahead and j in behind]

    def _reached(self, edges: list[Edge]) -> tuple[set[int], set[int]]:
        """The nodes that the input reaches, and those that reach the output; ``edges`` are sorted."""
        ahead, behind = {0}, {self.nodes - 1}
        for i, j in edges:
            if i in ahead:
                ahead.add(j)
        for i, j in reversed(edges):
            if j in behind:
                behind.add(i)
        return ahead, behind

    def repair(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """If no way leads to the output, one edge from the last node reached to the first one that reaches it; of too
        many edges those are dropped that bring down the fewest others, the last ones first.
        """
        edges = [edge for edge, name in self._names.items() if values[name]]
        live = self._live(edges)
        if live and len(live) <= MAX_EDGES:
            return dict(values)
        if not live:
            ahead, behind = self._reached(edges)
            start = max(ahead)
            edges = sorted([*edges, (start, min(j for j in behind if j > start))])
            live = self._live(edges)
        while len(live) > MAX_EDGES:
            dropped = max(reversed(live), key=lambda edge: len(self._live([e for e in edges if e != edge])))
            edges.remove(dropped)
            live = self._live(edges)
        return {**values, **{name: edge in edges for edge, name in self._names.items()}}

    def lay(self, net: Draft, values: Mapping[str, Value], before: str, x: str, filters: int, stride: int) -> str:
        """Widths as in the paper: the nodes before the output share the cell's, others have the widest one's behind
        them; the input goes to each node through a 1x1 convolution. Where the paper cuts off a channel that is too
        many, there is a 1x1 convolution, too.
        """
        live, output = self.live(values), self.nodes - 1
        widths = _widths(live, self.nodes, filters)
        nodes = {0: x}
        for node in sorted({j for _, j in live if j != output}):
            op = self.op(values[f"op{node}"])
            summands = []
            for i in [i for i, j in live if j == node]:
                with net.scope(f"edge{i}_{node}", block="project"):
                    summands.append(self._from(net, nodes[i], i, widths[node], stride))
            with net.scope(f"node{node}", block=op.name):
                nodes[node] = op(net, net.add(summands), widths[node], first=self.first)
        inner = [nodes[i] for i, j in live if j == output and i > 0]
        with net.scope("output"):
            parts = [net.concat(inner)] if inner else []
            if (0, output) in live:
                with net.scope(f"edge0_{output}", block="project"):
                    width = net.channels(parts[0]) if parts else filters
                    parts.append(self._from(net, x, 0, width, stride))
            return net.add(parts)

    def _from(self, net: Draft, x: str, source: int, width: int, stride: int) -> str:
        return project(net, x, width, stride, "relu", False) if source == 0 else matched(net, x, width)

    def canonical(self, values: Mapping[str, Value], fitting: bool) -> Hashable:
        """The graph's hash, without what has no effect."""
        live = self.live(values)
        kept = sorted({node for edge in live for node in edge})
        place = {node: number for number, node in enumerate(kept)}
        labels = ["input", *(f"op {values[f'op{node}']}" for node in kept[1:-1]), "output"]
        return graph_hash(labels, [(place[i], place[j], "") for i, j in live])

    def text(self, values: Mapping[str, Value]) -> str:
        """The matrix above its diagonal, then the ops: ``101/01/1:conv3x3,maxpool3x3``."""
        rows = [
            "".join(str(int(bool(values[self._names[i, j]]))) for j in range(i + 1, self.nodes))
            for i in range(self.nodes - 1)
        ]
        return "/".join(rows) + ":" + ",".join(str(values[f"op{i}"]) for i in range(1, self.nodes - 1))

    def parse(self, text: str) -> dict[str, Value]:
        matrix, _, ops = text.partition(":")
        values: dict[str, Value] = {
            f"e{i}_{j}": bit == "1" for i, row in enumerate(matrix.split("/")) for j, bit in enumerate(row, i + 1)
        }
        return {**values, **{f"op{i}": name for i, name in enumerate(ops.split(","), 1)}}

    def features(self, values: Mapping[str, Value]) -> np.ndarray:
        """The matrix above its diagonal, and an indicator for each inner node's op; zeros for what has no effect."""
        live = set(self.live(values))
        used = {node for edge in live for node in edge}
        edges = [float(edge in live) for edge in self._names]
        inner = range(1, self.nodes - 1)
        return np.array(edges + [float(i in used and values[f"op{i}"] == op) for i in inner for op in self.names])

    def graph(self, values: Mapping[str, Value]) -> Graph:
        live = self.live(values)
        kept = sorted({node for edge in live for node in edge})
        place = {node: number for number, node in enumerate(kept)}
        labels = ("input", *(str(values[f"op{node}"]) for node in kept[1:-1]), "output")
        return Graph(labels, tuple((place[i], place[j], "") for i, j in live))


def _widths(live: list[Edge], nodes: int, filters: int) -> dict[int, int]:
    """Channels of each node (``compute_vertex_channels`` of NAS-Bench-101's code)."""
    output = nodes - 1
    last = [i for i, j in live if j == output and i > 0]
    widths = {output: filters}
    for number, node in enumerate(last):
        # A scaled-down network may have fewer channels than nodes.
        widths[node] = max(1, filters // len(last) + (number < filters % len(last)))
    for node in range(nodes - 3, 0, -1):
        if node not in widths:
            widths[node] = max((widths[j] for i, j in live if i == node), default=0)
    return widths
