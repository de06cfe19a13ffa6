"""One segment of a trial: build or take up the model, restore its state, fit, report."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import keras_tuner
import numpy as np
from keras_tuner import errors
from keras_tuner.src.engine import tuner_utils

from kt_ext.core.decision import Value
from kt_ext.oracles.hyperparameters import EPOCHS, INITIAL_EPOCH, KEEP, SEED, TRIAL_ID, own_values, with_values
from kt_ext.training.callback import TuningCallback, restore_model
from kt_ext.training.checkpoints import Checkpoint, CheckpointDamaged, CheckpointStore
from kt_ext.training.seeds import reseeded
from kt_ext.training.storage import joined
from kt_ext.tuners.model_size import size_callbacks, size_of

if TYPE_CHECKING:
    from kt_ext.tuners.base import SegmentTuner

Logs = dict[str, float]
_log = logging.getLogger("kt_ext")


@dataclass(frozen=True)
class Orders:
    """What the oracle wants of a trial: it stands in the trial's values.

    Attributes:
        until: train up to this epoch.
        known_epochs: the epochs that the oracle knows of when it says so.
        source: whose state to go on from: the trial's own id, or the donor's.
        values: the user's hyperparameters.
    """

    until: int
    known_epochs: int
    source: str
    values: Mapping[str, Value]

    @classmethod
    def of(cls, trial: Any) -> Orders:
        """The orders as they stand now."""
        values = trial.hyperparameters.values
        source = values.get(TRIAL_ID, trial.trial_id)
        return cls(values[EPOCHS], values.get(INITIAL_EPOCH, 0), source, own_values(values))


def run_segments(tuner: SegmentTuner, trial: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Train a trial segment by segment until the oracle ends it or has nothing more to say.

    A segment is one ``fit`` of every execution up to ``tuner/epochs``; the last one reports the mean of all. The answer
    to a report may send the trial on, with other values or from another's state: then the next segment follows.
    """
    kwargs = dict(kwargs)
    callbacks = kwargs.pop("callbacks", None) or []
    while True:
        orders = Orders.of(trial)
        earlier: list[list[Logs]] = []
        results: list[Any] = []
        for execution in range(tuner.executions_per_trial):
            segment = Segment(tuner, trial, orders, execution, earlier)
            results += segment.run(args, kwargs, callbacks)
            if segment.ended:
                break
            earlier.append(segment.watch.logs)
        ended = segment.ended
        if segment.reported == 0 and results and has_own_fit(tuner):
            # The objective is not among fit's logs: it is what HyperModel.fit returned.
            ended = tuner.report_results(trial, results, "HyperModel.fit()")
        if ended or segment.left_early or Orders.of(trial) == orders:
            return


class Segment:
    """One execution of a trial, from its last checkpoint on, or from its donor's.

    Attributes:
        watch: the callback that sees each epoch.
        reported: the last epoch that was reported in this segment; 0 before the first.
        ended: whether the oracle ended the trial, for now or for good.
        left_early: whether the training ended neither where it was sent nor by the oracle's word.
    """

    def __init__(
        self, tuner: SegmentTuner, trial: Any, orders: Orders, execution: int, earlier: Sequence[list[Logs]]
    ) -> None:
        self.tuner, self.trial, self.execution, self._earlier = tuner, trial, execution, earlier
        self._orders = orders
        self._until, self._known_epochs = orders.until, orders.known_epochs
        self._seed = (trial.hyperparameters.values.get(SEED, 0) + 7919 * execution) & 0x7FFFFFFF
        self._speaks = execution == tuner.executions_per_trial - 1
        self._reader = tuner._own_oracle.reader
        self._store = store_of(tuner, trial.trial_id, execution)
        self._strict = False
        self.reported = 0
        self.ended = self.left_early = False

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any], callbacks: Sequence[Any]) -> list[Any]:
        """Train up to the segment's last epoch, or until the oracle ends it.

        Returns what ``HyperModel.fit`` returned, in a list that is empty if there was nothing left to train.
        """
        tuner = self.tuner
        callbacks = tuner._deepcopy_callbacks(list(callbacks))
        if any(type(callback).__name__ == "TensorBoard" for callback in callbacks):  # imports tensorboard's plug-ins
            tuner._configure_tensorboard_dir(callbacks, self.trial, self.execution)
        self.watch = TuningCallback(
            self._minimised,
            directory=self._store,
            report=self._report if self._speaks else None,
            beside=callbacks,
            keep=self._kept_epochs,
        )
        self.watch.extra_meta = {"values": dict(self._orders.values)}
        checkpoint = self._store.latest(self._until)
        if checkpoint is not None and self._lacks_results(checkpoint):
            checkpoint = self._store.latest(self._known_epochs)
        changed = checkpoint is not None and checkpoint.meta.get("values", self._orders.values) != self._orders.values
        if self._orders.source != self.trial.trial_id and (
            checkpoint is None or checkpoint.epoch <= self._known_epochs
        ):  # else it trained on from the donor's state already, before a restart
            checkpoint, changed = self._taken_over(checkpoint), True
        done = checkpoint.epoch if checkpoint is not None else 0
        if done < self._known_epochs:
            _log.warning(
                "trial %s: no good checkpoint of epoch %d, so it goes on from epoch %d",
                self.trial.trial_id, self._known_epochs, done,
            )  # fmt: skip
        if checkpoint is not None:
            self.watch.take(checkpoint)
            if self._report_unknown() or done >= self._until:
                return []
            if self._steered():
                return []
        if self.watch.best_epoch == 0:  # the objective is not in the logs, so that the watch does not know the best
            self.watch.best_epoch = self.trial.best_step or 0
        # With nobody to add it to the logs, an objective that is missing once is always missing.
        self._strict = not (has_own_fit(tuner) or callbacks or kwargs.get("validation_freq", 1) != 1)
        key = (self.trial.trial_id, self.execution)
        hp = self.trial.hyperparameters
        with tuner.models.of(
            key, lambda: tuner._try_build(hp), self._orders.values, self._seed, checkpoint, changed
        ) as model:
            if self._is_refused(model, done):
                return []
            if checkpoint is None:
                tuner.on_new_model(self.trial, model)
            hooks = tuner_utils.TunerCallback(tuner, self.trial)
            callbacks = [*size_callbacks(self._reader.wanted), *callbacks, hooks, self.watch]
            results = self._fit(model, args, kwargs, callbacks, done)
            passed_on = self.watch.epochs_done > done
            if not passed_on:  # HyperModel.fit did not pass our callbacks on
                self.watch.logs += [{} for _ in range(self._until - len(self.watch.logs))]
                self.watch.save(model, self._until)
            elif self.watch.epochs_done == self._until and not has_own_fit(tuner):
                self._require(self.watch.logs[-1])  # trials are compared at this epoch
        self.left_early = passed_on and self.watch.epochs_done < self._until and self.watch.stopped is None
        return [results]

    def _is_refused(self, model: keras.Model, done: int) -> bool:
        """Whether the oracle ends the trial before its first epoch, since the model is too large."""
        size = size_of(model)
        if not (done or self._known_epochs) and self._reader.constraints.breaches(size):
            self.ended = self.tuner.report(self.trial, 0, size)
        return self.ended

    def _kept_epochs(self) -> list[int]:
        return json.loads(self.trial.hyperparameters.values.get(KEEP, "[]"))

    def _taken_over(self, own: Checkpoint | None) -> Checkpoint | None:
        """The donor's checkpoint as the trial's: it keeps its own logs and draws its own random numbers."""
        donor, epoch = self._orders.source, self._known_epochs
        try:
            checkpoint = store_of(self.tuner, donor, self.execution).load(epoch)
        except (FileNotFoundError, CheckpointDamaged) as error:
            _log.warning(
                "trial %s: cannot take over the state of trial %s after epoch %d and goes on from its own: %s",
                self.trial.trial_id, donor, epoch, error,
            )  # fmt: skip
            return own
        logs = own.meta["logs"] if own is not None and own.epoch == epoch else checkpoint.meta["logs"]
        state = reseeded(checkpoint.state, self._seed, epoch)
        return Checkpoint(epoch, state, {**checkpoint.meta, "logs": logs})

    def _fit(self, model: keras.Model, args: Any, kwargs: dict[str, Any], callbacks: list[Any], done: int) -> Any:
        tuner = self.tuner
        if not has_own_fit(tuner):  # else it may want the arrays themselves
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
        return tuner.hypermodel.fit(self.trial.hyperparameters, model, *args, **kwargs)

    def _minimised(self, logs: Mapping[str, float]) -> float | None:
        if self._strict:
            self._require(logs)
        return None if self._reader.missing(logs) else self._reader.minimised(logs)

    def _require(self, logs: Mapping[str, float]) -> None:
        if self._reader.missing(logs):
            raise errors.FatalValueError(
                f"{self._reader.lacking(logs)} is not among the logs of epoch {self.watch.epochs_done} "
                f"({', '.join(sorted(logs))}), where it is needed; name one of these, give validation_data, or leave "
                "validation_freq at 1"
            )

    def _lacks_results(self, checkpoint: Checkpoint) -> bool:
        """Whether the segment was trained, but the process died before the result of HyperModel.fit was reported."""
        return (
            self._speaks
            and checkpoint.epoch == self._until > self._known_epochs
            and bool(self._reader.missing(checkpoint.meta["logs"][-1]))
        )

    def _report_unknown(self) -> bool:
        """Epochs that are safe in the checkpoint but were never reported: the process died between the two."""
        if not self._speaks:
            return False
        for epoch in range(self._known_epochs + 1, self.watch.epochs_done + 1):
            logs = self.watch.logs[epoch - 1]
            if not self._reader.missing(logs) and self._report(epoch, logs):
                return self.ended
        return False

    def _report(self, epoch: int, logs: Logs) -> bool:
        self.reported = epoch
        logs_of_all = [logs, *(other[epoch - 1] for other in self._earlier if len(other) >= epoch)]
        mean = {name: float(np.mean([each[name] for each in logs_of_all if name in each])) for name in logs}
        self.ended = self.tuner.report(self.trial, epoch, mean)
        return self.ended or self._steered()

    def _steered(self) -> bool:
        """Whether the oracle wants something else of the trial than when the segment began, at once."""
        now = Orders.of(self.trial)
        return now.values != self._orders.values or now.known_epochs != self._orders.known_epochs


def has_own_fit(tuner: SegmentTuner) -> bool:
    """Whether the user's HyperModel has a ``fit`` of its own."""
    return type(tuner.hypermodel).fit is not keras_tuner.HyperModel.fit


def store_of(tuner: SegmentTuner, trial_id: str, execution: int) -> CheckpointStore:
    """The checkpoints of one execution of a trial."""
    return CheckpointStore(joined(_checkpoints_of(tuner, trial_id), f"execution{execution}"), tuner.recent)


def _checkpoints_of(tuner: SegmentTuner, trial_id: str) -> str:
    return tuner.get_trial_dir(trial_id) if tuner.checkpoints is None else tuner.checkpoints.trial(trial_id)


class Best(NamedTuple):
    """The checkpoint of a trial's best epoch, and the store that has it."""

    store: CheckpointStore
    checkpoint: Checkpoint


def best_checkpoint(tuner: SegmentTuner, trial: Any) -> Best | None:
    """The best epoch over all executions; the oracle's, or the last, where no logs tell it."""
    reader = tuner._own_oracle.reader
    found: list[tuple[float, Best]] = []
    for execution in range(tuner.executions_per_trial):
        store = store_of(tuner, trial.trial_id, execution)
        last = store.latest()
        if last is None:
            continue
        logs, epochs = last.meta["logs"], store.epochs()
        scores = {
            epoch: reader.minimised(logs[epoch - 1])
            for epoch in epochs
            if not reader.pareto and epoch <= len(logs) and not reader.missing(logs[epoch - 1])
        }
        best = min(scores, key=lambda epoch: (scores[epoch], epoch), default=trial.best_step)
        checkpoint = store.latest(best) if best in epochs and best != last.epoch else last
        found.append((scores.get(best, math.inf), Best(store, checkpoint or last)))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def prune(tuner: SegmentTuner, trial: Any, kept: set[int]) -> None:
    """Remove all checkpoints of a trial that is over but the one that ``load_best`` takes and those of ``kept`` epochs.

    Raises StorageError.
    """
    stores = [store_of(tuner, trial.trial_id, execution) for execution in range(tuner.executions_per_trial)]
    if sum(len(store.epochs()) for store in stores) <= 1:
        return
    best = best_checkpoint(tuner, trial)
    if best is None:  # all are damaged: leave them for somebody to look at
        return
    for store in stores:
        store.keep(kept | ({best.checkpoint.epoch} if store.directory == best.store.directory else set()))


def load_best(tuner: SegmentTuner, trial: Any) -> keras.Model:
    """A freshly built model with the state of the trial's best epoch, and the values that the trial had then."""
    best = best_checkpoint(tuner, trial)
    if best is None:
        raise FileNotFoundError(
            f"trial {trial.trial_id} has no checkpoint in {_checkpoints_of(tuner, trial.trial_id)}; it was never "
            "trained for a whole epoch, or its files were removed: train get_best_hyperparameters()[0] anew"
        )
    model = tuner._try_build(_hyperparameters_at(tuner, trial, best.checkpoint.epoch))
    restore_model(model, best.checkpoint)
    return model


def _hyperparameters_at(tuner: SegmentTuner, trial: Any, epoch: int) -> keras_tuner.HyperParameters:
    """The trial's at that epoch: since then it may have taken over another's, of another architecture even.

    Only the process that decides knows those of earlier epochs.
    """
    if trial.trial_id not in tuner._own_oracle.trials:
        return trial.hyperparameters
    now, own = trial.hyperparameters, own_values(trial.hyperparameters.values)
    control = {name: value for name, value in now.values.items() if name not in own}
    then = tuner._own_oracle.search.history.values_at(int(trial.trial_id), epoch)
    return with_values(now, {**then, **control})
