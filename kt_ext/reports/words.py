"""Numbers, values and counts of a search as short texts for people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from kt_ext.reports.record import SearchRecord
from kt_ext.reports.trial_record import TrialRecord

STATUSES = {"done": "done", "paused": "paused", "running": "running", "queued": "waiting", "failed": "failed"}


def duration(seconds: float) -> str:
    """At most two units: "42 s", "3 min 5 s", "2 h 10 min", "4 d 3 h"."""
    whole = round(seconds)
    for size, unit, part, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def number(value: Any) -> str:
    """A value of any kind: floats with five digits, nothing for NaN and None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def assignments(values: Mapping[str, Any]) -> str:
    """``a=1 b=0.5``."""
    return " ".join(f"{name}={number(value)}" for name, value in values.items())


def statuses(record: SearchRecord) -> str:
    """How many trials are done, paused and so on, as ``3 done, 2 paused``."""
    counts = Counter(trial.status for trial in record.trials)
    return ", ".join(f"{counts[status]} {word}" for status, word in STATUSES.items() if counts[status]) or "none yet"


def counted(count: int, what: str) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def unit(record: SearchRecord) -> str:
    """What a trial is trained by: an epoch, or in a race an instance."""
    return "instance" if record.scheduler.get("scheduler") == "Racing" else "epoch"


def most_each(record: SearchRecord) -> int | None:
    """Epochs, or in a race instances, that a trial trains at most."""
    return record.scheduler.get("max_epochs", record.scheduler.get("max_instances"))


def most_trials(record: SearchRecord) -> int | None:
    """How many trials the scheduler starts at most; None where it is not in its settings."""
    return record.scheduler.get("max_trials", record.scheduler.get("population_size"))


def rungs(record: SearchRecord) -> str:
    """How many trials reached each rung, ``1: 27  3: 9  9: 3``; nothing of schedulers without rungs."""
    reached = [trial.epochs[-1] for trial in record.trials if trial.epochs]
    return "  ".join(f"{rung}: {sum(last >= rung for last in reached)}" for rung in record.rung_epochs)


def scheduler(record: SearchRecord) -> str:
    """The scheduler as it would be written: ``MedianRule(...) on FIFO(max_trials=9, ...)``; one may have no name."""
    settings = dict(record.scheduler)
    rules = settings.pop("rules", [])
    name = settings.pop("scheduler", None)
    del settings["digits"]
    explorer = settings.pop("explorer", None)
    if isinstance(explorer, Mapping):
        settings["explorer"] = explorer["explorer"]
    wrapped = "".join(
        f"{_call(rule['rule'], {k: v for k, v in rule.items() if k != 'rule'})} on " for rule in reversed(rules)
    )
    return wrapped + ("a scheduler of one's own" if name is None else _call(name, settings))


def _call(name: str, settings: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"


def judged(record: SearchRecord, trial: TrialRecord) -> dict[str, float]:
    """What a trial is judged by at its best epoch: its score by the objective's name, by Pareto rank each metric."""
    score, epoch = record.score(trial)
    if not epoch:
        return {}
    if record.pareto:
        at_best = trial.metrics[trial.epochs.index(epoch)]
        return {name: at_best[name] for name in record.directions}
    return {record.objective: score}


def values(record: SearchRecord, trial: TrialRecord) -> Mapping[str, Any]:
    """Its hyperparameters at its best epoch; without a score as they are."""
    epoch = record.score(trial)[1]
    return trial.values_at(epoch) if epoch else trial.values
