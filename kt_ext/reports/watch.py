"""A running search as text: what another process has done so far, how fast, and how long it may take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kt_ext.reports import words
from kt_ext.reports.record import SearchRecord

RECENT_SECONDS = 600.0  # the speed is that of the last ten minutes
BLOCKS, PLAIN_BLOCKS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
CURVE = 40  # characters


@dataclass(frozen=True)
class Pace:
    """How fast a search is.

    Attributes:
        epochs_per_minute: of the last ten minutes, or since it began; NaN before the first epoch.
        seconds_left: at most so many at this speed; None where the scheduler decides as it goes how much is trained,
            or before the first epoch.
    """

    epochs_per_minute: float
    seconds_left: float | None


def pace(record: SearchRecord, silent: float = 0.0) -> Pace:
    """The speed of a search and the time that is left.

    Only of schedulers that train every trial to the end (FIFO, PBT) the epochs to come are known: as many as there are
    at most, since trials may fail or be stopped by a rule. Limits such as ``max_seconds`` are not in the journal.

    Args:
        record: the search.
        silent: seconds since its last event.
    """
    now = record.seconds + silent
    begin = max(0.0, now - RECENT_SECONDS)
    recent = 0
    for trial in record.trials:
        before = 0
        for epoch, when in zip(trial.epochs, trial.times, strict=True):
            recent += epoch - before if when >= begin else 0
            before = epoch
    if not recent or now <= begin:
        return Pace(math.nan, None)
    speed = recent / (now - begin)
    left = _epochs_left(record)
    return Pace(60.0 * speed, None if left is None else left / speed)


def _epochs_left(record: SearchRecord) -> int | None:
    trials, each = words.most_trials(record), words.most_each(record)
    if record.scheduler["scheduler"] not in ("FIFO", "PBT") or trials is None or each is None:
        return None
    under_way = [trial for trial in record.trials if trial.status in ("running", "queued", "paused")]
    rest = sum(each - (trial.epochs[-1] if trial.epochs else 0) for trial in under_way)
    return rest + max(0, trials - len(record.trials)) * each


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


def view(
    record: SearchRecord,
    holder: Mapping[str, Any] | None,
    silent: float = 0.0,
    size: tuple[int, int] = (100, 40),
    blocks: str = BLOCKS,
) -> list[str]:
    """The lines of a display.

    Args:
        record: the search.
        holder: who leads it, from the project's lock; None: nobody.
        silent: seconds since its last event.
        size: columns and lines that there is room for.
        blocks: characters of the curve, from low to high.
    """
    units = f"{words.unit(record)}s"
    running = [trial for trial in record.trials if trial.status == "running"]
    lines = [
        f"{words.scheduler(record)} in {record.directory}",
        _led(holder, silent),
        f"trials   {_of(len(record.trials), words.most_trials(record))} started: {words.statuses(record)}",
        f"{units:8} {record.total_epochs} in {words.duration(record.seconds)}{_speed(record, silent, holder)}",
        f"best     {_best(record)}",
    ]
    curve = "" if record.pareto else sparkline(record, blocks)
    if curve:
        lines.append(f"         {curve}")
    rows = [
        f"  {trial.stretches[-1].worker or '-':12} trial {trial.name}  "
        f"{trial.epochs[-1] if trial.epochs else 0}/{trial.until} {units}  "
        f"{words.number(trial.objectives[-1]) if trial.objectives else ''}  {words.assignments(trial.values)}"
        for trial in running
    ]
    room = size[1] - len(lines) - 2
    if rows and holder is not None:
        lines += ["workers", *rows[:room]]
        if len(rows) > room:
            lines[-1] = f"  and {len(rows) - room + 1} more"
    return [_printable(line)[: size[0] - 1] for line in lines]


def line(record: SearchRecord, holder: Mapping[str, Any] | None, silent: float = 0.0) -> str:
    """The search in one line, for a log."""
    return _printable(
        f"{words.duration(record.seconds)}: {len(record.trials)} trials ({words.statuses(record)}), "
        f"{record.total_epochs} {words.unit(record)}s{_speed(record, silent, holder)}; best {_best(record)}"
    )


def _led(holder: Mapping[str, Any] | None, silent: float) -> str:
    if holder is None:
        return "state    no process leads it now"
    return f"state    led by process {holder['pid']} on {holder['host']}, last event {words.duration(silent)} ago"


def _of(count: int, most: int | None) -> str:
    return str(count) if most is None else f"{count} of {most}"


def _speed(record: SearchRecord, silent: float, holder: Mapping[str, Any] | None) -> str:
    found = pace(record, silent if holder is not None else 0.0)
    if holder is None or math.isnan(found.epochs_per_minute):
        return ""
    left = "" if found.seconds_left is None else f", at most {words.duration(found.seconds_left)} left"
    return f", {found.epochs_per_minute:.3g} a minute{left}"


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
