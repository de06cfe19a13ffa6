"""The population of an architecture search: scores, who is a member now, and whose weights a trial began with."""

from __future__ import annotations

import os
from itertools import accumulate
from typing import Any

from kt_ext.nas.records import Records
from kt_ext.plots.picture import (
    BEST,
    DOT,
    FAINT,
    ORANGE,
    Line,
    Mark,
    Panel,
    Picture,
    Points,
    at_the_edge,
    in_words,
    joined,
    staircase,
    usual_range,
)
from kt_ext.plots.render import Backend, draw
from kt_ext.reports.optuna_study import objective_name
from kt_ext.reports.record import SearchRecord, read
from kt_ext.reports.trial_record import TrialRecord


def plot_population(source: str | os.PathLike[str] | Any, *, backend: Backend = "matplotlib") -> Any:
    """Each trial's score by its number, thin lines from parents to the children that began with their weights, and the
    best so far; of a tuner also, in another colour, the members of its strategy's population.

    Args:
        source: a tuner, whose strategy is asked for its population; or a project directory or record, which do not
            know it.
        backend: "matplotlib" or "plotly".

    Returns:
        The figure. Trials without a finite score are left out, and from the best so far those that failed; scores far
        worse than most are triangles at the edge.

    Raises:
        ValueError: no trial has a score yet, several objectives are compared by domination, or ``backend`` is unknown.
        ImportError: it is not installed.
    """
    record = read(source)
    if record.pareto:
        raise ValueError(f"source={str(record.directory)!r}: has no single score; use plot_pareto_front")
    scores = {trial.number: record.score(trial)[0] for trial in record.trials if record.score(trial)[1]}
    if not scores:
        raise ValueError(f"source={str(record.directory)!r}: no trial has a score yet")
    members = population(source.oracle) if hasattr(source, "oracle") else set()
    limits = usual_range(list(scores.values()), record.maximise)
    pieces = [
        ([parent, trial.number], [scores[parent], scores[trial.number]])
        for trial in record.trials
        if (parent := trial.parent) is not None and parent in scores and trial.number in scores
    ]
    marks: list[Mark] = []
    if pieces:
        marks.append(Line(*joined(pieces), FAINT, 0.8, "from parent to child"))
    scored = [trial for trial in record.trials if trial.number in scores]
    for label, color, chosen in (
        ("a trial", DOT, [trial for trial in scored if trial.number not in members]),
        ("in the population", ORANGE, [trial for trial in scored if trial.number in members]),
    ):
        if chosen:
            marks += at_the_edge(_points(record, chosen, scores, color, label), limits)
    ranked = sorted(trial.number for trial in record.ranked())
    best = list(accumulate((scores[number] for number in ranked), max if record.maximise else min))
    if best:  # not all failed
        marks.append(Line(*staircase(ranked, best, len(record.trials) - 1), BEST, 2.0, "best so far"))
    panel = Panel(marks, "trial", objective_name(record), y_limits=limits)
    return draw(Picture("Population", [panel]), backend)


def population(oracle: Any) -> set[int]:
    """Numbers of the trials that a strategy with a population would now choose parents from; none of any other."""
    searcher: Any = getattr(oracle, "searcher", None)
    while hasattr(searcher, "searcher"):  # initial values and earlier searches come before it
        searcher = searcher.searcher
    strategy: Any = getattr(searcher, "strategy", None)
    if not hasattr(strategy, "members"):
        return set()
    records = Records(searcher.space, oracle.max_trials).follow(oracle.search.history)
    return {record.number for record in strategy.members(records).records}


def _points(
    record: SearchRecord, trials: list[TrialRecord], scores: dict[int, float], color: str, label: str
) -> Points:
    texts = [
        f"trial {trial.name}: {scores[trial.number]:.5g} in epoch {record.score(trial)[1]}"
        f"<br>{in_words(trial.values_at(record.score(trial)[1]))}"
        for trial in trials
    ]
    return Points(
        [float(trial.number) for trial in trials],
        [scores[trial.number] for trial in trials],
        color,
        label,
        size=4.5,
        texts=texts,
    )
