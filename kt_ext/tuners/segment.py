"""One segment of a trial: build or take up the model, restore its state, fit, report."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
import numpy as np
from keras_tuner.src.engine import tuner_utils

from kt_ext.oracles.hyperparameters import EPOCHS, INITIAL_EPOCH, SEED
from kt_ext.oracles.objective import ObjectiveReader
from kt_ext.training.callback import TuningCallback, restore_model
from kt_ext.training.checkpoints import Checkpoint, CheckpointStore

if TYPE_CHECKING:
    from kt_ext.tuners.base import SegmentTuner

Logs = dict[str, float]
_log = logging.getLogger("kt_ext")


def run_segments(tuner: SegmentTuner, trial: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Train every execution of a trial up to ``tuner/epochs``; the last one reports the mean of all."""
    kwargs = dict(kwargs)
    callbacks = kwargs.pop("callbacks", None) or []
    earlier: list[list[Logs]] = []
    results: list[Any] = []
    for execution in range(tuner.executions_per_trial):
        segment = Segment(tuner, trial, execution, earlier)
        segment.run(args, kwargs, callbacks)
        earlier.append(segment.watch.logs)
        results.append(segment.results)
    if not segment.reported and segment.results is not None:
        # The objective is not among fit's logs: it is what HyperModel.fit returned.
        tuner.report_results(trial, results, "HyperModel.fit()")


class Segment:
    """One execution of a trial, from its last checkpoint on.

    Attributes:
        watch: the callback that sees each epoch.
        results: what ``HyperModel.fit`` returned; None if there was nothing left to train.
        reported: whether the oracle has this segment's objective.
    """

    def __init__(self, tuner: SegmentTuner, trial: Any, execution: int, earlier: Sequence[list[Logs]]) -> None:
        self.tuner, self.trial, self.execution, self._earlier = tuner, trial, execution, earlier
        values = trial.hyperparameters.values
        self._until: int = values[EPOCHS]
        self._known_epochs: int = values.get(INITIAL_EPOCH, 0)
        self._seed = (values.get(SEED, 0) + 7919 * execution) & 0x7FFFFFFF
        self._speaks = execution == tuner.executions_per_trial - 1
        self._store = store_of(tuner, trial, execution)
        self.results: Any = None
        self.reported = False

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any], callbacks: Sequence[Any]) -> None:
        """Train up to the segment's last epoch, or until the oracle ends it."""
        tuner = self.tuner
        callbacks = tuner._deepcopy_callbacks(list(callbacks))
        if any(type(callback).__name__ == "TensorBoard" for callback in callbacks):  # imports tensorboard's plug-ins
            tuner._configure_tensorboard_dir(callbacks, self.trial, self.execution)
        reader = ObjectiveReader(tuner.oracle.objective)
        self.watch = TuningCallback(
            lambda logs: None if reader.missing(logs) else reader.minimised(logs),
            directory=self._store,
            report=self._report if self._speaks else None,
            beside=callbacks,
        )
        checkpoint = self._store.latest(self._until)
        done = checkpoint.epoch if checkpoint is not None else 0
        if done < self._known_epochs:
            _log.warning(
                "trial %s: no good checkpoint of epoch %d, so it goes on from epoch %d",
                self.trial.trial_id, self._known_epochs, done,
            )  # fmt: skip
        if checkpoint is not None:
            self.watch.take(checkpoint)
            if self._report_unknown() or done >= self._until:
                return
        key = (self.trial.trial_id, self.execution)
        hp = self.trial.hyperparameters
        with tuner.models.of(key, lambda: tuner._try_build(hp), self._seed, checkpoint) as model:
            hooks = tuner_utils.TunerCallback(tuner, self.trial)
            self.results = self._fit(model, args, kwargs, [*callbacks, hooks, self.watch], done)
            if self.watch.epochs_done == done:  # HyperModel.fit did not pass our callbacks on
                self.watch.logs += [{} for _ in range(self._until - len(self.watch.logs))]
                self.watch.save(model, self._until)

    def _fit(self, model: keras.Model, args: Any, kwargs: dict[str, Any], callbacks: list[Any], done: int) -> Any:
        tuner, hypermodel = self.tuner, self.tuner.hypermodel
        if type(hypermodel).fit is keras_tuner.HyperModel.fit:  # else it may want the arrays themselves
            args, kwargs = tuner._data.fit_arguments(
                args,
                kwargs,
                seed=self._seed,
                initial_epoch=done,
                epochs=self._until,
                steps_per_execution=model.steps_per_execution,
            )
        kwargs = {**kwargs, "callbacks": callbacks, "initial_epoch": done, "epochs": self._until}
        kwargs.setdefault("verbose", tuner._fit_verbose)
        return hypermodel.fit(self.trial.hyperparameters, model, *args, **kwargs)

    def _report_unknown(self) -> bool:
        """Epochs that are safe in the checkpoint but were never reported: the process died between the two."""
        if not self._speaks:
            return False
        for epoch in range(self._known_epochs + 1, self.watch.epochs_done + 1):
            logs = self.watch.logs[epoch - 1]
            if not ObjectiveReader(self.tuner.oracle.objective).missing(logs) and self._report(epoch, logs):
                return True
        return False

    def _report(self, epoch: int, logs: Logs) -> bool:
        self.reported = True
        logs_of_all = [logs, *(other[epoch - 1] for other in self._earlier if len(other) >= epoch)]
        mean = {name: float(np.mean([each[name] for each in logs_of_all if name in each])) for name in logs}
        return self.tuner.report(self.trial, epoch, mean)


def store_of(tuner: SegmentTuner, trial: Any, execution: int) -> CheckpointStore:
    """The checkpoints of one execution of a trial."""
    return CheckpointStore(os.path.join(tuner.get_trial_dir(trial.trial_id), f"execution{execution}"))


def best_checkpoint(tuner: SegmentTuner, trial: Any) -> Checkpoint | None:
    """The checkpoint of the best epoch over all executions; the last one where no epoch has the objective."""
    reader = ObjectiveReader(tuner.oracle.objective)
    found: list[tuple[float, Checkpoint]] = []
    for execution in range(tuner.executions_per_trial):
        store = store_of(tuner, trial, execution)
        last = store.latest()
        if last is None:
            continue
        logs = last.meta["logs"]
        scores = {
            epoch: reader.minimised(logs[epoch - 1])
            for epoch in store.epochs()
            if epoch <= len(logs) and not reader.missing(logs[epoch - 1])
        }
        if not scores:
            found.append((float("inf"), last))
            continue
        best = min(scores, key=lambda epoch: (scores[epoch], epoch))
        checkpoint = last if best == last.epoch else store.latest(best)
        found.append((scores[best], checkpoint if checkpoint is not None else last))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def load_best(tuner: SegmentTuner, trial: Any) -> keras.Model:
    """A freshly built model with the state of the trial's best epoch."""
    model = tuner._try_build(trial.hyperparameters)
    checkpoint = best_checkpoint(tuner, trial)
    if checkpoint is None:
        raise FileNotFoundError(
            f"trial {trial.trial_id} has no checkpoint in {tuner.get_trial_dir(trial.trial_id)}; it was never trained "
            "for a whole epoch, or its files were removed: train get_best_hyperparameters()[0] anew"
        )
    restore_model(model, checkpoint)
    return model
