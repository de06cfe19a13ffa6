"""Cells whose nodes take two earlier outputs each, as in NASNet and DARTS (Liu et al., 2019)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import combinations

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.space import Choice, Parameter
from kt_ext.nas.draft import Draft
from kt_ext.nas.ops import project
from kt_ext.nas.space import Graph
from kt_ext.nas.spaces.arguments import stride_between
from kt_ext.nas.spaces.graph_hash import graph_hash
from kt_ext.nas.spaces.topology import AbstractTopology, edges_parse, edges_text


class PairsTopology(AbstractTopology):
    """Outputs 0 and 1 are those of the last two cells; node j gives output j + 2, the sum of an op on each of two
    different earlier outputs; the cell gives all nodes side by side. ``nodes`` counts the sums.

    Genes: ``{j}/inputs``, the two outputs in order ("0,2"; the first node has no choice), ``{j}/op0`` and ``{j}/op1``.
    """

    least_nodes = 1

    def parameters(self) -> list[Parameter]:
        genes = []
        for j in range(self.nodes):
            if j > 0:
                pairs = [f"{low},{high}" for low, high in combinations(range(j + 2), 2)]
                genes.append(Parameter(f"{j}/inputs", Choice(tuple(pairs))))
            genes += [Parameter(f"{j}/op{side}", Choice(self.names)) for side in (0, 1)]
        return genes

    def _terms(self, values: Mapping[str, Value], j: int) -> list[tuple[str, int]]:
        """Ops and sources of node j."""
        sources = str(values.get(f"{j}/inputs", "0,1")).split(",")
        return [(str(values[f"{j}/op{side}"]), int(source)) for side, source in enumerate(sources)]

    def lay(self, net: Draft, values: Mapping[str, Value], before: str, x: str, filters: int, stride: int) -> str:
        # The cell before the last one may still have the size that a reduction halved in between.
        larger = stride_between(net.shape(before), net.shape(x))
        with net.scope("before", block="project"):
            outputs = [project(net, before, filters, larger, "relu", True)]
        with net.scope("input", block="project"):
            outputs.append(project(net, x, filters, 1, "relu", True))
        for j in range(self.nodes):
            summands = []
            for name, source in self._terms(values, j):
                with net.scope(f"edge{source}_{j + 2}", block=name):
                    step = stride if source < 2 else 1
                    summands.append(self.op(name)(net, outputs[source], filters, step, first=self.first))
            with net.scope(f"node{j}"):
                outputs.append(net.add(summands))
        with net.scope("output"):
            return net.concat(outputs[2:])

    def canonical(self, values: Mapping[str, Value], fitting: bool) -> Hashable:
        """The order of nodes does not matter, nor what a zero is made of."""
        edges = [
            (source, j + 2, name)
            for j in range(self.nodes)
            for name, source in self._terms(values, j)
            if not self.is_none(name)
        ]
        return graph_hash(["input0", "input1", *(["sum"] * self.nodes)], edges)

    def text(self, values: Mapping[str, Value]) -> str:
        return edges_text([self._terms(values, j) for j in range(self.nodes)])

    def parse(self, text: str) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for j, terms in enumerate(edges_parse(text)):
            values[f"{j}/inputs"] = ",".join(str(source) for _, source in terms)
            values.update({f"{j}/op{side}": name for side, (name, _) in enumerate(terms)})
        return values

    def features(self, values: Mapping[str, Value]) -> np.ndarray:
        """For each node and each earlier output which op is on it, if any."""
        features: list[float] = []
        for j in range(self.nodes):
            taken = {source: name for name, source in self._terms(values, j)}
            features += [float(taken.get(source) == name) for source in range(j + 2) for name in self.names]
        return np.array(features)

    def graph(self, values: Mapping[str, Value]) -> Graph:
        output = self.nodes + 2
        edges = [(source, j + 2, name) for j in range(self.nodes) for name, source in self._terms(values, j)]
        edges += [(j + 2, output, "") for j in range(self.nodes)]
        return Graph(("last but one", "last", *(str(j) for j in range(self.nodes)), "concat"), tuple(edges))
