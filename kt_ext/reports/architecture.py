"""A picture of an architecture as a graph of its operations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kt_ext.nas.space import Architecture, Graph
from kt_ext.reports.figure import new_figure, written
from kt_ext.reports.layout import Layout, lay_out

# In inches, of which one is a unit of the axes.
CHARACTER = 0.075  # at the font size used
BOX_HEIGHT = 0.3
LANE = 0.46
LABELLED_LANE = 0.7  # where labels stand between two lanes
LONGEST_LINE = 11.0
MARGIN = 0.25
BULGE = 0.25  # how far a turn into the next line goes beyond the boxes
NEST = 0.1  # and further for each lane
TITLE = 0.3
FONT = 8  # points

PLAIN = "#f2f2f2"
#: Nodes that are no operations; numbered ones are none either.
NO_OPERATIONS = ("input", "output", "stem", "concat", "add", "head", "last", "last but one")
COLOURS = ("#cfe2f3", "#fce5cd", "#d9ead3", "#f4cccc", "#d9d2e9", "#fff2cc", "#d0e0e3", "#ead1dc", "#e6d8c8", "#dce6b8")


def plot_architecture(arch: Architecture, path: str | Path | None = None) -> Any:
    """The architecture's parts, one panel for each: boxes for nodes, arrows from left to right, long chains in lines
    that run to and fro. Operations of one name have one colour.

    Args:
        arch: what ``arch.space.graphs(arch)`` gives is drawn.
        path: written there, in the format that its suffix says, such as ``.png``, ``.svg`` or ``.pdf``.

    Returns:
        The ``matplotlib.figure.Figure``.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the suffix of ``path`` is unknown.
    """
    graphs = arch.space.graphs(arch)
    panels = [_Panel.of(title, graph) for title, graph in graphs.items()]
    heights = [panel.height + (TITLE if panel.title else 0.0) for panel in panels]
    width, height = max(panel.width for panel in panels), sum(heights)
    figure = new_figure(width, height)
    colours = _Colours()
    top = height
    for panel, own in zip(panels, heights, strict=True):
        top -= own
        axes = figure.add_axes((0.0, top / height, 1.0, panel.height / height))
        axes.set(xlim=(0, width), ylim=(-panel.height, 0))
        axes.set_axis_off()
        if panel.title:
            axes.set_title(panel.title, fontsize=FONT + 2, loc="left", x=MARGIN / width, pad=3)
        panel.draw(axes, colours)
    return written(figure, path)


class _Colours:
    """A colour for each operation, in the order in which they turn up; a number beside it, as a width, is no matter."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, label: str) -> str:
        if label in NO_OPERATIONS or label.isdigit():
            return PLAIN
        name = label.split(" ")[0]
        return self._known.setdefault(name, COLOURS[len(self._known) % len(COLOURS)])


@dataclass(frozen=True)
class _Panel:
    """One graph with its places; in lines of ``per_line`` layers, every other one of which runs to the left."""

    title: str
    graph: Graph
    edges: tuple[tuple[int, int, str], ...]
    layout: Layout
    per_line: int
    box: float
    pitch: float
    lane: float
    tops: tuple[float, ...]  # the place of lane 0 of each line
    height: float

    @classmethod
    def of(cls, title: str, graph: Graph) -> _Panel:
        edges = _merged(graph)
        pairs = [(source, target) for source, target, _ in edges]
        layout = lay_out(len(graph.nodes), pairs)
        box = 0.2 + CHARACTER * max(4, *map(len, graph.nodes))
        label = max((len(line) for *_, text in edges for line in text.split("\n")), default=0)
        pitch = box + max(0.35, 0.3 + CHARACTER * label)
        n_layers = max(layout.layers) + 1
        most = max(2, int((LONGEST_LINE - 2 * MARGIN + pitch - box) / pitch))
        per_line = math.ceil(n_layers / math.ceil(n_layers / most))
        short = any(text and layout.layers[target] - layout.layers[source] == 1 for source, target, text in edges)
        lane = LABELLED_LANE if short else LANE
        y, tops = -MARGIN, []
        for line, first in enumerate(range(0, n_layers, per_line)):
            low, high = layout.extent(first, first + per_line - 1, pairs)
            above, below = (high, -low) if line % 2 == 0 else (-low, high)
            tops.append(y - above * lane - BOX_HEIGHT / 2)
            y = tops[-1] - below * lane - BOX_HEIGHT / 2 - 0.2
        return cls(title, graph, edges, layout, per_line, box, pitch, lane, tuple(tops), -y - 0.2 + MARGIN)

    @property
    def width(self) -> float:
        lowest, highest = self._lanes
        turns = BULGE + NEST * (highest - lowest) if len(self.tops) > 1 else 0.0
        return 2 * MARGIN + self.box + (self.per_line - 1) * self.pitch + 2 * turns

    @property
    def _lanes(self) -> tuple[int, int]:
        return self.layout.extent(0, max(self.layout.layers), [(s, t) for s, t, _ in self.edges])

    def draw(self, axes: Any, colours: _Colours) -> None:
        """Boxes over labels over arrows."""
        for node, label in enumerate(self.graph.nodes):
            x, y = self._place(self.layout.layers[node], self.layout.lanes[node])
            axes.add_patch(_box(x, y, self.box, colours.of(label)))
            axes.text(x, y, label, fontsize=FONT, ha="center", va="center", zorder=4)
        labels = _Labels()
        layers, lanes = self.layout.layers, self.layout.lanes
        # Labels that can be moved least come first: those of long edges, then those of straight ones.
        by_freedom = sorted(
            zip(self.edges, self.layout.tracks, strict=True),
            key=lambda each: (layers[each[0][0]] - layers[each[0][1]], lanes[each[0][0]] != lanes[each[0][1]]),
        )
        for (source, target, label), track in by_freedom:
            points = list(self._points(source, target, track))
            axes.add_patch(_arrow(points))
            if label:
                x, y = labels.place(label, self._label_places(source, target, track, points))
                axes.text(
                    x, y, label, fontsize=FONT - 1, ha="center", va="center", zorder=3,
                    bbox={"boxstyle": "round,pad=0.15", "facecolor": colours.of(label), "edgecolor": "none"},
                )  # fmt: skip

    def _label_places(
        self, source: int, target: int, track: int, points: list[tuple[float, float]]
    ) -> list[tuple[float, float]]:
        """Where the label of an edge may stand, the best first."""
        first, last = self.layout.layers[source], self.layout.layers[target]
        if last - first > 1:
            return [self._place((first + last) // 2, track)]
        # In the middle of a rising curve stands the label of the falling one that crosses it.
        shares = (0.5, 0.3, 0.7) if points[0][1] == points[-1][1] else (0.35, 0.65, 0.5, 0.75, 0.7, 0.8, 0.25, 0.3, 0.2)
        return [_on_curve(points, share) for share in shares]

    def _place(self, layer: int, lane: int) -> tuple[float, float]:
        line, step = divmod(layer, self.per_line)
        forth = self._forth(layer)
        left = (self.width - self.box - (self.per_line - 1) * self.pitch) / 2 + self.box / 2
        x = left + self.pitch * (step if forth > 0 else self.per_line - 1 - step)
        return x, self.tops[line] + forth * lane * self.lane

    def _forth(self, layer: int) -> int:
        """1 in a line that runs to the right, -1 in one that runs to the left, whose lanes are mirrored too."""
        return 1 if layer // self.per_line % 2 == 0 else -1

    def _bulge(self, forth: int, lanes: tuple[int, int]) -> float:
        """How far out an edge turns into the next line, so that those of outer lanes go around those of inner ones."""
        lowest, highest = self._lanes
        return BULGE + NEST * (max(lanes) - lowest if forth > 0 else highest - min(lanes))

    def _points(self, source: int, target: int, track: int) -> Iterator[tuple[float, float]]:
        """The curve's points: the first, then three for each Bezier piece."""
        layers, lanes = self.layout.layers, self.layout.lanes
        stops = [(layers[source], lanes[source])]
        stops += [(layer, track) for layer in range(layers[source] + 1, layers[target])]
        stops.append((layers[target], lanes[target]))
        for number, ((before, low), (after, high)) in enumerate(itertools.pairwise(stops)):
            half = self.box / 2
            x0, y0 = self._place(before, low)
            x1, y1 = self._place(after, high)
            x0 += self._forth(before) * half
            x1 -= self._forth(after) * half
            if number == 0:
                yield x0, y0
            else:  # straight past the layer
                back = x0 - self._forth(before) * self.box
                yield from ((back + (x0 - back) / 3, y0), (back + 2 * (x0 - back) / 3, y0), (x0, y0))
            if self._forth(before) == self._forth(after):
                yield from (((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1), (x1, y1))
            else:
                forth = self._forth(before)
                out = x0 + forth * self._bulge(forth, (low, high)) * 4 / 3  # a Bezier curve goes three quarters so far
                yield from ((out, y0), (out, y1), (x1, y1))


def _merged(graph: Graph) -> tuple[tuple[int, int, str], ...]:
    """One edge for each pair of nodes; the labels of several below each other."""
    labels: dict[tuple[int, int], list[str]] = {}
    for source, target, label in graph.edges:
        labels.setdefault((source, target), []).append(label)
    return tuple((source, target, "\n".join(filter(None, texts))) for (source, target), texts in labels.items())


class _Labels:
    """Finds for each label a place where it covers no other."""

    def __init__(self) -> None:
        self._boxes: list[tuple[float, float, float, float]] = []

    def place(self, label: str, places: list[tuple[float, float]]) -> tuple[float, float]:
        """The first free one of the places, or the first of all."""
        lines = label.split("\n")
        width, height = CHARACTER * max(map(len, lines)) + 0.05, 0.18 * len(lines)
        chosen = next((place for place in places if not self._covers(*place, width, height)), places[0])
        self._boxes.append((*chosen, width, height))
        return chosen

    def _covers(self, x: float, y: float, width: float, height: float) -> bool:
        return any(abs(x - u) < (width + w) / 2 and abs(y - v) < (height + h) / 2 for u, v, w, h in self._boxes)


def _on_curve(points: list[tuple[float, float]], share: float) -> tuple[float, float]:
    """The point of a Bezier piece at this share of its parameter."""
    t, u = share, 1 - share
    weights = (u**3, 3 * u * u * t, 3 * u * t * t, t**3)
    return (
        sum(weight * x for weight, (x, _) in zip(weights, points, strict=True)),
        sum(weight * y for weight, (_, y) in zip(weights, points, strict=True)),
    )


def _arrow(points: list[tuple[float, float]]) -> Any:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    codes = [Curve.MOVETO] + [Curve.CURVE4] * (len(points) - 1)
    return FancyArrowPatch(
        path=Curve(points, codes), arrowstyle="-|>", mutation_scale=8, color="#666666", linewidth=0.9, zorder=1,
        fill=False, joinstyle="round",
    )  # fmt: skip


def _box(x: float, y: float, width: float, colour: str) -> Any:
    from matplotlib.patches import FancyBboxPatch

    return FancyBboxPatch(
        (x - width / 2 + 0.05, y - BOX_HEIGHT / 2 + 0.05), width - 0.1, BOX_HEIGHT - 0.1,
        boxstyle="round,pad=0.05", facecolor=colour, edgecolor="#555555", linewidth=0.8, zorder=2,
    )  # fmt: skip
