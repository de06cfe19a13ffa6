"""What a search did, read from its journal: a running one's too, from any process, without Keras or the model."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.journal import Journal, Position
from kt_ext.core.pareto import dominated_by, dominating
from kt_ext.reports.reasons import is_whole, why_ended, why_paused, why_stopped
from kt_ext.reports.trial_record import Stretch, Takeover, TrialRecord
from kt_ext.schedulers.rungs import geometric_epochs

JOURNAL, LOCK = "journal.jsonl", "kt_ext.lock"
_OBJECTIVE = re.compile(r'name="([^"]*)", direction="(min|max)"')


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
        searcher: its class, or that of its strategy, as it is now; empty where an earlier version began the search.
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
    searcher: str = ""
    space: list[dict[str, Any]] = field(default_factory=list)
    trials: list[TrialRecord] = field(default_factory=list)
    reports: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def score(self, trial: TrialRecord) -> tuple[float, int]:
        """The objective that a trial is judged by, in the user's units, and its epoch; (NaN, 0) without a finite one.

        That of its best epoch; of Pareto ranks that of an epoch which none of its other epochs dominates, as the search
        itself has it: the first, until one that no epoch dominates dominates that one or has a lower rank.
        """
        if not self.pareto:
            return trial.best(self.maximise)
        score, best = math.nan, 0
        points = self.points(trial)
        for k, (rank, epoch) in enumerate(zip(trial.objectives, trial.epochs, strict=True)):
            if math.isnan(rank) or dominating(points[k], points[:k]).any():
                continue
            if not best or rank < score or dominating(points[trial.epochs.index(best)], points[k : k + 1])[0]:
                score, best = rank, epoch
        return score, best

    def points(self, trial: TrialRecord) -> np.ndarray:
        """Each report's metrics of the objective, minimised, shape (reports, metrics); ``inf`` if it was of no use."""
        rows = np.full((len(trial.epochs), len(self.directions)), math.inf)
        for row, objective, metrics in zip(rows, trial.objectives, trial.metrics, strict=True):
            if not math.isnan(objective):
                row[:] = [-metrics[name] if way == "max" else metrics[name] for name, way in self.directions.items()]
        return rows

    def ranked(self) -> list[TrialRecord]:
        """The trials that have a score and did not fail, best first; by Pareto rank those that fewer dominate first."""
        scores = {trial.number: self.score(trial) for trial in self.trials}
        found = [trial for trial in self.trials if scores[trial.number][1] and trial.status != "failed"]
        dominators = dict.fromkeys(scores, 0)
        if self.pareto and found:
            judged = [self.points(trial)[trial.epochs.index(scores[trial.number][1])] for trial in found]
            counts = dominated_by(np.array(judged)).tolist()
            dominators.update(zip((trial.number for trial in found), counts, strict=True))
        sign = -1 if self.maximise else 1
        return sorted(found, key=lambda t: (dominators[t.number], sign * scores[t.number][0], t.number))

    @property
    def best(self) -> TrialRecord | None:
        """The trial of the best score; None without one."""
        return next(iter(self.ranked()), None)

    @property
    def names(self) -> list[str]:
        """The hyperparameters, in the order in which they became known."""
        listed = [entry["config"]["name"] for entry in self.space]
        return list(dict.fromkeys([*listed, *(name for trial in self.trials for name in trial.values)]))

    @property
    def rung_epochs(self) -> tuple[int, ...]:
        """The epochs at which trials are compared, ascending; none of a scheduler without rungs."""
        settings = self.scheduler
        needed = ("min_epochs", "max_epochs", "factor")  # a user's own scheduler may have one of them
        if any(name not in settings for name in needed):
            return ()
        return geometric_epochs(*(settings[name] for name in needed))

    def each_report(self) -> Iterator[tuple[TrialRecord, int]]:
        """The trial of each report and which of its reports that is, from 0, in the order in which they came."""
        counts = [0] * len(self.trials)
        for number in self.reports:
            yield self.trials[number], counts[number]
            counts[number] += 1

    @property
    def total_epochs(self) -> int:
        """Epochs trained by all trials together."""
        return sum(trial.epochs[-1] for trial in self.trials if trial.epochs)


def read(source: str | os.PathLike[str] | Any) -> SearchRecord:
    """The record of a search.

    Args:
        source: a project directory (``directory/project_name``), a tuner, whose directory is read, or a record.

    Raises:
        FileNotFoundError: no kt_ext search was begun there.
        JournalDamaged: its journal cannot be trusted.
    """
    if isinstance(source, SearchRecord):
        return source
    return Follower(source if isinstance(source, (str, os.PathLike)) else source.project_dir).update()


class Follower:
    """Follows a search that another process leads, and reads of its journal only what is new.

    Args:
        directory: of the project.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._record = SearchRecord(Path(directory))
        self._end = Position()
        self._inode = 0

    def update(self) -> SearchRecord:
        """The search as it stands now; the same object as before, unless the search was begun anew in its place.

        Raises:
            FileNotFoundError, JournalDamaged: as ``read``.
        """
        path = self._record.directory / JOURNAL
        file = path.stat() if path.exists() else None
        if file is None or not file.st_size:
            raise FileNotFoundError(
                f"{path}: there is no such journal; search first, or give the project directory of a kt_ext search, "
                "which is directory/project_name"
            )
        if file.st_ino != self._inode or file.st_size < self._end.offset:
            self._record, self._end, self._inode = SearchRecord(self._record.directory), Position(), file.st_ino
        record = self._record
        for position, event in Journal.read(path, self._end):
            record.seconds = event.get("t", record.seconds)
            _HANDLERS.get(event["e"], _ignore)(record, event)
            self._end = position
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
    record.searcher = event.get("searcher", "")


def _changed(record: SearchRecord, event: Mapping[str, Any]) -> None:
    if "max_trials" in record.scheduler:
        record.scheduler["max_trials"] = event["max_trials"]
    record.searcher = event["searcher"]


def _space(record: SearchRecord, event: Mapping[str, Any]) -> None:
    record.space += event["entries"]


def _ask(record: SearchRecord, event: Mapping[str, Any]) -> None:
    number = event["trial"]
    if number == len(record.trials):
        values = _own(event["values"])
        name = f"{number:0{record.scheduler['digits']}d}"
        record.trials.append(TrialRecord(number, name, values, dict(values), event["values"].get("kt_ext/parent")))
    trial = record.trials[number]
    done = trial.epochs[-1] if trial.epochs else 0
    if "values" in event and trial.epochs:
        trial.values = _own(event["values"])
    donor = event.get("restore", [number])[0]
    if trial.epochs and ("values" in event or donor != number):
        trial.takeovers.append(Takeover(done, donor if donor != number else None, dict(trial.values)))
    trial.until = event["until"]
    _begin(record, event)


def _begin(record: SearchRecord, event: Mapping[str, Any]) -> None:
    """A worker takes the trial; one that was decided on but is still leaving another has none yet."""
    trial = record.trials[event["trial"]]
    if event.get("worker", "") is None:
        return
    done = trial.epochs[-1] if trial.epochs else 0
    trial.stretches.append(Stretch(event.get("worker", ""), record.seconds, done, trial.until, last_epoch=done))
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
    trial.until = stretch.until = event.get("until", trial.until)
    if "values" in event or "restore" in event:
        trial.values = _own(event.get("values", trial.values))
        donor = event.get("restore", [trial.number])[0]
        trial.takeovers.append(Takeover(epoch, donor if donor != trial.number else None, dict(trial.values)))
    if event["do"] == "pause":
        _leave(record, trial, "paused", why_paused(record.scheduler, epoch))
    elif event["do"] == "stop":
        finite = all(math.isfinite(event["metrics"].get(name, 0.0)) for name in record.directions)
        bad = "" if not worst else "a constraint was broken" if finite else f"{record.objective} was not finite"
        trial.stopped = not is_whole(record.scheduler, epoch, stretch.until)
        _leave(record, trial, "done", why_stopped(record.scheduler, epoch, stretch.until, bad))


def _leave(record: SearchRecord, trial: TrialRecord, status: str, why: str) -> None:
    trial.status, trial.why = status, why
    if trial.stretches[-1].ended is None:
        trial.stretches[-1].ended = record.seconds


def _end(record: SearchRecord, event: Mapping[str, Any]) -> None:
    trial = record.trials[event["trial"]]
    _leave(record, trial, event["as"], why_ended(event, bool(trial.epochs)))


def _values(record: SearchRecord, event: Mapping[str, Any]) -> None:
    trial = record.trials[event["trial"]]
    trial.values = _own(event["values"])
    if trial.takeovers:
        trial.takeovers[-1].values = dict(trial.values)
    else:
        trial.first_values = dict(trial.values)


def _own(values: Mapping[str, Value]) -> dict[str, Value]:
    """Without what only steers the worker."""
    return {name: value for name, value in values.items() if not name.startswith(("tuner/", "kt_ext/"))}


_HANDLERS = {
    "search": _search,
    "changed": _changed,
    "space": _space,
    "ask": _ask,
    "again": _begin,
    "given": _begin,
    "tell": _tell,
    "end": _end,
    "values": _values,
}
