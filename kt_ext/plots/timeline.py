"""Who worked when on what."""

from __future__ import annotations

import os
from typing import Any

from kt_ext.plots.picture import BEST, DOT, GREEN, RED, Bars, Mark, Panel, Picture
from kt_ext.plots.render import Backend, draw
from kt_ext.reports.record import SearchRecord, read
from kt_ext.reports.trial_record import Stretch, TrialRecord

_COLORS = {"trained": DOT, "trained the best": BEST, "failed": RED, "running": GREEN}


def plot_timeline(source: str | os.PathLike[str] | Any, *, backend: Backend = "matplotlib") -> Any:
    """A row for each worker and a bar for each stay of a trial with it, over the time that the search has run.

    Args:
        source: a project directory, a tuner, or a record.
        backend: "matplotlib" or "plotly".

    Returns:
        The figure. Pauses between sessions are left out.

    Raises:
        ValueError: no trial was handed out yet, or ``backend`` is unknown.
        ImportError: it is not installed.
    """
    record = read(source)
    stays = [(trial, stretch) for trial in record.trials for stretch in trial.stretches]
    if not stays:
        raise ValueError(f"source={str(record.directory)!r}: no trial was handed out yet")
    workers = sorted({stretch.worker for _, stretch in stays}, key=lambda name: (len(name), name))
    unit, name = next((u, n) for u, n in ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds")) if _fits(record, u))
    best = record.best
    kinds: dict[str, list[tuple[TrialRecord, Stretch]]] = {kind: [] for kind in _COLORS}
    for trial, stretch in stays:
        kinds[_kind(trial, stretch, best)].append((trial, stretch))
    marks: list[Mark] = [
        Bars(
            [float(workers.index(s.worker)) for _, s in rows],
            [s.began / unit for _, s in rows],
            [(record.seconds if s.ended is None else s.ended) / unit for _, s in rows],
            _COLORS[kind],
            kind,
            [f"trial {t.name}, epochs {s.first_epoch + 1} to {s.last_epoch}<br>{kind}" for t, s in rows],
        )
        for kind, rows in kinds.items()
        if rows
    ]
    ticks = {float(k): worker or "a worker" for k, worker in enumerate(workers)}
    panel = Panel(marks, name, "", y_ticks=ticks)
    return draw(Picture("Timeline", [panel], (9.0, min(1.8 + 0.35 * len(workers), 12.0))), backend)


def _fits(record: SearchRecord, unit: float) -> bool:
    return record.seconds >= 2 * unit or unit == 1.0


def _kind(trial: TrialRecord, stretch: Stretch, best: TrialRecord | None) -> str:
    if stretch.ended is None:
        return "running"
    if trial.status == "failed" and stretch is trial.stretches[-1]:
        return "failed"
    return "trained the best" if trial is best else "trained"
