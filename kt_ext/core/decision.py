"""The words that schedulers, searchers, the simulator and the Keras Tuner adapter share.

Epochs are counted from 1: ``epoch=3`` means three epochs are done. Objectives are always minimised; the adapter turns a
maximised metric around and maps NaN and both infinities to ``inf``, the worst value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Value = bool | int | float | str


@dataclass(frozen=True)
class CheckpointRef:
    """The state of trial ``trial_id`` after ``epoch`` epochs."""

    trial_id: int
    epoch: int


@dataclass(frozen=True)
class Observation:
    """Trial ``trial_id`` reached ``objective`` (minimised; ``inf`` is the worst) after ``epoch`` epochs."""

    trial_id: int
    epoch: int
    objective: float


@dataclass(frozen=True)
class Run:
    """Train ``trial_id`` up to ``until`` epochs.

    ``values`` None: a new trial gets its values from the searcher, a known one keeps its own.
    ``restore`` None: from the first epoch, or, in answer to an observation, simply go on.
    """

    trial_id: int
    until: int
    values: Mapping[str, Value] | None = None
    restore: CheckpointRef | None = None


@dataclass(frozen=True)
class Pause:
    """Leave the worker, keep the state: the trial may be resumed later."""

    trial_id: int


@dataclass(frozen=True)
class Stop:
    """The trial is finished for good."""

    trial_id: int


@dataclass(frozen=True)
class Wait:
    """Nothing to do until another worker reports."""


@dataclass(frozen=True)
class Done:
    """The search is over."""


Decision = Run | Pause | Stop | Wait | Done
_WORDS: dict[str, type] = {cls.__name__.lower(): cls for cls in (Run, Pause, Stop, Wait, Done)}


def to_json(decision: Decision) -> dict[str, Any]:
    """The decision as a JSON object, e.g. ``{"do": "run", "trial_id": 4, "until": 9}``; absent fields are defaults."""
    record: dict[str, Any] = {"do": type(decision).__name__.lower()}
    if isinstance(decision, (Pause, Stop)):
        record["trial_id"] = decision.trial_id
    if isinstance(decision, Run):
        record["trial_id"] = decision.trial_id
        record["until"] = decision.until
        if decision.values is not None:
            record["values"] = dict(decision.values)
        if decision.restore is not None:
            record["restore"] = [decision.restore.trial_id, decision.restore.epoch]
    return record


def from_json(record: Mapping[str, Any]) -> Decision:
    """The inverse of ``to_json``. Raises KeyError for an unknown word."""
    fields = dict(record)
    cls = _WORDS[fields.pop("do")]
    if "restore" in fields:
        fields["restore"] = CheckpointRef(*fields["restore"])
    return cls(**fields)
