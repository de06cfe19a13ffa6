"""Keras Tuner's Trial objects of one search: made, filled with metrics, scored, saved."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.src.engine.trial import Trial
from keras_tuner.src.engine.trial import TrialStatus as Status

from kt_ext.core.decision import Value
from kt_ext.core.durable import encode_json, storage_errors, write_atomic
from kt_ext.oracles.hyperparameters import with_values
from kt_ext.oracles.objective import MULTI_OBJECTIVE, ObjectiveReader

__all__ = [
    "Status",
    "Trial",
    "TrialFiles",
    "from_state",
    "metrics_by_epoch",
    "new_trial",
    "record_metrics",
    "reply",
    "score",
    "state_of",
]


def new_trial(space: keras_tuner.HyperParameters, values: Mapping[str, Value], trial_id: str, status: str) -> Trial:
    """A Trial with a cheap copy of the space."""
    return Trial(hyperparameters=with_values(space, values), trial_id=trial_id, status=status)


def reply(trial: Trial, status: str) -> Trial:
    """What a worker is told: the same trial under another status. The oracle's own stays as it is."""
    answer = copy.copy(trial)
    answer.status = status
    return answer


def record_metrics(
    trial: Trial, metrics: Mapping[str, float], epoch: int, reader: ObjectiveReader, objective: float | None = None
) -> None:
    """Add one epoch's metrics; those of several objectives with their sum, or with ``objective``, their Pareto rank.

    ``MetricsTracker.update`` computes the best value twice for each number it is given, which makes a trial of n epochs
    cost n squared; the histories it holds are written directly.
    """
    tracker = trial.metrics
    for name, value in metrics.items():
        if name not in tracker.metrics:
            tracker.register(name, direction=reader.direction(name))
        tracker.metrics[name].update(value, step=epoch)
    if reader.objective.name == MULTI_OBJECTIVE and objective is not None:
        if MULTI_OBJECTIVE not in tracker.metrics:
            tracker.register(MULTI_OBJECTIVE, direction="min")
        value = objective if reader.pareto else reader.objective.get_value(metrics)
        tracker.metrics[MULTI_OBJECTIVE].update(value, step=epoch)


def metrics_by_epoch(trial: Trial, names: Collection[str]) -> dict[int, dict[str, float]]:
    """What the trial reported of these metrics, epoch by epoch."""
    found: dict[int, dict[str, float]] = {}
    for name in names:
        if name in trial.metrics.metrics:
            for observation in trial.metrics.metrics[name].get_history():
                found.setdefault(observation.step, {})[name] = observation.value[0]
    return found


def score(trial: Trial, best: tuple[float, int] | None, reader: ObjectiveReader) -> None:
    """Set the trial's score and best step from its best minimised objective; nothing finite leaves them unset."""
    if best is None or not math.isfinite(best[0]):
        trial.score, trial.best_step = None, 0
    else:
        trial.score, trial.best_step = reader.in_own_units(best[0]), best[1]


def state_of(trial: Trial) -> dict[str, Any]:
    """The trial without its space as compact JSON: its metrics are grouped by the steps that they have in common."""
    groups: dict[tuple[int, ...], dict[str, list[float]]] = {}
    for name, history in trial.metrics.metrics.items():
        observations = history.get_history()
        values = groups.setdefault(tuple(o.step for o in observations), {})
        values[name] = [o.value[0] for o in observations]
    return {
        "status": trial.status,
        "score": trial.score,
        "best_step": trial.best_step,
        "message": trial.message,
        "values": trial.hyperparameters.values,
        "metrics": list(groups.items()),
    }


def from_state(
    state: Mapping[str, Any], trial_id: str, space: keras_tuner.HyperParameters, reader: ObjectiveReader
) -> Trial:
    """The inverse of ``state_of``."""
    trial = new_trial(space, state["values"], trial_id, state["status"])
    trial.score, trial.best_step, trial.message = state["score"], state["best_step"], state["message"]
    for steps, by_name in state["metrics"]:
        for name, values in by_name.items():
            trial.metrics.register(name, direction=reader.direction(name))
            history = trial.metrics.metrics[name]
            for step, value in zip(steps, values, strict=True):
                history.update(value, step=step)
    return trial


class TrialFiles:
    """Writes ``trial_*/trial.json`` as Keras Tuner does, at a fraction of the cost: trials share one space.

    The files are derived from the journal, so they are replaced whole but not synced.

    Args:
        directory: the project's; made when a search begins.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._space: list[Any] = []
        self._space_json = "[]"

    def write(self, trial: Trial) -> None:
        """Raises StorageError; the old file is then intact."""
        state = {
            "trial_id": trial.trial_id,
            "metrics": trial.metrics.get_config(),
            "score": trial.score,
            "best_step": trial.best_step,
            "status": trial.status,
            "message": trial.message,
        }
        values = encode_json(trial.hyperparameters.values)
        hyperparameters = f'{{"space":{self._encoded(trial.hyperparameters)},"values":{values}}}'
        text = f'{encode_json(state)[:-1]},"hyperparameters":{hyperparameters}}}'
        directory = self._directory / f"trial_{trial.trial_id}"
        with storage_errors("make", directory):
            directory.mkdir(parents=True, exist_ok=True)
        write_atomic(directory / "trial.json", text.encode("ascii"), sync=False)

    def _encoded(self, hyperparameters: keras_tuner.HyperParameters) -> str:
        space = hyperparameters.space
        if len(space) != len(self._space) or any(a is not b for a, b in zip(space, self._space, strict=True)):
            self._space, self._space_json = list(space), encode_json(hyperparameters.get_config()["space"])
        return self._space_json
