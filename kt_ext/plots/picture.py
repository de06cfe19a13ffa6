"""A picture as data: panels of marks, which ``kt_ext.plots.render`` draws with matplotlib or plotly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

BEST, DOT, FAINT = "#1f4e79", "#9fb4c7", "#c4c9cf"
ORANGE, RED, GREEN = "#d9822b", "#c23b22", "#3a7d44"
Marker = Literal["circle", "cross", "down", "up"]
FAR_OUT = 3.0  # spans of the middle half beyond it, as Tukey (1977) has it


@dataclass(frozen=True)
class Line:
    """A line through points in data units; NaN in ``y`` interrupts it. An empty ``label`` is left out of the legend."""

    x: Sequence[float]
    y: Sequence[float]
    color: str
    width: float = 1.2
    label: str = ""


@dataclass(frozen=True)
class Points:
    """Single points; ``texts``, one for each, show where plotly's pointer is."""

    x: Sequence[float]
    y: Sequence[float]
    color: str
    label: str = ""
    marker: Marker = "circle"
    size: float = 6.0
    hollow: bool = False
    texts: Sequence[str] = ()


@dataclass(frozen=True)
class Bars:
    """Horizontal bars from ``begins`` to ``ends`` at the height ``y``."""

    y: Sequence[float]
    begins: Sequence[float]
    ends: Sequence[float]
    color: str
    label: str = ""
    texts: Sequence[str] = ()


@dataclass(frozen=True)
class Note:
    """A text above the panel at ``x``."""

    x: float
    text: str


Mark = Line | Points | Bars | Note


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        marks: drawn in this order.
        x_label, y_label: of the axes.
        x_ticks, y_ticks: position to text, positions one apart; None: numbers.
        log_y: whether the ordinate is logarithmic.
        y_limits: None: whatever there is.
    """

    marks: Sequence[Mark]
    x_label: str
    y_label: str
    x_ticks: Mapping[float, str] | None = None
    y_ticks: Mapping[float, str] | None = None
    log_y: bool = False
    y_limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Picture:
    """Panels one above the other that share the abscissa; ``size`` is width and height in inches."""

    title: str
    panels: Sequence[Panel] = field(default_factory=list)
    size: tuple[float, float] = (8.0, 4.5)


def shades(count: int) -> list[str]:
    """So many blues from light to dark."""
    light, dark = np.array([190, 210, 230]), np.array([16, 48, 92])
    shares = np.linspace(0.0, 1.0, count) if count > 1 else np.ones(count)
    return ["#" + "".join(f"{round(c):02x}" for c in light + (dark - light) * share) for share in shares]


def staircase(x: Sequence[float], y: Sequence[float], end: float) -> tuple[list[float], list[float]]:
    """The corners of a line that keeps ``y[k]`` from ``x[k]`` to ``x[k + 1]``, the last up to ``end``."""
    corners_x = [x[0], *(each for each in x[1:] for _ in range(2)), end]
    return corners_x, [each for each in y for _ in range(2)]


def joined(pieces: Sequence[tuple[Sequence[float], Sequence[float]]]) -> tuple[list[float], list[float]]:
    """Several lines as one that is interrupted between them."""
    x = [each for xs, _ in pieces for each in (*xs, float("nan"))]
    y = [each for _, ys in pieces for each in (*ys, float("nan"))]
    return x, y


def usual_range(values: Sequence[float], maximise: bool) -> tuple[float, float] | None:
    """Limits that leave out values far worse than most, so that these can be told apart; None where there are none."""
    known = np.array([value for value in values if np.isfinite(value)])
    if len(known) < 4:
        return None
    first, third = np.percentile(known, [25, 75])
    reach = FAR_OUT * (third - first)
    inside = known[known >= first - reach] if maximise else known[known <= third + reach]
    if len(inside) == len(known):
        return None
    margin = 0.05 * (inside.max() - inside.min()) or 0.05 * abs(inside.max()) or 1.0
    return float(inside.min() - margin), float(inside.max() + margin)


def at_the_edge(points: Points, limits: tuple[float, float] | None) -> list[Points]:
    """The points that lie within the limits, and as triangles at the edge those beyond."""
    if limits is None:
        return [points]
    found = []
    parts: tuple[tuple[Marker, Callable[[float], bool], Callable[[float], float]], ...] = (
        (points.marker, lambda y: limits[0] <= y <= limits[1], lambda y: y),
        ("up", lambda y: y > limits[1], lambda y: limits[1]),
        ("down", lambda y: y < limits[0], lambda y: limits[0]),
    )
    for marker, keep, place in parts:
        kept = [k for k, y in enumerate(points.y) if keep(y)]
        if kept:
            found.append(
                Points(
                    [points.x[k] for k in kept],
                    [place(points.y[k]) for k in kept],
                    points.color,
                    points.label if marker == points.marker else "far worse",
                    marker,
                    points.size,
                    points.hollow,
                    [points.texts[k] for k in kept] if points.texts else (),
                )
            )
    return found


def in_words(values: Mapping[str, object]) -> str:
    """Values for a pointer's text, one in a line."""
    return "<br>".join(f"{name}: {v:.4g}" if isinstance(v, float) else f"{name}: {v}" for name, v in values.items())
