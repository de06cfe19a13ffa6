"""Cells with an operation on every edge, as in NAS-Bench-201 (Dong and Yang, 2020)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from kt_ext.core.decision import Value
from kt_ext.core.space import Choice, Parameter
from kt_ext.nas.draft import Draft
from kt_ext.nas.space import Graph
from kt_ext.nas.spaces.topology import AbstractTopology, edges_parse, edges_text


class EdgesTopology(AbstractTopology):
    """Node 0 is the input, node j the sum over all i < j of an op on node i, the last node the output.

    Genes: ``{j}<-{i}``, in NAS-Bench-201's order.
    """

    normed = True

    def parameters(self) -> list[Parameter]:
        return [Parameter(f"{j}<-{i}", Choice(self.names)) for j in range(1, self.nodes) for i in range(j)]

    def lay(self, net: Draft, values: Mapping[str, Value], before: str, x: str, filters: int, stride: int) -> str:
        nodes = [x]
        for j in range(1, self.nodes):
            summands = []
            for i in range(j):
                op = self.op(values[f"{j}<-{i}"])
                with net.scope(f"edge{i}_{j}", block=op.name):
                    summands.append(op(net, nodes[i], filters, stride if i == 0 else 1, first=self.first))
            with net.scope(f"node{j}"):
                nodes.append(net.add(summands))
        return nodes[-1]

    def canonical(self, values: Mapping[str, Value], fitting: bool) -> Hashable:
        """The rule of NAS-Bench-201's own code (``to_unique_str(consider_zero=True)``): a node is the sorted sum of
        its terms, a skip stands for its source, and what is made of zeros is zero.
        """
        nodes = ["0"]
        for j in range(1, self.nodes):
            terms = []
            for i in range(j):
                name = values[f"{j}<-{i}"]
                if nodes[i] == "#" or self.is_none(name):
                    terms.append("#")
                elif self.is_skip(name) and (i > 0 or fitting):
                    terms.append(nodes[i])
                else:
                    terms.append(f"({nodes[i]})@{name}")
            nodes.append("+".join(sorted(terms)))
        return nodes[-1]

    def text(self, values: Mapping[str, Value]) -> str:
        return edges_text([[(str(values[f"{j}<-{i}"]), i) for i in range(j)] for j in range(1, self.nodes)])

    def parse(self, text: str) -> dict[str, Value]:
        groups = edges_parse(text)
        return {f"{j}<-{source}": op for j, group in enumerate(groups, 1) for op, source in group}

    def graph(self, values: Mapping[str, Value]) -> Graph:
        edges = [
            (i, j, str(values[f"{j}<-{i}"]))
            for j in range(1, self.nodes)
            for i in range(j)
            if not self.is_none(values[f"{j}<-{i}"])
        ]
        return Graph(("input", *(str(j) for j in range(1, self.nodes - 1)), "output"), tuple(edges))
