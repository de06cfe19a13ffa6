"""What a search did, read from its journal: a running one's too, from any process, without Keras or the model."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kt_ext.core.decision import Value
from kt_ext.core.journal import Journal

JOURNAL = "journal.jsonl"
_OBJECTIVE = re.compile(r'name="([^"]*)", direction="(min|max)"')


@dataclass
class Stretch:
    """One stay of a trial with a worker.

    Attributes:
        worker: its name.
        began, ended: seconds since the search began; ``ended`` is None while it goes on.
        first_epoch, last_epoch: epochs done before it and after it.
        until: the epoch that it was sent to.
    """

    worker: str
    began: float
    first_epoch: int
    until: int
    ended: float | None = None
    last_epoch: int = 0


@dataclass
class Takeover:
    """A trial goes on from another's state, or with other values.

    Attributes:
        epoch: epochs that it had done.
        donor: the trial whose state it took; None if it kept its own.
        values: what it goes on with.
    """

    epoch: int
    donor: int | None
    values: Mapping[str, Value]


@dataclass
class TrialRecord:
    """One trial.

    Attributes:
        number: from 0 in the order of the start.
        name: Keras Tuner's trial id.
        values: the user's hyperparameters as they are now.
        first_values: as they were at the start.
        parent: the trial whose weights it began with; None: from scratch.
        status: "running", "queued" (to be handed out again), "paused", "done" or "failed".
        why: why it is not running, in words.
        epochs, times, objectives, metrics: of each report the epochs done, the seconds since the search began, the
            objective (in the user's units, NaN if it counted as the worst) and all metrics.
        stretches: its stays with workers.
        takeovers: its changes in mid-training.
    """

    number: int
    name: str
    values: dict[str, Value]
    first_values: dict[str, Value]
    parent: int | None
    status: str = "running"
    why: str = ""
    epochs: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    objectives: list[float] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    takeovers: list[Takeover] = field(default_factory=list)

    def best(self, maximise: bool) -> tuple[float, int]:
        """The best objective and the first epoch that reached it; (NaN, 0) without a finite one."""
        found = [(o, epoch) for o, epoch in zip(self.objectives, self.epochs, strict=True) if math.isfinite(o)]
        if not found:
            return math.nan, 0
        return min(found, key=lambda pair: (-pair[0] if maximise else pair[0], pair[1]))


@dataclass
class SearchRecord:
    """A whole search.

    Attributes:
        directory: of the project.
        objective: the metric's name, or names joined by " and ".
        directions: of each metric of the objective "min" or "max".
        maximise: whether a larger objective is better.
        pareto: whether several objectives are compared by domination; ``objectives`` are then Pareto ranks.
        seed, version, scheduler, space: what it was begun with; the scheduler's settings and Keras Tuner's entries.
        trials: in the order of their start.
        reports: trial numbers in the order of their reports, one for each.
        seconds: that it has run so far, all sessions together.
    """

    directory: Path
    objective: str = ""
    directions: dict[str, str] = field(default_factory=dict)
    maximise: bool = False
    pareto: bool = False
    seed: int = 0
    version: str = ""
    scheduler: dict[str, Any] = field(default_factory=dict)
    space: list[dict[str, Any]] = field(default_factory=list)
    trials: list[TrialRecord] = field(default_factory=list)
    reports: list[int] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def best(self) -> TrialRecord | None:
        """The trial of the best objective; None without a finite one."""
        found = [trial for trial in self.trials if trial.best(self.maximise)[1]]
        sign = -1 if self.maximise else 1
        return min(found, key=lambda trial: (sign * trial.best(self.maximise)[0], trial.number), default=None)

    @property
    def names(self) -> list[str]:
        """The hyperparameters, in the order in which they became known."""
        listed = [entry["config"]["name"] for entry in self.space]
        return list(dict.fromkeys([*listed, *(name for trial in self.trials for name in trial.values)]))

    @property
    def total_epochs(self) -> int:
        """Epochs trained by all trials together."""
        return sum(trial.epochs[-1] for trial in self.trials if trial.epochs)


def read(source: str | os.PathLike[str] | Any) -> SearchRecord:
    """The record of a search.

    Args:
        source: a project directory (``directory/project_name``), or a tuner, whose directory is read.

    Raises:
        FileNotFoundError: no kt_ext search was begun there.
        JournalDamaged: its journal cannot be trusted.
    """
    directory = Path(source if isinstance(source, (str, os.PathLike)) else source.project_dir)
    path = directory / JOURNAL
    if not path.exists() or not path.stat().st_size:
        raise FileNotFoundError(
            f"{path}: there is no such journal; give the project directory of a kt_ext search, which is "
            "directory/project_name"
        )
    record = SearchRecord(directory)
    for _, event in Journal.read(path):
        record.seconds = event.get("t", record.seconds)
        _HANDLERS.get(event["e"], _ignore)(record, event)
    return record


def _ignore(record: SearchRecord, event: Mapping[str, Any]) -> None:
    """An event that says nothing of trials."""


def _search(record: SearchRecord, event: Mapping[str, Any]) -> None:
    found = _OBJECTIVE.findall(event["objective"])
    metrics = found[1:] if event["objective"].startswith("Multi") else found
    record.directions = dict(metrics)
    record.objective = " and ".join(record.directions)
    record.pareto = event["objective"].endswith(" by Pareto rank")
    record.maximise = len(metrics) == 1 and metrics[0][1] == "max"
    record.seed, record.version, record.space = event["seed"], event["kt_ext"], list(event["space"])
    record.scheduler = dict(event["scheduler"].get("configuration", {}))
    record.scheduler["digits"] = event["digits"]


def _space(record: SearchRecord, event: Mapping[str, Any]) -> None:
    record.space += event["entries"]


def _ask(record: SearchRecord, event: Mapping[str, Any]) -> None:
    number = event["trial"]
    if number == len(record.trials):
        values = _own(event["values"])
        name = f"{number:0{record.scheduler['digits']}d}"
        record.trials.append(TrialRecord(number, name, values, dict(values), event["values"].get("kt_ext/parent")))
        record.trials[number].stretches.append(Stretch("", record.seconds, 0, event["until"]))
    trial = record.trials[number]
    done = trial.epochs[-1] if trial.epochs else 0
    if "values" in event and trial.epochs:
        trial.values = _own(event["values"])
    donor = event.get("restore", [number])[0]
    if trial.epochs and ("values" in event or donor != number):
        trial.takeovers.append(Takeover(done, donor if donor != number else None, dict(trial.values)))
    _begin(record, event, event["until"])


def _begin(record: SearchRecord, event: Mapping[str, Any], until: int | None = None) -> None:
    """A worker takes the trial; one that was decided on but not handed out yet has none."""
    trial = record.trials[event["trial"]]
    until = trial.stretches[-1].until if until is None else until
    if event.get("worker", "") is None:
        trial.stretches[-1].until = until
        return
    done = trial.epochs[-1] if trial.epochs else 0
    stretch = Stretch(event.get("worker", ""), record.seconds, done, until, last_epoch=done)
    if trial.stretches[-1].worker == "":
        trial.stretches[-1] = stretch
    else:
        trial.stretches.append(stretch)
    trial.status, trial.why = "running", ""


def _tell(record: SearchRecord, event: Mapping[str, Any]) -> None:
    trial, epoch = record.trials[event["trial"]], event["epoch"]
    objective = float(event["objective"])
    worst = not math.isfinite(objective)
    trial.epochs.append(epoch)
    trial.times.append(record.seconds)
    trial.objectives.append(math.nan if worst else -objective if record.maximise else objective)
    trial.metrics.append(event["metrics"])
    record.reports.append(trial.number)
    stretch = trial.stretches[-1]
    stretch.last_epoch = epoch
    if "until" in event:
        stretch.until = event["until"]
    if "values" in event or "restore" in event:
        trial.values = _own(event.get("values", trial.values))
        donor = event.get("restore", [trial.number])[0]
        trial.takeovers.append(Takeover(epoch, donor if donor != trial.number else None, dict(trial.values)))
    if event["do"] == "pause":
        _leave(record, trial, "paused", f"paused after epoch {epoch}, not among the best there so far")
    elif event["do"] == "stop":
        whole = epoch == record.scheduler.get("max_epochs", stretch.until)
        _leave(
            record, trial, "done", "trained to the end" if whole else f"stopped after epoch {epoch} by the scheduler"
        )


def _leave(record: SearchRecord, trial: TrialRecord, status: str, why: str) -> None:
    trial.status, trial.why = status, why
    trial.stretches[-1].ended = record.seconds


def _end(record: SearchRecord, event: Mapping[str, Any]) -> None:
    trial = record.trials[event["trial"]]
    reason = event.get("failed") or event.get("lost") or ""
    said = reason.strip().splitlines()[-1] if reason.strip() else ""
    why = {
        "done": "ended itself" if trial.epochs else "ended before its first epoch",
        "failed": f"failed: {said}" if said else "failed",
        "queued": f"waits to be tried again: {said}" if said else "was interrupted, and waits to go on",
    }[event["as"]]
    _leave(record, trial, event["as"], why)


def _values(record: SearchRecord, event: Mapping[str, Any]) -> None:
    trial = record.trials[event["trial"]]
    trial.values = _own(event["values"])
    if not trial.takeovers:
        trial.first_values = dict(trial.values)


def _own(values: Mapping[str, Value]) -> dict[str, Value]:
    """Without what only steers the worker."""
    return {name: value for name, value in values.items() if not name.startswith(("tuner/", "kt_ext/"))}


_HANDLERS = {
    "search": _search,
    "space": _space,
    "ask": _ask,
    "again": _begin,
    "given": _begin,
    "tell": _tell,
    "end": _end,
    "values": _values,
}
