"""Draws a picture with matplotlib, without pyplot, or with plotly."""

from __future__ import annotations

import importlib
import math
from typing import Any, Literal

from kt_ext.plots.picture import Bars, Line, Note, Panel, Picture, Points
from kt_ext.reports.figure import new_figure

Backend = Literal["matplotlib", "plotly"]
_MARKERS = {"circle": ("o", "circle"), "cross": ("x", "x"), "up": ("^", "triangle-up"), "down": ("v", "triangle-down")}
_INCH = 100  # pixels of plotly
MARGIN = 0.45  # beside the first and the last tick of an axis whose ticks are given


def checked(backend: str) -> str:
    """The name of a backend that is installed. Raises ValueError for another, ImportError with the remedy."""
    if backend not in ("matplotlib", "plotly"):
        raise ValueError(f"backend={backend!r}: must be 'matplotlib' or 'plotly'")
    try:
        importlib.import_module(backend)
    except ImportError as error:
        raise ImportError(f"backend={backend!r}: is not installed: pip install {backend}") from error
    return backend


def draw(picture: Picture, backend: Backend) -> Any:
    """The figure, a ``matplotlib.figure.Figure`` or a ``plotly.graph_objects.Figure``.

    Raises:
        ValueError: ``backend`` is neither.
        ImportError: it is not installed.
    """
    return _with_matplotlib(picture) if checked(backend) == "matplotlib" else _with_plotly(picture)


def _with_matplotlib(picture: Picture) -> Any:
    figure = new_figure(*picture.size)
    figure.set_layout_engine("constrained")
    figure.suptitle(picture.title, x=0.01, ha="left", fontsize="large")
    shown: set[str] = set()
    all_axes = figure.subplots(len(picture.panels), 1, sharex=True, squeeze=False)[:, 0]
    for panel, axes in zip(picture.panels, all_axes, strict=True):
        for mark in panel.marks:
            _mark_axes(axes, mark)
        axes.set_ylabel(panel.y_label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#eeeeee", zorder=0)
        axes.set_axisbelow(True)
        if panel.log_y:
            axes.set_yscale("log")
        if panel.y_limits is not None:
            axes.set_ylim(*panel.y_limits)
        if panel.x_ticks is not None:
            axes.set_xticks(list(panel.x_ticks), list(panel.x_ticks.values()))
            axes.set_xlim(min(panel.x_ticks) - MARGIN, max(panel.x_ticks) + MARGIN)
        if panel.y_ticks is not None:
            axes.set_yticks(list(panel.y_ticks), list(panel.y_ticks.values()))
        legend = {t: h for h, t in zip(*axes.get_legend_handles_labels(), strict=True) if t not in shown}
        if legend:
            axes.legend(legend.values(), legend, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
            shown.update(legend)
    all_axes[-1].set_xlabel(picture.panels[-1].x_label)
    return figure


def _mark_axes(axes: Any, mark: Line | Points | Bars | Note) -> None:
    if isinstance(mark, Note):
        above = {"xycoords": ("data", "axes fraction"), "xytext": (0, 3), "textcoords": "offset points"}
        axes.annotate(mark.text, (mark.x, 1.0), ha="center", va="bottom", fontsize="small", **above)
    elif isinstance(mark, Line):
        axes.plot(mark.x, mark.y, color=mark.color, linewidth=mark.width, label=mark.label or None)
    elif isinstance(mark, Bars):
        rows: dict[float, list[tuple[float, float]]] = {}
        for y, begin, end in zip(mark.y, mark.begins, mark.ends, strict=True):
            rows.setdefault(y, []).append((begin, end - begin))
        for k, (y, bars) in enumerate(rows.items()):  # thousands of single bars would take seconds
            label = mark.label if k == 0 and mark.label else None
            style = {"facecolor": mark.color, "edgecolor": "white", "linewidth": 0.5}
            axes.broken_barh(bars, (y - 0.4, 0.8), label=label, **style)
    else:
        marker = _MARKERS[mark.marker][0]
        colors = {"color": mark.color}
        if mark.marker != "cross":
            colors = {"facecolors": "none" if mark.hollow else mark.color, "edgecolors": mark.color}
        # drawn above lines, which have 2
        axes.scatter(mark.x, mark.y, s=mark.size**2, marker=marker, label=mark.label or None, zorder=3, **colors)


def _with_plotly(picture: Picture) -> Any:
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=len(picture.panels), cols=1, shared_xaxes=True, vertical_spacing=0.04)
    shown: set[str] = set()
    for row, panel in enumerate(picture.panels, 1):
        for mark in panel.marks:
            if isinstance(mark, Note):
                axis = str(row) if row > 1 else ""
                where = {"xref": f"x{axis}", "yref": f"y{axis} domain"}
                figure.add_annotation(x=mark.x, y=1.0, text=mark.text, showarrow=False, yanchor="bottom", **where)
            else:
                figure.add_trace(_trace(mark, mark.label not in shown), row=row, col=1)
                shown.add(mark.label)
        figure.update_yaxes(title_text=panel.y_label, row=row, col=1, **_axis(panel))
        if panel.x_ticks is not None:
            ticks = {"tickvals": list(panel.x_ticks), "ticktext": list(panel.x_ticks.values())}
            limits = [min(panel.x_ticks) - MARGIN, max(panel.x_ticks) + MARGIN]
            figure.update_xaxes(row=row, col=1, range=limits, **ticks)
    figure.update_xaxes(title_text=picture.panels[-1].x_label, row=len(picture.panels), col=1)
    width, height = (round(inches * _INCH) for inches in picture.size)
    figure.update_layout(title=picture.title, template="plotly_white", barmode="overlay", width=width, height=height)
    return figure


def _axis(panel: Panel) -> dict[str, Any]:
    settings: dict[str, Any] = {"type": "log"} if panel.log_y else {}
    if panel.y_limits is not None:
        settings["range"] = [math.log10(y) for y in panel.y_limits] if panel.log_y else list(panel.y_limits)
    if panel.y_ticks is not None:
        settings |= {"tickvals": list(panel.y_ticks), "ticktext": list(panel.y_ticks.values())}
    return settings


def _trace(mark: Line | Points | Bars, first: bool) -> Any:
    from plotly import graph_objects

    legend = {"name": mark.label, "legendgroup": mark.label, "showlegend": bool(mark.label) and first}
    if isinstance(mark, Line):
        line = {"color": mark.color, "width": mark.width}
        return graph_objects.Scatter(x=mark.x, y=mark.y, mode="lines", line=line, hoverinfo="skip", **legend)
    hover = {"hovertext": list(mark.texts), "hoverinfo": "text"} if mark.texts else {"hoverinfo": "x+y"}
    if isinstance(mark, Bars):
        widths = [end - begin for begin, end in zip(mark.begins, mark.ends, strict=True)]
        return graph_objects.Bar(
            x=widths, y=mark.y, base=mark.begins, orientation="h", marker={"color": mark.color}, **hover, **legend
        )
    symbol = _MARKERS[mark.marker][1] + ("-open" if mark.hollow else "")
    marker = {"color": mark.color, "symbol": symbol, "size": 1.2 * mark.size}
    return graph_objects.Scatter(x=mark.x, y=mark.y, mode="markers", marker=marker, **hover, **legend)
