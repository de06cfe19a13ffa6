"""How good the best was by when, and the learning curves of all trials."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Literal

from kt_ext.plots.picture import (
    BEST,
    DOT,
    FAINT,
    GREEN,
    ORANGE,
    RED,
    Line,
    Mark,
    Marker,
    Panel,
    Picture,
    Points,
    at_the_edge,
    in_words,
    joined,
    shades,
    staircase,
    usual_range,
)
from kt_ext.plots.render import Backend, draw
from kt_ext.reports.optuna_study import objective_name
from kt_ext.reports.record import SearchRecord, read
from kt_ext.reports.trial_record import TrialRecord

Source = str | os.PathLike[str] | Any


def plot_optimization_history(
    source: Source,
    against: Literal["trials", "epochs", "seconds"] = "trials",
    *,
    backend: Backend = "matplotlib",
) -> Any:
    """The best objective so far as a line.

    Args:
        source: a project directory, a tuner, or a record.
        against: "trials" in the order of their start, each trial's score a dot, as Optuna draws it; "epochs" of all
            trials together, or "seconds" that the search has run, each report a dot.
        backend: "matplotlib" or "plotly".

    Returns:
        The figure. Values far worse than most are triangles at the edge.

    Raises:
        ValueError: ``against`` or ``backend`` is unknown, objectives are compared by domination, or there is no finite
            objective yet.
        ImportError: the backend is not installed.
    """
    record = read(source)
    if against not in ("trials", "epochs", "seconds"):
        raise ValueError(f"against={against!r}: must be 'trials', 'epochs' or 'seconds'")
    if record.pareto:
        raise ValueError(f"source={str(record.directory)!r}: has no single best objective; use plot_pareto_front")
    found = _scores(record) if against == "trials" else _reports(record, against)
    x, y, texts, end = found
    if not x:
        raise ValueError(f"source={str(record.directory)!r}: no trial has a finite objective yet")
    best: list[float] = []
    for value in y:
        best.append(value if not best else max(best[-1], value) if record.maximise else min(best[-1], value))
    limits = usual_range(y, record.maximise)
    dots = Points(x, y, DOT, "a trial" if against == "trials" else "a report", texts=texts, size=4.5)
    line = Line(*staircase(x, best, end), BEST, 2.0, "best so far")
    labels = {"trials": "trial", "epochs": "epochs of all trials", "seconds": "seconds"}
    panel = Panel([*at_the_edge(dots, limits), line], labels[against], objective_name(record), y_limits=limits)
    return draw(Picture("Optimization history", [panel]), backend)


def _scores(record: SearchRecord) -> tuple[list[float], list[float], list[str], float]:
    """Abscissa, ordinate and text of each trial that has a score, and where the axis ends."""
    scored = [(trial, *record.score(trial)) for trial in record.trials]
    rows = [(trial, score, epoch) for trial, score, epoch in scored if epoch]
    texts = [
        f"trial {trial.name}: {score:.5g} in epoch {epoch}<br>{in_words(trial.values_at(epoch))}"
        for trial, score, epoch in rows
    ]
    return [float(t.number) for t, _, _ in rows], [score for _, score, _ in rows], texts, float(len(record.trials) - 1)


def _reports(record: SearchRecord, against: str) -> tuple[list[float], list[float], list[str], float]:
    """The same of each report whose objective is finite."""
    x, y, texts, spent = [], [], [], 0
    for trial, k in record.each_report():
        spent += trial.epochs[k] - (trial.epochs[k - 1] if k else 0)
        if math.isfinite(trial.objectives[k]):
            x.append(float(spent) if against == "epochs" else trial.times[k])
            y.append(trial.objectives[k])
            texts.append(f"trial {trial.name}, epoch {trial.epochs[k]}: {trial.objectives[k]:.5g}")
    return x, y, texts, float(spent) if against == "epochs" else record.seconds


def plot_intermediate_values(source: Source, *, backend: Backend = "matplotlib") -> Any:
    """The learning curve of each trial, coloured by how far it came; the best one is thick.

    Colours tell the highest rung reached where trials are compared at rungs (ASHA, Hyperband, PASHA), and elsewhere
    what became of them. A dot is where a trial stands.

    Args:
        source: a project directory, a tuner, or a record.
        backend: "matplotlib" or "plotly".

    Returns:
        The figure. Values far worse than most lie outside of it.

    Raises:
        ValueError: ``backend`` is unknown, or nothing was reported yet.
        ImportError: it is not installed.
    """
    record = read(source)
    trials = [trial for trial in record.trials if trial.epochs]
    if not trials:
        raise ValueError(f"source={str(record.directory)!r}: no trial has reported an epoch yet")
    groups = _by_rung(record, trials) or _by_fate(trials)
    marks: list[Mark] = []
    for label, color, members in groups:
        marks.append(Line(*joined([(trial.epochs, trial.objectives) for trial in members]), color, 1.0, label))
        marks.append(_ends(members, color, "cross" if color == RED else "circle"))
    best = record.best
    if best is not None:
        marks.append(Line(best.epochs, best.objectives, ORANGE, 2.5, f"the best, trial {best.name}"))
        marks.append(_ends([best], ORANGE, "circle"))
    limits = usual_range([value for trial in trials for value in trial.objectives], record.maximise)
    panel = Panel(marks, "epoch", objective_name(record), y_limits=limits)
    return draw(Picture("Learning curves", [panel]), backend)


def _by_rung(record: SearchRecord, trials: Sequence[TrialRecord]) -> list[tuple[str, str, list[TrialRecord]]]:
    """Label, colour and trials of each group; none for a scheduler without rungs."""
    rungs = record.rung_epochs
    if not rungs:
        return []
    sound = [trial for trial in trials if trial.status != "failed"]
    colors = [FAINT, *shades(len(rungs))]
    labels = [f"not yet at {rungs[0]}", *(f"came to epoch {rung}" for rung in rungs)]
    groups = [
        (labels[k], colors[k], [trial for trial in sound if bisect_right(rungs, trial.epochs[-1]) == k])
        for k in range(len(rungs) + 1)
    ]
    groups.append(("failed", RED, [trial for trial in trials if trial.status == "failed"]))
    return [group for group in groups if group[2]]


def _by_fate(trials: Sequence[TrialRecord]) -> list[tuple[str, str, list[TrialRecord]]]:
    def fate(trial: TrialRecord) -> str:
        return "stopped early" if trial.stopped else {"queued": "waiting"}.get(trial.status, trial.status)

    colors = {"stopped early": FAINT, "paused": DOT, "waiting": DOT, "running": GREEN, "done": BEST, "failed": RED}
    groups = [(each, color, [trial for trial in trials if fate(trial) == each]) for each, color in colors.items()]
    return [group for group in groups if group[2]]


def _ends(trials: Sequence[TrialRecord], color: str, marker: Marker) -> Points:
    texts = [
        f"trial {trial.name}: {trial.objectives[-1]:.5g} after epoch {trial.epochs[-1]}<br>{trial.why or trial.status}"
        f"<br>{in_words(trial.values_at(trial.epochs[-1]))}"
        for trial in trials
    ]
    x = [float(trial.epochs[-1]) for trial in trials]
    return Points(x, [trial.objectives[-1] for trial in trials], color, marker=marker, size=4.5, texts=texts)
