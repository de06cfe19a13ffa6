"""A population in training: who took over whose state, and each value along the way."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from kt_ext.plots.picture import (
    FAINT,
    ORANGE,
    RED,
    Line,
    Mark,
    Panel,
    Picture,
    Points,
    in_words,
    joined,
    shades,
    staircase,
)
from kt_ext.plots.render import Backend, draw
from kt_ext.reports.record import SearchRecord, read
from kt_ext.reports.trial_record import TrialRecord

Source = str | os.PathLike[str] | Any
SHADES = 5


class Stretch(NamedTuple):
    """Epochs that one member trained on the way to a state: those after ``begin``, up to and including ``end``."""

    member: int
    begin: int
    end: int


def path_to(record: SearchRecord, number: int, epoch: int) -> list[Stretch]:
    """Who trained the state that a trial had after ``epoch`` epochs, from the first epoch on."""
    backwards = []
    while epoch:
        taken = [(t.epoch, t.donor) for t in record.trials[number].takeovers if t.donor is not None and t.epoch < epoch]
        begin, donor = taken[-1] if taken else (0, number)
        backwards.append(Stretch(number, begin, epoch))
        number, epoch = donor, begin
    return backwards[::-1]


def plot_lineage(source: Source, *, backend: Backend = "matplotlib") -> Any:
    """Each member of a population as a row over its epochs, each takeover as a line from the donor's row.

    The darker an epoch, the better the member among those that reported it. The way to the best state is thick.

    Args:
        source: the project directory, tuner or record of a search such as PBT's.
        backend: "matplotlib" or "plotly".

    Returns:
        The figure.

    Raises:
        ValueError: nothing was reported yet, or ``backend`` is unknown.
        ImportError: it is not installed.
    """
    record = read(source)
    trials = [trial for trial in record.trials if trial.epochs]
    if not trials:
        raise ValueError(f"source={str(record.directory)!r}: no trial has reported an epoch yet")
    marks: list[Mark] = []
    path = _best_path(record)
    if path:
        pieces = [([s.begin, s.end], [s.member, s.member]) for s in path]
        joins = [([old.end, old.end], [old.member, new.member]) for old, new in pairwise(path)]
        marks.append(Line(*joined([*pieces, *joins]), ORANGE, 7.0, "the way to the best"))
    takeovers = [(t, trial, t.donor) for trial in trials for t in trial.takeovers if t.donor is not None]
    if takeovers:
        joins = [([t.epoch, t.epoch], [donor, trial.number]) for t, trial, donor in takeovers]
        marks.append(Line(*joined(joins), RED, 1.0, "takes over"))
    labels = ["worst of its epoch", *[""] * (SHADES - 2), "best of its epoch"]
    for color, label, rows in zip(shades(SHADES), labels, _shaded(trials, record.maximise), strict=True):
        if rows:
            marks.append(Line(*joined(rows), color, 3.0, label))
    if takeovers:
        texts = [
            f"after epoch {t.epoch} trial {trial.name} takes over {record.trials[donor].name}'s state"
            f"<br>{in_words(t.values)}"
            for t, trial, donor in takeovers
        ]
        x = [float(t.epoch) for t, _, _ in takeovers]
        marks.append(Points(x, [float(trial.number) for _, trial, _ in takeovers], RED, size=4.0, texts=texts))
    ticks = {float(trial.number): trial.name for trial in trials}
    panel = Panel(marks, "epoch", "trial", y_ticks=ticks if len(ticks) <= 40 else None)
    height = min(max(3.0, 1.5 + 0.3 * len(trials)), 12.0)
    return draw(Picture("Lineage", [panel], (9.0, height)), backend)


def _shaded(trials: Sequence[TrialRecord], maximise: bool) -> list[list[tuple[list[float], list[float]]]]:
    """For each shade, worst first, the pieces of rows that have it: one epoch of one member each."""
    by_epoch: dict[int, list[tuple[float, int, int]]] = {}
    for trial in trials:
        before = 0
        for epoch, objective in zip(trial.epochs, trial.objectives, strict=True):
            worth = -math.inf if math.isnan(objective) else objective if maximise else -objective
            by_epoch.setdefault(epoch, []).append((worth, trial.number, before))
            before = epoch
    found: list[list[tuple[list[float], list[float]]]] = [[] for _ in range(SHADES)]
    for epoch, reports in by_epoch.items():
        for place, (_, number, before) in enumerate(sorted(reports)):
            share = (place + 0.5) / len(reports)
            found[int(share * SHADES)].append(([before, epoch], [number, number]))
    return found


def plot_schedules(source: Source, params: Sequence[str] | None = None, *, backend: Backend = "matplotlib") -> Any:
    """Each hyperparameter over the epochs of each member; the values along the way to the best state are thick.

    Args:
        source: the project directory, tuner or record of a search such as PBT's.
        params: which hyperparameters, a panel for each; None: those that changed in mid-training, or if none did, all.
        backend: "matplotlib" or "plotly".

    Returns:
        The figure.

    Raises:
        ValueError: a name in ``params`` is unknown, nothing was reported yet, or ``backend`` is unknown.
        ImportError: the backend is not installed.
    """
    record = read(source)
    trials = [trial for trial in record.trials if trial.epochs]
    if not trials:
        raise ValueError(f"source={str(record.directory)!r}: no trial has reported an epoch yet")
    unknown = [name for name in params or () if name not in record.names]
    if unknown:
        raise ValueError(
            f"params={list(params or ())!r}: there is no {unknown[0]!r}; there are {', '.join(record.names)}"
        )
    changed = {
        name for t in trials for later in t.takeovers for name in _differing(t.values_at(later.epoch), later.values)
    }
    names = list(params) if params else [name for name in record.names if name in changed] or record.names
    panels = [_schedule(record, trials, name) for name in names]
    return draw(Picture("Schedules", panels, (8.0, max(3.5, 1.0 + 2.0 * len(panels)))), backend)


def _differing(old: Any, new: Any) -> set[str]:
    return {name for name in {*old, *new} if old.get(name) != new.get(name)}


def _schedule(record: SearchRecord, trials: Sequence[TrialRecord], name: str) -> Panel:
    configs = [entry["config"] for entry in record.space if entry["config"]["name"] == name]
    is_number = bool(configs) and all("min_value" in config for config in configs)
    used = {t.values_at(epoch).get(name) for t in trials for epoch in (1, *(e.epoch + 1 for e in t.takeovers))}
    listed = [value for config in configs for value in config.get("values", ())]
    known = dict.fromkeys([*listed, *sorted(used - {None}, key=str)])
    heights = {value: float(k) for k, value in enumerate(known)}

    def height(value: Any) -> float:
        return math.nan if value is None else value if is_number else heights[value]

    def stairs(trial: TrialRecord, begin: int, end: int) -> tuple[list[float], list[float]]:
        starts = sorted({begin, *(t.epoch for t in trial.takeovers if begin < t.epoch < end)})
        return staircase(starts, [height(trial.values_at(start + 1).get(name)) for start in starts], end)

    marks: list[Mark] = [Line(*joined([stairs(trial, 0, trial.epochs[-1]) for trial in trials]), FAINT, 1.2, "a trial")]
    path = _best_path(record)
    if path:
        steps = [stairs(record.trials[s.member], s.begin, s.end) for s in path]
        x, y = [each for xs, _ in steps for each in xs], [each for _, ys in steps for each in ys]
        marks.append(Line(x, y, ORANGE, 2.5, "the way to the best"))
    ticks = None if is_number else {k: str(value) for value, k in heights.items()}
    return Panel(marks, "epoch", name, y_ticks=ticks, log_y=is_number and configs[0]["sampling"] == "log")


def _best_path(record: SearchRecord) -> list[Stretch]:
    best = record.best
    return [] if best is None else path_to(record, best.number, record.score(best)[1])
