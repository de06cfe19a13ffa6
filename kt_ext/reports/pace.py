"""How fast a search is, and how long it may yet take."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from kt_ext.reports import words
from kt_ext.reports.record import SearchRecord
from kt_ext.schedulers.rungs import bracket_sizes, geometric_epochs

RECENT_SECONDS = 600.0  # the speed is that of the last ten minutes,
RECENT_REPORTS = 10  # or of so many reports where these take longer


@dataclass(frozen=True)
class Pace:
    """How fast a search is.

    Attributes:
        epochs_per_minute: of the last ten minutes, of as long as ten reports and one of each running trial took, or
            since it began; NaN before the first epoch.
        seconds_left: so many at this speed; None where the scheduler decides as it goes how much is trained and nothing
            limits it, before the first epoch, or past ``max_seconds``, when the epochs that go on are the last.
        at_most: whether it cannot be more at this speed; otherwise it is about so many.
    """

    epochs_per_minute: float
    seconds_left: float | None = None
    at_most: bool = True


def pace(record: SearchRecord, limits: Mapping[str, Any] | None = None, silent: float = 0.0) -> Pace:
    """The speed of a search and the time that is left.

    Where every trial is trained to the end (FIFO, PBT) the epochs to come are known: as many as there are at most,
    since trials may fail or be stopped by a rule. Successive halving lets ``1 / factor`` of the trials pass each rung:
    about so many epochs, as more are promoted where early ones proved to be worse than later ones. An epoch that is
    under way at ``max_seconds`` is trained to its end: about then.

    Args:
        record: the search.
        limits: ``max_total_epochs`` and ``max_seconds`` of who leads it; what is missing, None or infinite does not
            limit.
        silent: seconds since its last event.
    """
    limits = {name: limit for name, limit in (limits or {}).items() if limit is not None and math.isfinite(limit)}
    now = record.seconds + silent
    speed = _speed(record, now)
    a_minute = 60.0 * speed if speed else math.nan
    found: list[tuple[float, bool]] = []
    if "max_seconds" in limits:
        if limits["max_seconds"] <= now:
            return Pace(a_minute)
        found.append((limits["max_seconds"] - now, False))
    if speed:
        if "max_total_epochs" in limits:
            found.append((max(0, limits["max_total_epochs"] - record.total_epochs) / speed, True))
        epochs = _epochs_left(record)
        if epochs is not None:
            found.append((epochs / speed, _trains_all(record)))
    seconds, at_most = min(found, default=(None, True))
    return Pace(a_minute, seconds, at_most)


def _speed(record: SearchRecord, now: float) -> float:
    """Recent epochs a second, counted from a report on, which is not among them: none was begun before."""
    reports: list[tuple[float, int]] = []  # when, and how many epochs after the trial's report before
    for trial in record.trials:
        reports += zip(trial.times, (high - low for low, high in pairwise([0, *trial.epochs])), strict=True)
    reports.sort()
    running = sum(trial.status == "running" for trial in record.trials)
    first = min(bisect(reports, (now - RECENT_SECONDS, math.inf)), len(reports) - max(RECENT_REPORTS, running))
    begin = reports[first - 1][0] if first > 0 else 0.0
    return sum(epochs for _, epochs in reports[max(0, first) :]) / (now - begin) if now > begin else 0.0


def _trains_all(record: SearchRecord) -> bool:
    """Whether every trial is trained to the end, but for rules and failures."""
    return record.scheduler.get("scheduler") in ("FIFO", "PBT")


def _epochs_left(record: SearchRecord) -> float | None:
    trials, each = words.most_trials(record), words.most_each(record)
    if _trains_all(record) and trials is not None and each is not None:
        under_way = [trial for trial in record.trials if trial.status in ("running", "queued", "paused")]
        rest = sum(each - (trial.epochs[-1] if trial.epochs else 0) for trial in under_way)
        return rest + max(0, trials - len(record.trials)) * each
    if record.scheduler.get("scheduler") in ("ASHA", "Hyperband"):
        sent_to = sum(
            trial.until - (trial.epochs[-1] if trial.epochs else 0)
            for trial in record.trials
            if trial.status == "running" and trial.until < record.scheduler["max_epochs"]
        )
        return max(float(sent_to), halving_epochs(record.scheduler) - record.total_epochs)
    return None


def halving_epochs(configuration: Mapping[str, Any]) -> float:
    """About how many epochs successive halving trains with these settings of ``ASHA`` or ``Hyperband``.

    Each rung passes on ``1 / factor`` of the trials that reach it, and the brackets have Hyperband's shares of all.
    """
    factor = configuration["factor"]
    rungs = geometric_epochs(configuration["min_epochs"], configuration["max_epochs"], factor)
    sizes = bracket_sizes(len(rungs), factor)[: configuration["brackets"]]
    total = 0.0
    for s, size in enumerate(sizes):
        epochs = rungs[s:]
        steps = [epochs[0], *(high - low for low, high in pairwise(epochs))]
        total += size * sum(step / factor**k for k, step in enumerate(steps))
    return total * configuration["max_trials"] / sum(sizes)
