"""The population of an architecture search: scores, who is a member now, and who descends from whom."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kt_ext.nas.records import Records
from kt_ext.nas.searcher import PARENT
from kt_ext.reports.figure import new_figure, written

SIZE = (7.0, 4.0)  # inches
DOT, MEMBER, BEST, FAINT = "#9fb4c7", "#d9822b", "#1f4e79", "#bbbbbb"
FAR_OUT = 3.0  # spans of the middle half beyond it, as Tukey (1977) has it


@dataclass(frozen=True)
class _Point:
    """A trial with a score: its place in the order of starts from 1, the score, the trial whose weights it had."""

    trial_id: str
    place: int
    score: float
    parent: str | None


def plot_population(tuner_or_oracle: Any, path: str | Path | None = None) -> Any:
    """Each trial's score against its number: members of the strategy's population in another colour, thin lines from
    parents to the children that began with their weights, and the best so far.

    Args:
        tuner_or_oracle: a tuner or an oracle, during or after its search.
        path: written there, in the format that its suffix says.

    Returns:
        The ``matplotlib.figure.Figure``. Trials without a finite score are left out; scores far worse than most are
        triangles at the edge.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the suffix of ``path`` is unknown, or no trial has a score yet.
    """
    from matplotlib.collections import LineCollection

    oracle = getattr(tuner_or_oracle, "oracle", tuner_or_oracle)
    points = _points(oracle)
    by_id = {point.trial_id: point for point in points}
    members = population(oracle)
    figure, axes = _axes(oracle, "trials")
    descent = [
        [(by_id[point.parent].place, by_id[point.parent].score), (point.place, point.score)]
        for point in points
        if point.parent in by_id
    ]
    if descent:
        axes.add_collection(
            LineCollection(descent, colors=FAINT, linewidths=0.7, zorder=1, label="from parent to child")
        )
    for label, colour, chosen in (
        ("a trial", DOT, [point for point in points if point.trial_id not in members]),
        ("in the population", MEMBER, [point for point in points if point.trial_id in members]),
    ):
        if chosen:
            places, scores = [point.place for point in chosen], [point.score for point in chosen]
            axes.scatter(places, scores, s=20, color=colour, zorder=2, label=label)
    x = [point.place for point in points]
    _draw_best(axes, x, points, oracle, len(oracle.start_order))
    return _finished(figure, axes, x, points, oracle, path)


def population(oracle: Any) -> set[str]:
    """Ids of the trials that a strategy with a population would now choose parents from; empty for any other."""
    searcher: Any = getattr(oracle, "searcher", None)
    while hasattr(searcher, "searcher"):  # initial values and earlier searches come before it
        searcher = searcher.searcher
    strategy: Any = getattr(searcher, "strategy", None)
    if not hasattr(strategy, "members"):
        return set()
    records = Records(searcher.space, oracle.max_trials).follow(oracle.search.history)
    numbers = {record.number for record in strategy.members(records).records}
    return {trial_id for trial_id in oracle.trials if int(trial_id) in numbers}


def _points(oracle: Any) -> list[_Point]:
    found = []
    for place, trial_id in enumerate(oracle.start_order, 1):
        trial = oracle.trials[trial_id]
        if trial.score is not None and math.isfinite(trial.score):
            parent = trial.hyperparameters.values.get(PARENT)
            named = None if parent is None else next((each for each in oracle.trials if int(each) == int(parent)), None)
            found.append(_Point(trial_id, place, trial.score, named))
    if not found:
        raise ValueError("no trial has a score yet: search first")
    return found


def _axes(oracle: Any, label: str) -> tuple[Any, Any]:
    figure = new_figure(*SIZE)
    axes = figure.add_subplot()
    axes.set_xlabel(label)
    axes.set_ylabel(oracle.objective.name)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    figure.set_layout_engine("tight")
    return figure, axes


def _draw_best(axes: Any, x: list[int], points: list[_Point], oracle: Any, end: int) -> None:
    """The best so far as steps, up to the end of the axis."""
    better = max if oracle.objective.direction == "max" else min
    best: list[float] = []
    for point in points:
        best.append(better(point.score, best[-1]) if best else point.score)
    axes.step([*x, end], [*best, best[-1]], where="post", color=BEST, linewidth=1.6, zorder=3, label="the best so far")


def _finished(figure: Any, axes: Any, x: list[int], points: list[_Point], oracle: Any, path: str | Path | None) -> Any:
    """With the axis cut where the scores are far worse than most, and a legend."""
    upwards = 1.0 if oracle.objective.direction == "max" else -1.0
    goodness = upwards * np.array([point.score for point in points])
    low, high = np.percentile(goodness, [25, 75])
    is_far = goodness < low - FAR_OUT * (high - low)
    if is_far.any():
        kept = goodness[~is_far]
        room = 0.05 * (np.ptp(kept) or 1.0)
        edge = upwards * (kept.min() - room)
        axes.set_ylim(*sorted([edge, upwards * (kept.max() + room)]))
        far = np.array(x)[is_far]
        marker = "v" if upwards > 0 else "^"
        axes.scatter(far, np.full(len(far), edge), s=24, marker=marker, color=DOT, clip_on=False, label="far worse")
    axes.legend(frameon=False, fontsize=8, loc="best")
    return written(figure, path)
