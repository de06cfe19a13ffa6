"""Where the nodes and edges of a directed graph are drawn: in layers from left to right, in lines that wrap.

The layers are those of Sugiyama, Tagawa and Toda (1981), by longest path. One longest path is the spine, which runs
straight; all else that a layer holds, other nodes and edges that pass it, has a lane of its own above or below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """Layers and lanes.

    Attributes:
        layers: of each node, from 0.
        lanes: of each node; 0 is the spine, positive is above.
        tracks: of each edge the lane in which it passes the layers between its ends; 0 for one that passes none.
    """

    layers: tuple[int, ...]
    lanes: tuple[int, ...]
    tracks: tuple[int, ...]

    def extent(self, first: int, last: int, edges: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """The lowest and the highest lane in use in the layers from ``first`` to ``last``."""
        used = [lane for layer, lane in zip(self.layers, self.lanes, strict=True) if first <= layer <= last]
        for (source, target), track in zip(edges, self.tracks, strict=True):
            if self.layers[source] + 1 <= last and self.layers[target] - 1 >= first:
                used.append(track)
        return min(used), max(used)


def lay_out(n_nodes: int, edges: Sequence[tuple[int, int]]) -> Layout:
    """Layers and lanes of a graph.

    Args:
        n_nodes: number of nodes.
        edges: (from, to), where ``from`` is the smaller number.
    """
    layers = _longest_paths(n_nodes, edges)
    spine = _spine(layers, edges)
    taken: set[tuple[int, int]] = {(layer, 0) for layer in range(max(layers) + 1)}
    lanes = [0] * n_nodes
    for node in range(n_nodes):
        if node not in spine:
            lanes[node] = _free(taken, layers[node], layers[node])
    tracks = [0] * len(edges)
    # Short ones first: they stay near the spine, and long ones go around them.
    for index in sorted(range(len(edges)), key=lambda i: layers[edges[i][1]] - layers[edges[i][0]]):
        source, target = edges[index]
        if layers[target] - layers[source] > 1:
            tracks[index] = _free(taken, layers[source] + 1, layers[target] - 1)
    return Layout(tuple(layers), tuple(lanes), tuple(tracks))


def _longest_paths(n_nodes: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    layers = [0] * n_nodes
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        layers[target] = max(layers[target], layers[source] + 1)
    return layers


def _spine(layers: Sequence[int], edges: Sequence[tuple[int, int]]) -> set[int]:
    node = max(range(len(layers)), key=lambda each: layers[each])
    spine = {node}
    while layers[node] > 0:
        node = next(s for s, target in edges if target == node and layers[s] == layers[node] - 1)
        spine.add(node)
    return spine


def _free(taken: set[tuple[int, int]], first: int, last: int) -> int:
    """The lane nearest to the spine that is free in these layers; it is taken then."""
    distance = 1
    while True:
        for lane in (distance, -distance):
            wanted = {(layer, lane) for layer in range(first, last + 1)}
            if not wanted & taken:
                taken |= wanted
                return lane
        distance += 1
