"""Who went on at each rung, and who did not."""

from __future__ import annotations

import os
from typing import Any

from kt_ext.plots.picture import (
    BEST,
    DOT,
    FAINT,
    GREEN,
    ORANGE,
    RED,
    Line,
    Mark,
    Note,
    Panel,
    Picture,
    Points,
    at_the_edge,
    in_words,
    joined,
    usual_range,
)
from kt_ext.plots.render import Backend, draw
from kt_ext.reports.optuna_study import objective_name
from kt_ext.reports.record import read
from kt_ext.reports.trial_record import TrialRecord

#: What became of a trial at a rung: colour, marker, and whether that is hollow. In the order of the legend.
_FATES: dict[str, tuple[str, Any, bool]] = {
    "went on": (BEST, "circle", False),
    "trained to the end": (GREEN, "circle", False),
    "paused there": (DOT, "circle", True),
    "stopped": (ORANGE, "cross", False),
    "failed": (RED, "cross", False),
    "under way": (GREEN, "circle", True),
}


def plot_rungs(source: str | os.PathLike[str] | Any, *, backend: Backend = "matplotlib") -> Any:
    """The objectives of all trials at each rung, who went on from there, and who paused, stopped or failed.

    Thin lines join the points of one trial, a thick one those of the best. Trials of brackets that leave out low rungs
    are shown as going on there.

    Args:
        source: the project directory, tuner or record of a search with rungs: ASHA, Hyperband, BOHB, PASHA, AutoTuner.
        backend: "matplotlib" or "plotly".

    Returns:
        The figure. Above each rung stands how many reached it and how many trained beyond. Objectives far worse than
        most are triangles at the edge.

    Raises:
        ValueError: the search has no rungs, no trial has reached one, or ``backend`` is unknown.
        ImportError: the backend is not installed.
    """
    record = read(source)
    rungs = record.rung_epochs
    if not rungs:
        raise ValueError(
            f"source={str(record.directory)!r}: {record.scheduler['scheduler']} compares no trials at rungs; use "
            "plot_intermediate_values"
        )
    paths = {trial.number: _path(trial, rungs) for trial in record.trials}
    at: dict[str, list[tuple[int, float, TrialRecord]]] = {fate: [] for fate in _FATES}
    for trial in record.trials:
        for k, objective in paths[trial.number]:
            at[_fate(trial, rungs[k])].append((k, objective, trial))
    reached = [row for rows in at.values() for row in rows]
    if not reached:
        raise ValueError(f"source={str(record.directory)!r}: no trial has reached epoch {rungs[0]} yet")
    limits = usual_range([objective for _, objective, _ in reached], record.maximise)
    marks: list[Mark] = [Line(*joined([_line(path) for path in paths.values() if len(path) > 1]), FAINT, 0.8)]
    best = record.best
    if best is not None and len(paths[best.number]) > 1:
        marks.append(Line(*_line(paths[best.number]), ORANGE, 2.5, f"the best, trial {best.name}"))
    for fate, rows in at.items():
        if rows:
            color, marker, hollow = _FATES[fate]
            texts = [f"trial {t.name}: {y:.5g}<br>{fate}<br>{in_words(t.values_at(rungs[k]))}" for k, y, t in rows]
            points = Points([k for k, _, _ in rows], [y for _, y, _ in rows], color, fate, marker, 6.0, hollow, texts)
            marks += at_the_edge(points, limits)
    for k, rung in enumerate(rungs):
        here, beyond = (
            sum(bool(t.epochs) and t.epochs[-1] >= least for t in record.trials) for least in (rung, rung + 1)
        )
        marks.append(Note(k, f"{here} came" if k == len(rungs) - 1 else f"{here} came, {beyond} went on"))
    ticks = {float(k): str(rung) for k, rung in enumerate(rungs)}
    panel = Panel(marks, "epochs", objective_name(record), x_ticks=ticks, y_limits=limits)
    return draw(Picture("Rungs", [panel], (max(6.0, 2.0 + 1.6 * len(rungs)), 4.5)), backend)


def _path(trial: TrialRecord, rungs: tuple[int, ...]) -> list[tuple[int, float]]:
    """The number of each rung that the trial reported at, and its objective there."""
    known = dict(zip(trial.epochs, trial.objectives, strict=True))
    return [(k, known[rung]) for k, rung in enumerate(rungs) if rung in known]


def _line(path: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [k for k, _ in path], [objective for _, objective in path]


def _fate(trial: TrialRecord, rung: int) -> str:
    if trial.epochs[-1] > rung:
        return "went on"
    if trial.status == "done":
        return "stopped" if trial.stopped else "trained to the end"
    return {"paused": "paused there", "failed": "failed"}.get(trial.status, "under way")
