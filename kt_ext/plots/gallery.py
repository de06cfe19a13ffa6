"""All pictures that say something about a search, and how a page shows them."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator
from html import escape
from importlib.util import find_spec
from typing import Any, NamedTuple

from kt_ext.plots.ancestry import plot_population
from kt_ext.plots.curves import plot_intermediate_values, plot_optimization_history
from kt_ext.plots.population import plot_lineage, plot_schedules
from kt_ext.plots.render import Backend
from kt_ext.plots.rungs import plot_rungs
from kt_ext.plots.timeline import plot_timeline
from kt_ext.plots.values import plot_parallel_coordinate, plot_param_importances, plot_pareto_front, plot_slice
from kt_ext.reports.record import SearchRecord

FEWEST_FOR_IMPORTANCES = 10  # scored trials; a forest learns nothing from fewer
LARGEST_SVG = 1_000_000  # bytes; beyond, with tens of thousands of points, pixels are smaller and quicker to show


class Exhibit(NamedTuple):
    """A picture, its heading and what it shows."""

    title: str
    caption: str
    figure: Any


def gallery(record: SearchRecord, backend: Backend = "matplotlib") -> Iterator[Exhibit]:
    """The pictures that apply to this search as it stands; Optuna's only where it is installed.

    Raises:
        ImportError: the backend is not installed.
    """
    scored = record.ranked()
    reported = any(trial.epochs for trial in record.trials)
    rungs = record.rung_epochs
    optuna = find_spec("optuna") is not None
    if scored and not record.pareto:
        figure = plot_optimization_history(record, "epochs", backend=backend)
        yield Exhibit("Optimization history", "The best objective by the epochs of all trials together.", figure)
    if scored and record.pareto and optuna and len(record.directions) <= 3:
        yield Exhibit("Pareto front", "Trials that no other dominates.", plot_pareto_front(record, backend=backend))
    if reported:
        figure = plot_intermediate_values(record, backend=backend)
        yield Exhibit("Learning curves", "The objective of each trial by its epochs.", figure)
    if any(rungs[0] in trial.epochs for trial in record.trials if rungs):
        yield Exhibit("Rungs", "Who went on where trials are compared.", plot_rungs(record, backend=backend))
    if scored and not record.pareto and any(trial.parent is not None for trial in record.trials):
        figure = plot_population(record, backend=backend)
        yield Exhibit("Descent", "The score of each trial, and whose weights it began with.", figure)
    if any(trial.takeovers for trial in record.trials if trial.epochs):
        yield Exhibit("Lineage", "Who took over whose state.", plot_lineage(record, backend=backend))
        yield Exhibit("Schedules", "Values along the training of each member.", plot_schedules(record, backend=backend))
    if optuna and len(scored) >= 2 and record.names:
        figure = plot_parallel_coordinate(record, backend=backend)
        yield Exhibit("Parallel coordinates", "The values of each trial and its score.", figure)
        if not record.pareto:
            if len(scored) >= FEWEST_FOR_IMPORTANCES and _can_be_explained(record):
                figure = plot_param_importances(record, backend=backend)
                yield Exhibit("Importances", "The share of the score's variance that a value explains.", figure)
            yield Exhibit("Slices", "The score against each value.", plot_slice(record, backend=backend))
    if any(trial.stretches for trial in record.trials):
        yield Exhibit("Timeline", "Which worker trained when.", plot_timeline(record, backend=backend))


def _can_be_explained(record: SearchRecord) -> bool:
    """Whether scores differ, and a hyperparameter that every trial has."""
    scored = record.ranked()
    values = [trial.values_at(record.score(trial)[1]) for trial in scored]
    common = [name for name in values[0] if all(name in each for each in values)]
    return len({record.score(trial)[0] for trial in scored}) > 1 and any(
        len({each[name] for each in values}) > 1 for name in common
    )


def as_html(exhibit: Exhibit, backend: Backend, number: int) -> str:
    """The figure as an element of a page that loads nothing: an image, or a ``div`` that needs ``script(backend)``.

    Args:
        exhibit: from ``gallery`` with the same backend.
        backend: "matplotlib" or "plotly".
        number: another for each figure of a page.
    """
    _fit_into_page(exhibit.figure, backend)
    if backend == "plotly":
        import plotly.io

        settings = {"displaylogo": False}
        return plotly.io.to_html(
            exhibit.figure, settings, full_html=False, include_plotlyjs=False, div_id=f"picture-{number}"
        )
    data, kind = _saved(exhibit.figure, "svg"), "svg+xml"
    if len(data) > LARGEST_SVG:
        data, kind = _saved(exhibit.figure, "png"), "png"
    width = math.ceil(exhibit.figure.get_figwidth() * 96)  # pixels of CSS
    text = base64.b64encode(data).decode("ascii")
    return f'<img alt="{escape(exhibit.caption)}" width="{width}" src="data:image/{kind};base64,{text}">'


def _fit_into_page(figure: Any, backend: Backend) -> None:
    """Without the title, which is the heading above it."""
    if backend == "plotly":
        figure.update_layout(title=None, margin={"t": 60}, template="plotly_white")
        return
    figure.suptitle("")
    for axes in figure.axes:
        for place in ("left", "center", "right"):
            axes.set_title("", loc=place)


def _saved(figure: Any, kind: str) -> bytes:
    from matplotlib import rc_context

    file = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {}
    with rc_context({"svg.hashsalt": "kt_ext"}):  # the same search gives the same page
        figure.savefig(file, format=kind, dpi=144, transparent=True, bbox_inches="tight", metadata=metadata)
    return file.getvalue()


def script(backend: Backend) -> str:
    """What a page with such figures needs in its head: nothing, or plotly's 4 MB of JavaScript."""
    if backend == "matplotlib":
        return ""
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs()}</script>"
