"""Small populations, and a callback that sees what the members' steps are given."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

import kt_ext
from kt_ext.training import live
from kt_ext.training.checkpoints import CheckpointStore
from kt_ext.training.state import get_state
from tuners.searches import build, data


@dataclass(frozen=True)
class Begin:
    """What a member had when a ``fit`` of it began.

    ``donor_state`` is that of the donor's checkpoint file after ``done`` epochs, None if the member went on alone.
    """

    member: str
    done: int
    values: Mapping[str, Any]
    live: Mapping[str, float]
    state: Mapping[str, np.ndarray]
    donor_state: Mapping[str, np.ndarray] | None
    activation: str


class Watcher(keras.callbacks.Callback):
    """Writes down each fit's begin, each epoch's end, and which checkpoints there are; the same one for all trials."""

    def __init__(self, watch_donor: bool = True) -> None:
        super().__init__()
        self.watch_donor = watch_donor
        self.tuner: Any = None
        self.begins: list[Begin] = []
        self.epochs: list[str] = []
        self.step_values: list[Mapping[str, float]] = []
        self.batches: list[int] = []  # of an epoch, for each fit
        self.kept: dict[str, set[int]] = {}  # what each member was told to keep when it last wrote a checkpoint
        self.checkpoints: list[tuple[set[int], set[int]]] = []  # a member's epochs on disk, those that may be there

    def __deepcopy__(self, memo: Any) -> Watcher:
        return self

    @property
    def trial(self) -> Any:
        (trial,) = self.tuner.oracle.ongoing_trials.values()
        return trial

    def on_train_begin(self, logs: Any = None) -> None:
        values = dict(self.trial.hyperparameters.values)
        member, done = self.trial.trial_id, values.get("tuner/initial_epoch", 0)
        donor = values.get("tuner/trial_id", member)
        state = None
        if donor != member and self.watch_donor:  # from the file, not from what is kept in memory
            state = CheckpointStore(directory_of(self.tuner, donor)).load(done).state
        own = {name: value for name, value in values.items() if "/" not in name}
        numbers, activation = live.values(self.model), self.model.layers[0].activation.__name__
        mine = get_state(self.model) if self.model.built else {}
        self.begins.append(Begin(member, done, own, numbers, mine, state, activation))
        self._look_at_files()

    def on_train_end(self, logs: Any = None) -> None:
        self.batches.append(self._batch + 1)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batch = batch
        if batch == 0:
            self.step_values.append(live.values(self.model))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        member = self.trial.trial_id
        self.epochs.append(member)
        self.kept[member] = set(json.loads(self.trial.hyperparameters.values.get("kt_ext/keep", "[]")))

    def _look_at_files(self) -> None:
        oracle = self.tuner.oracle
        for member in oracle.trials:
            done, best = oracle.search.history.epochs_of(int(member)), oracle.search.history.best(int(member))[1]
            allowed = {done, done - 1, best} | self.kept.get(member, set())
            self.checkpoints.append((set(CheckpointStore(directory_of(self.tuner, member)).epochs()), allowed))


class Merits(keras.callbacks.Callback):
    """Adds ``merit`` to the logs, by member and epoch, so that a test says who takes over from whom."""

    def __init__(self, merits: Mapping[str, Sequence[float]]) -> None:
        super().__init__()
        self.merits = merits
        self.tuner: Any = None

    def __deepcopy__(self, memo: Any) -> Merits:
        return self

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        (trial,) = self.tuner.oracle.ongoing_trials.values()
        logs["merit"] = self.merits[trial.trial_id][epoch]


def by_merit(build_model: Callable[[Any], keras.Model], merits: Mapping[str, Sequence[float]], **kwargs: Any):
    """(tuner, callback) of a population that minimises the ``merits`` given."""
    size, epochs = len(merits), len(merits["0"])
    objective = keras_tuner.Objective("merit", "min")
    tuner = population(build_model, objective=objective, population_size=size, max_epochs=epochs, **kwargs)
    callback = Merits(merits)
    callback.tuner = tuner
    return tuner, callback


def directory_of(tuner: Any, member: str, execution: int = 0) -> Path:
    return Path(tuner.get_trial_dir(member)) / f"execution{execution}"


def population(build_model: Callable[[Any], keras.Model] = build, **kwargs: Any) -> kt_ext.PBTTuner:
    """Four members, eight epochs, compared every two epochs, on the validation loss."""
    defaults: dict[str, Any] = {
        "objective": "val_loss",
        "population_size": 4,
        "max_epochs": 8,
        "perturbation_interval": 2,
        "seed": 0,
    }
    return kt_ext.PBTTuner(build_model, **{**defaults, **kwargs})


def searched(tuner: kt_ext.PBTTuner, watch_donor: bool = True, **kwargs: Any) -> Watcher:
    """Search, watched."""
    watcher = Watcher(watch_donor)
    watcher.tuner = tuner
    tuner.search(**{**data(), "batch_size": 50, "callbacks": [watcher], "verbose": 0, **kwargs})
    return watcher


def lineage(tuner: Any) -> list[tuple[int, str, str]]:
    """Epoch, member and donor of every exploit."""
    return [(row.epoch, row.member, row.donor) for row in tuner.lineage()]
