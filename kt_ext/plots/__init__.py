"""Pictures of a search, with matplotlib or plotly; named as in Optuna where the picture is the same.

Each takes the search first: its project directory, its tuner, or a ``kt_ext.reports.record.SearchRecord``. The search
may be running. ``backend`` is ``"matplotlib"`` or ``"plotly"``, and what is returned is a figure of that library.

An architecture's own picture is ``tuner.best_architecture().plot()``.
"""

from __future__ import annotations

from kt_ext.plots.ancestry import plot_population
from kt_ext.plots.curves import plot_intermediate_values, plot_optimization_history
from kt_ext.plots.population import plot_lineage, plot_schedules
from kt_ext.plots.rungs import plot_rungs
from kt_ext.plots.timeline import plot_timeline
from kt_ext.plots.values import (
    plot_contour,
    plot_parallel_coordinate,
    plot_param_importances,
    plot_pareto_front,
    plot_slice,
)

__all__ = [
    "plot_contour",
    "plot_intermediate_values",
    "plot_lineage",
    "plot_optimization_history",
    "plot_parallel_coordinate",
    "plot_param_importances",
    "plot_pareto_front",
    "plot_population",
    "plot_rungs",
    "plot_schedules",
    "plot_slice",
    "plot_timeline",
]
