"""The one Keras callback: reports each epoch, obeys, applies the schedule, saves the checkpoint, stops early."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras

from kt_ext.schedules import Attached, Schedule
from kt_ext.training.checkpoints import Checkpoint, CheckpointStore
from kt_ext.training.counters import counters_of, give_back
from kt_ext.training.scheduled_rate import ScheduledRate
from kt_ext.training.state import get_state, set_state, strategy_scope

Logs = Mapping[str, float]

_LARGER_IS_BETTER = (
    "acc",
    "auc",
    "precision",
    "recall",
    "f1",
    "fbeta",
    "iou",
    "io_u",
    "dice",
    "r2",
    "cosine_similarity",
)
_SMALLER_IS_BETTER = ("loss", "error", "mse", "mae", "mape", "msle", "entropy", "hinge", "perplexity", "divergence")


def infer_direction(objective: str) -> str:
    """``"min"`` or ``"max"`` from a metric's name. Raises ValueError when the name does not say."""
    name = objective.removeprefix("val_").lower()
    if any(word in name for word in _SMALLER_IS_BETTER):
        return "min"
    if any(word in name for word in _LARGER_IS_BETTER):
        return "max"
    raise ValueError(
        f"objective={objective!r}: its direction cannot be told from its name; give direction='min' or 'max'"
    )


class EpochOutOfOrder(ValueError):
    """A training does not begin at the epoch where the last one ended."""


class TuningCallback(keras.callbacks.Callback):
    """Watches one training: stops it early, keeps its best weights, saves a checkpoint after each epoch.

    A tuner adds it to every trial by itself and gives it ``report``. It works alone, too:

        callback = kt_ext.TuningCallback("val_loss", patience=5, min_delta=1e-3, restore_best=True, directory="run")
        done = callback.restore(model)          # 0 the first time; after a crash, the epochs that are safe on disk
        model.fit(x, y, epochs=100, initial_epoch=done, validation_data=(xv, yv), callbacks=[callback])

    Put it last in the list of callbacks: on ``restore`` it gives those in ``beside`` back their counters.

    Args:
        objective: the metric to watch, or a function from an epoch's logs to a number to minimise (None: not there).
        direction: ``"min"``, ``"max"``, or ``"auto"`` to tell it from the metric's name.
        patience: stop after so many epochs without an improvement; None never does.
        min_delta: how much better counts as an improvement, >= 0, in units of the objective.
        restore_best: when the training ends, put back the weights of the best epoch. Like ``patience`` it needs the
            objective at every epoch.
        directory: where checkpoints are kept (the last two and the best), or a CheckpointStore; None keeps none.
        report: called with the number of epochs done and the logs after each epoch that has the objective, when its
            checkpoint is safe on disk; True stops the training.
        beside: callbacks whose plain counters (e.g. ReduceLROnPlateau's ``wait``) are saved and restored with it.
        schedule: gives the factor by which the optimizer's learning rate, the base, is multiplied at each step counted
            from the first of the whole training; None takes the one that ``kt_ext.schedules.attach`` has left on the
            model, or leaves the rate alone. ReduceOnPlateau watches the objective, and needs it at every epoch. When an
            epoch has ended the optimizer has the base again, and a checkpoint holds that.
        schedule_per: whether a step of ``schedule`` is a ``"batch"`` or an ``"epoch"``.
        keep: called when a checkpoint has been written; the epochs whose checkpoints must not be removed yet.

    Attributes:
        best: the best value so far, minimised; ``inf`` before the first.
        best_epoch: epochs done at the best value; 0 before the first.
        epochs_done: epochs done so far.
        logs: each epoch's logs from the first, epochs before a restore included.
        extra_meta: JSON that goes into every checkpoint's ``meta``, for the tuner.
        stopped: None, ``"patience"`` or ``"report"``: why this callback ended the training.

    Raises:
        ValueError: an argument is out of range.
        EpochOutOfOrder: while training, where it does not go on from the epochs that are done.
        ValueError: while training, where there is a schedule and the optimizer's learning rate is one of Keras's.
    """

    def __init__(
        self,
        objective: str | Callable[[Logs], float | None] = "val_loss",
        *,
        direction: str = "auto",
        patience: int | None = None,
        min_delta: float = 0.0,
        restore_best: bool = False,
        directory: str | os.PathLike[str] | CheckpointStore | None = None,
        report: Callable[[int, dict[str, float]], bool] | None = None,
        beside: Sequence[keras.callbacks.Callback] = (),
        schedule: Schedule | None = None,
        schedule_per: str = "batch",
        keep: Callable[[], Iterable[int]] | None = None,
    ) -> None:
        super().__init__()
        if direction not in ("min", "max", "auto"):
            raise ValueError(f"direction={direction!r}: must be 'min', 'max' or 'auto'")
        if patience is not None and (isinstance(patience, bool) or not isinstance(patience, int) or patience < 1):
            raise ValueError(f"patience={patience!r}: must be an integer >= 1, or None never to stop early")
        if not (isinstance(min_delta, (int, float)) and math.isfinite(min_delta) and min_delta >= 0):
            raise ValueError(f"min_delta={min_delta!r}: must be a finite number >= 0; 0 counts any improvement")
        self._minimised = _by_name(objective, direction) if isinstance(objective, str) else objective
        self._objective = objective if isinstance(objective, str) else None
        self._patience = patience
        self._min_delta = min_delta
        self._restore_best = restore_best
        self._report = report
        self._beside = tuple(beside)
        self._rate = ScheduledRate(None if schedule is None else Attached(schedule, schedule_per))
        self._keep = keep
        self._store = (
            directory if directory is None or isinstance(directory, CheckpointStore) else CheckpointStore(directory)
        )
        self._counters: list[dict[str, Any]] | None = None
        self._reset: list[dict[str, Any]] = [{} for _ in self._beside]
        self._best_state: dict[str, Any] | None = None
        self._waited = 0
        self._reference = math.inf
        self.best = math.inf
        self.best_epoch = 0
        self.epochs_done = 0
        self.logs: list[dict[str, float]] = []
        self.stopped: str | None = None
        self.extra_meta: dict[str, Any] = {}

    def restore(self, model: keras.Model, at_most: int | None = None) -> int:
        """Put the last good checkpoint, up to epoch ``at_most``, into a compiled model; returns its epoch, or 0."""
        checkpoint = self._store.latest(at_most) if self._store is not None else None
        if checkpoint is None:
            return 0
        restore_model(model, checkpoint)
        self.take(checkpoint)
        return checkpoint.epoch

    def take(self, checkpoint: Checkpoint) -> None:
        """Go on counting from a checkpoint whose state is in the model already."""
        self.epochs_done = checkpoint.epoch
        self.logs = [dict(logs) for logs in checkpoint.meta["logs"]]
        self._counters = checkpoint.meta["callbacks"]
        self._rate.load_state(checkpoint.meta.get("schedule"))
        for epoch, logs in enumerate(self.logs, start=1):
            self._compare(epoch, self._minimised(logs))

    @property
    def learning_rate_base(self) -> float:
        """What the learning rate would be without the schedule; setting it holds from the very next step.

        Raises:
            ValueError: the learning rate is a schedule of Keras's, or it is set to what is no finite number >= 0.
        """
        return self._rate.get_base(self.model)

    @learning_rate_base.setter
    def learning_rate_base(self, base: float) -> None:
        self._rate.set_base(self.model, base)

    # What Keras calls

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Keras's own callbacks reset themselves here: give them back what they had counted."""
        self.stopped = None
        self._reset = [dict(vars(callback)) for callback in self._beside]
        if self._counters is not None:
            for callback, counters in zip(self._beside, self._counters, strict=False):
                give_back(callback, counters)
            self._counters = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Refuse a training that does not go on from the epochs that are done; set the first learning rate."""
        self._check_order(epoch)
        self._rate.begin_epoch(self.model, epoch)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Set the batch's learning rate."""
        if self._rate.changes_at(batch):
            _ = self.model  # on JAX this gives the variables their values, which live in the loop of fit
            self._rate.begin_batch(batch)

    def _check_order(self, epoch: int) -> None:
        if epoch != self.epochs_done:
            raise EpochOutOfOrder(
                f"initial_epoch={epoch}: must be {self.epochs_done}, the epochs that are done; pass initial_epoch on "
                "to fit, and give each training a TuningCallback of its own"
            )

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save, report, obey."""
        if self.stopped is not None:  # a training loop of the user's own, that goes on all the same
            return
        self._check_order(epoch)
        model = self.model
        if not self._rate.in_epoch and self._rate.chosen(model) is not None:
            raise ValueError(
                f"schedule={self._rate.chosen(model)}: was not applied in epoch {epoch + 1}, for the training loop did "
                "not call on_epoch_begin (and on_train_batch_begin) of this callback; call them"
            )
        self._rate.end_epoch()
        done = epoch + 1
        values = {name: float(value) for name, value in (logs or {}).items()}
        self.logs.append(values)
        self.epochs_done = done
        value = self._minimised(values)
        if value is None and (self._patience is not None or self._restore_best or self._rate.needs_metric(model)):
            raise ValueError(
                f"objective={self._objective!r} is not among the logs of epoch {done} ({', '.join(sorted(values))}); "
                "name one of these, give validation_data, or leave validation_freq at 1"
            )
        improved = self._compare(done, value)
        if value is not None:
            self._rate.observe(model, value)
        self._save(done, improved)
        if value is not None and self._report is not None and self._report(done, values):
            self._stop("report")
        elif self._patience is not None and self._waited >= self._patience:
            self._stop("patience")

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Put back the best weights if that was asked for."""
        if not self._restore_best or self.best_epoch in (0, self.epochs_done):
            return
        if self._store is not None:
            set_state(self.model, self._store.load(self.best_epoch).state)
        elif self._best_state is not None:
            set_state(self.model, self._best_state)

    def _stop(self, why: str) -> None:
        self.stopped = why
        self.model.stop_training = True

    def _compare(self, epoch: int, value: float | None) -> bool:
        """Count one epoch; whether it is the best so far."""
        if value is None:
            return False
        if value < self._reference - self._min_delta:
            self._reference = value
            self._waited = 0
        else:
            self._waited += 1
        if not value < self.best:
            return False
        self.best, self.best_epoch = value, epoch
        return True

    def _save(self, done: int, improved: bool) -> None:
        if self._store is not None:
            self.save(self.model, done)
        elif improved and self._restore_best:
            self._best_state = get_state(self.model)

    def save(self, model: keras.Model, done: int) -> None:
        """Write the checkpoint of epoch ``done``, and remove those that nobody needs any more."""
        assert self._store is not None
        meta = {
            "logs": self.logs,
            "callbacks": [counters_of(*pair) for pair in zip(self._beside, self._reset, strict=True)],
            "build_config": model.get_build_config(),
            "schedule": self._rate.state(),
            **self.extra_meta,
        }
        self._store.save(done, get_state(model), meta)
        found = self._store.epochs()
        earlier = [epoch for epoch in found if epoch < done]
        # Another worker may have been given the trial since, and be further on: those are not this one's to remove.
        later = [epoch for epoch in found if epoch > done]
        best = [self.best_epoch] if self.best_epoch else []
        self._store.keep({done, *earlier[-1:], *later, *best, *(self._keep() if self._keep is not None else ())})


def restore_model(model: keras.Model, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's state into a compiled model, creating the weights of one that had no input shape yet."""
    if not model.built and checkpoint.meta["build_config"]:
        with strategy_scope(model):
            _build(model, checkpoint.meta["build_config"])
    set_state(model, checkpoint.state)


def _build(model: keras.Model, build_config: Mapping[str, Any]) -> None:
    """Build a model as ``fit`` does, by calling it: its variables get other names by ``build_from_config``."""
    if "input_shape" in build_config:
        model(keras.tree.map_shape_structure(keras.KerasTensor, build_config["input_shape"]), training=False)
    else:
        model.build_from_config(build_config)


def _by_name(objective: str, direction: str) -> Callable[[Logs], float | None]:
    sign = -1.0 if (infer_direction(objective) if direction == "auto" else direction) == "max" else 1.0

    def minimised(logs: Logs) -> float | None:
        if objective not in logs:
            return None
        value = sign * logs[objective]
        return value if math.isfinite(value) else math.inf

    return minimised
