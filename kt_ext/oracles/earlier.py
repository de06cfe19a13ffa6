"""Reads what an earlier search has found, whoever writes there meanwhile: nothing is locked or changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kt_ext.core.decision import Observation
from kt_ext.core.durable import storage_errors
from kt_ext.core.history import History
from kt_ext.oracles.clock import Stopwatch
from kt_ext.oracles.hyperparameters import own_values
from kt_ext.oracles.objective import ObjectiveReader
from kt_ext.oracles.project import JOURNAL, ProjectFiles
from kt_ext.searchers.warm_start import EarlierTrial


def read_earlier(directory: str, reader: ObjectiveReader) -> list[EarlierTrial]:
    """The trials of a kt_ext search, finished or not, or of one of stock Keras Tuner, in the order of their start.

    Args:
        directory: ``directory/project_name`` of that search.
        reader: the objective, which must be that search's, too.

    Raises:
        ValueError: no search was begun there, or its objective is another.
        JournalDamaged, StorageError: it cannot be read.
    """
    path = Path(directory)
    if (path / JOURNAL).exists():
        return list(_of_journal(path, reader))
    files = sorted(path.glob("trial_*/trial.json"))
    if files:
        return _of_keras_tuner(path, files, reader)
    raise ValueError(
        f"warm_start={directory!r}: no search was begun there; give the project directory of one, which is "
        "<directory>/<project_name> and holds a journal.jsonl or, by stock Keras Tuner, trial_*/trial.json"
    )


def _of_journal(path: Path, reader: ObjectiveReader) -> Iterator[EarlierTrial]:
    snapshot, events = ProjectFiles(path, Stopwatch()).read()
    history, head = History(), {}
    if snapshot is not None:
        head = snapshot["header"]
        history.load_state(snapshot["search"]["history"])
    known = set(history.ids)
    for event in events:
        kind, number = event["e"], event.get("trial", -1)
        if kind == "search":
            head = event
        elif kind == "tell":
            history.record(Observation(number, event["epoch"], event["objective"]))
        if kind == "ask" and number not in known:
            known.add(number)
            history.start(number, event["values"])
        elif kind == "values":
            history.amend(number, event["values"])
        elif kind in ("ask", "tell") and "values" in event:
            history.assign(number, event["values"])
    if head and head["objective"] != str(reader):
        raise ValueError(
            f"warm_start={str(path)!r}: that search was for {head['objective']}, and this one is for {reader}; give "
            "one for the same objective and direction"
        )
    for number in history.ids:
        values = dict(history.values_at(number, history.best(number)[1]))
        yield EarlierTrial(values, list(zip(*(column.tolist() for column in history.curve(number)), strict=True)))


def _of_keras_tuner(path: Path, files: list[Path], reader: ObjectiveReader) -> list[EarlierTrial]:
    if reader.pareto:
        raise ValueError(
            f"warm_start={str(path)!r}: a search of stock Keras Tuner has no Pareto ranks; use multi_objective='sum'"
        )
    trials = []
    for file in files:
        with storage_errors("read", file):
            record = json.loads(file.read_text())
        metrics = record["metrics"]["metrics"]
        turned = [n for n in reader.names if n in metrics and metrics[n]["direction"] != reader.direction(n)]
        if turned:
            raise ValueError(
                f"warm_start={str(path)!r}: that search took {turned[0]} for one to "
                f"{metrics[turned[0]]['direction']}imise; give one for the same objective and direction"
            )
        trials.append(EarlierTrial(own_values(record["hyperparameters"]["values"]), _curve(metrics, reader)))
    if not any(trial.curve for trial in trials):
        raise ValueError(
            f"warm_start={str(path)!r}: no trial there reports {', '.join(reader.names)}; give a search for the same "
            "objective"
        )
    return trials


def _curve(metrics: dict[str, Any], reader: ObjectiveReader) -> list[tuple[int, float]]:
    """Stock Keras Tuner counts epochs from 0, and a step may hold several executions."""
    steps: dict[int, dict[str, float]] = {}
    for name, history in metrics.items():
        for observation in history["observations"]:
            steps.setdefault(observation["step"], {})[name] = float(np.mean(observation["value"]))
    whole = [(step, found) for step, found in sorted(steps.items()) if all(name in found for name in reader.names)]
    return [(step + 1, reader.minimised(found)) for step, found in whole]
