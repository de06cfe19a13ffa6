"""A running search as text: what another process has done so far, how fast, and how long it may take."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kt_ext.reports import words
from kt_ext.reports.pace import pace
from kt_ext.reports.record import JOURNAL, LOCK, SearchRecord

BLOCKS, PLAIN_BLOCKS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
CURVE = 40  # characters


def sparkline(record: SearchRecord, blocks: str = BLOCKS, width: int = CURVE) -> str:
    """The best objective so far over the reports, from the worst of these (low) to the best; empty without one."""
    best: list[float] = []
    for trial, k in record.each_report():
        objective = trial.objectives[k]
        worth = -math.inf if math.isnan(objective) else objective if record.maximise else -objective
        best.append(max(worth, best[-1]) if best else worth)
    best = [worth for worth in best if math.isfinite(worth)]
    if not best:
        return ""
    count = min(width, len(best))
    shown = [best[(k + 1) * len(best) // count - 1] for k in range(count)]
    low, span = shown[0], shown[-1] - shown[0]
    return "".join(blocks[round((worth - low) / span * (len(blocks) - 1)) if span else 0] for worth in shown)


def silence(directory: Path) -> float:
    """Seconds since the last event of a search, or since a process took it up, by this machine's clock.

    Raises:
        OSError: there is no search.
    """
    events = [(directory / JOURNAL).stat().st_mtime]
    if (directory / LOCK).exists():
        events.append((directory / LOCK).stat().st_mtime)
    return max(0.0, time.time() - max(events))


def view(
    record: SearchRecord,
    holder: Mapping[str, Any] | None,
    silent: float = 0.0,
    size: tuple[int, int] = (100, 40),
    blocks: str = BLOCKS,
    own: bool = False,
) -> list[str]:
    """The lines of a display.

    Args:
        record: the search.
        holder: who leads it, from the project's lock; None: nobody.
        silent: seconds since its last event.
        size: columns and lines that there is room for.
        blocks: characters of the curve, from low to high.
        own: whether this process leads it, which need not be said.
    """
    units = f"{words.unit(record)}s"
    running = [trial for trial in record.trials if trial.status == "running"]
    lines = [
        f"{words.scheduler(record)} in {record.directory}",
        *([] if own else [_led(holder, silent)]),
        f"trials   {_of(len(record.trials), words.most_trials(record))} started: {words.statuses(record)}",
        f"{units:8} {record.total_epochs} in {_elapsed(record, silent, holder)}{_speed(record, silent, holder)}",
        f"best     {_best(record)}",
    ]
    curve = "" if record.pareto else sparkline(record, blocks)
    if curve:
        lines.append(f"         {curve}")
    rungs = words.rungs(record)
    if rungs:
        lines.append(f"rungs    {rungs}")
    rows = [
        f"  {trial.stretches[-1].worker or '-':12} trial {trial.name}  "
        f"{trial.epochs[-1] if trial.epochs else 0}/{trial.until} {units}  "
        f"{words.number(trial.objectives[-1]) if trial.objectives else ''}  {words.assignments(trial.values)}"
        for trial in running
    ]
    room = max(0, size[1] - len(lines) - 2)
    if rows and holder is not None and not room:
        lines.append(f"workers  {len(rows)}")
    elif rows and holder is not None:
        lines += ["workers", *rows[:room]]
        if len(rows) > room:
            lines[-1] = f"  and {len(rows) - room + 1} more"
    return [_printable(line)[: size[0] - 1] for line in lines]


def line(record: SearchRecord, holder: Mapping[str, Any] | None, silent: float = 0.0) -> str:
    """The search in one line, for a log."""
    return _printable(
        f"{_elapsed(record, silent, holder)}: {len(record.trials)} trials ({words.statuses(record)}), "
        f"{record.total_epochs} {words.unit(record)}s{_speed(record, silent, holder)}; best {_best(record)}"
    )


def _elapsed(record: SearchRecord, silent: float, holder: Mapping[str, Any] | None) -> str:
    """How long it has run, with the epoch that goes on."""
    return words.duration(record.seconds + (0.0 if holder is None else silent))


def _led(holder: Mapping[str, Any] | None, silent: float) -> str:
    if holder is None:
        return "state    no process leads it now"
    return f"state    led by process {holder['pid']} on {holder['host']}, last event {words.duration(silent)} ago"


def _of(count: int, most: int | None) -> str:
    return str(count) if most is None else f"{count} of {most}"


def _speed(record: SearchRecord, silent: float, holder: Mapping[str, Any] | None) -> str:
    if holder is None:
        return ""
    found = pace(record, holder.get("limits"), silent)
    speed = "" if math.isnan(found.epochs_per_minute) else f", {found.epochs_per_minute:.3g} a minute"
    if found.seconds_left is None:
        return speed
    return f"{speed}, {'at most' if found.at_most else 'about'} {words.duration(found.seconds_left)} left"


def _best(record: SearchRecord) -> str:
    best = record.best
    if best is None:
        return "none yet"
    found = words.assignments(words.judged(record, best))
    return f"{found} of trial {best.name}, {words.unit(record)} {record.score(best)[1]}: " + words.assignments(
        words.values(record, best)
    )


def _printable(text: str) -> str:
    """Without control characters, which a name or value could hold and a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)


def rewind(previous: Sequence[str]) -> str:
    """What brings a terminal's cursor back to the beginning of these lines and clears them."""
    return f"\x1b[{len(previous)}F\x1b[J" if previous else ""
