"""Keras Tuner's Trial objects of one search: made, filled with metrics, scored, saved."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import keras_tuner
from keras_tuner.engine import trial as trial_module

from kt_ext.core.decision import Value
from kt_ext.oracles.hyperparameters import with_values
from kt_ext.oracles.objective import MULTI_OBJECTIVE, ObjectiveReader

Trial = trial_module.Trial
Status = trial_module.TrialStatus


def new_trial(space: keras_tuner.HyperParameters, values: Mapping[str, Value], trial_id: str, status: str) -> Trial:
    """A Trial with a cheap copy of the space."""
    return Trial(hyperparameters=with_values(space, values), trial_id=trial_id, status=status)


def reply(trial: Trial, status: str) -> Trial:
    """What a worker is told: the same trial under another status. The oracle's own stays as it is."""
    answer = copy.copy(trial)
    answer.status = status
    return answer


def record_metrics(trial: Trial, metrics: Mapping[str, float], epoch: int, reader: ObjectiveReader) -> None:
    """Add one epoch's metrics.

    ``MetricsTracker.update`` computes the best value twice for each number it is given, which makes a trial of n epochs
    cost n squared; the histories it holds are written directly.
    """
    tracker = trial.metrics
    for name, value in metrics.items():
        if name not in tracker.metrics:
            tracker.register(name, direction=reader.direction(name))
        tracker.metrics[name].update(value, step=epoch)
    if reader.objective.name == MULTI_OBJECTIVE:
        if MULTI_OBJECTIVE not in tracker.metrics:
            tracker.register(MULTI_OBJECTIVE, direction="min")
        tracker.metrics[MULTI_OBJECTIVE].update(reader.objective.get_value(metrics), step=epoch)


def score(trial: Trial, best: tuple[float, int] | None, reader: ObjectiveReader) -> None:
    """Set the trial's score and best step from its best minimised objective; nothing finite leaves them unset."""
    if best is None or not math.isfinite(best[0]):
        trial.score, trial.best_step = None, 0
    else:
        trial.score, trial.best_step = reader.in_own_units(best[0]), best[1]


def state_of(trial: Trial) -> dict[str, Any]:
    """The trial without its space and its values, as compact JSON: metric name to steps and values."""
    return {
        "status": trial.status,
        "score": trial.score,
        "best_step": trial.best_step,
        "message": trial.message,
        "values": trial.hyperparameters.values,
        "metrics": {
            name: [[o.step for o in history.get_history()], [o.value[0] for o in history.get_history()]]
            for name, history in trial.metrics.metrics.items()
        },
    }


def from_state(
    state: Mapping[str, Any], trial_id: str, space: keras_tuner.HyperParameters, reader: ObjectiveReader
) -> Trial:
    """The inverse of ``state_of``."""
    trial = new_trial(space, state["values"], trial_id, state["status"])
    trial.score, trial.best_step, trial.message = state["score"], state["best_step"], state["message"]
    for name, (steps, values) in state["metrics"].items():
        trial.metrics.register(name, direction=reader.direction(name))
        history = trial.metrics.metrics[name]
        for step, value in zip(steps, values):
            history.update(value, step=step)
    return trial
