"""One trial of a race: a whole training from scratch on each instance, and the weights of the best of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from keras_tuner import errors
from keras_tuner.src.engine import tuner_utils

from kt_ext.oracles.objective import ObjectiveReader
from kt_ext.oracles.racing import instance_seed
from kt_ext.training.callback import TuningCallback
from kt_ext.training.checkpoints import CheckpointStore
from kt_ext.training.folds import fold_arguments
from kt_ext.training.state import get_state
from kt_ext.tuners.model_size import size_callbacks, size_of
from kt_ext.tuners.segment import Orders, has_own_fit, store_of

if TYPE_CHECKING:
    from kt_ext.tuners.racing import RacingTuner

Logs = dict[str, float]


class Trained(NamedTuple):
    """The best epoch of one training: its logs, the model's state then, and how to build the model."""

    logs: Logs
    state: dict[str, np.ndarray]
    build_config: Mapping[str, Any] | None


class BestEpoch(keras.callbacks.Callback):
    """Keeps the logs and the state of the best epoch of a ``fit``; of the last if none is finite.

    Attributes:
        best: None before the first epoch that has the objective.
    """

    def __init__(self, minimised: Callable[[Mapping[str, float]], float | None]) -> None:
        super().__init__()
        self._minimised = minimised
        self._value = math.inf
        self.best: Trained | None = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Compare."""
        numbers = {name: float(value) for name, value in (logs or {}).items()}
        value = self._minimised(numbers)
        if value is not None and (value < self._value or self._value == math.inf):
            self._value, self.best = value, _trained(numbers, self.model)


def run_instances(tuner: RacingTuner, trial: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Train a trial on the instances that it has not seen, up to ``tuner/epochs``, and report each.

    An instance's checkpoint is on disk before it is reported: a killed search loses the instance in flight alone.
    """
    kwargs = dict(kwargs)
    callbacks = kwargs.pop("callbacks", None) or []
    orders = Orders.of(trial)
    store = store_of(tuner, trial.trial_id, 0)
    last = store.latest(orders.until)
    logs: list[Logs] = list(last.meta["logs"]) if last is not None else []
    logs += [{} for _ in range(orders.known_epochs - len(logs))]  # their files were removed
    for instance in range(orders.known_epochs + 1, orders.until + 1):
        if instance > len(logs):
            trained = train(tuner, trial, instance, args, kwargs, callbacks)
            if trained is None:
                return
            logs.append(trained.logs)
            _save(store, instance, trained, logs, orders, tuner._own_oracle.reader)
        if tuner.report(trial, instance, logs[instance - 1]):
            return


def train(
    tuner: RacingTuner,
    trial: Any,
    instance: int,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    callbacks: Sequence[keras.callbacks.Callback],
) -> Trained | None:
    """One training from scratch, on instance 1, 2, ...; None if the model is too large to be trained at all.

    Raises FatalValueError where the objective is nowhere to be had, or the data cannot be divided into folds.
    """
    seed = instance_seed(trial, instance)
    if tuner.instances == "folds":
        folds = tuner._own_oracle.scheduler.max_epochs
        try:
            args, kwargs = fold_arguments(args, kwargs, fold=instance - 1, folds=folds, seed=instance_seed(trial, 0))
        except (TypeError, ValueError) as error:  # the same for every trial
            raise errors.FatalValueError(str(error)) from error
    callbacks = tuner._deepcopy_callbacks(list(callbacks))
    if any(type(callback).__name__ == "TensorBoard" for callback in callbacks):  # imports tensorboard's plug-ins
        tuner._configure_tensorboard_dir(callbacks, trial, instance)
    reader, hp = tuner._own_oracle.reader, trial.hyperparameters

    def minimised(logs: Mapping[str, float]) -> float | None:
        return None if reader.missing(logs) else reader.minimised(logs)

    watch, best = TuningCallback(minimised, beside=callbacks), BestEpoch(minimised)
    with tuner.models.of(
        (trial.trial_id, 0), lambda: tuner._try_build(hp), Orders.of(trial).values, seed, None
    ) as model:
        if instance == 1 and reader.constraints.breaches(size_of(model)):
            tuner.report(trial, 0, size_of(model))  # which ends the trial
            return None
        if not has_own_fit(tuner):  # else it may want the arrays themselves
            args, kwargs = tuner._data.fit_arguments(
                args,
                kwargs,
                seed=seed,
                initial_epoch=0,
                epochs=tuner.epochs,
                steps_per_execution=model.steps_per_execution,
            )
        hooks = tuner_utils.TunerCallback(tuner, trial)
        watching = [*size_callbacks(reader.wanted), *callbacks, hooks, watch, best]
        kwargs = {**kwargs, "callbacks": watching, "epochs": tuner.epochs}
        kwargs.setdefault("verbose", tuner._fit_verbose)
        results = tuner.hypermodel.fit(hp, model, *args, **kwargs)
        if best.best is not None:
            return best.best
        if not has_own_fit(tuner):
            logs = watch.logs[-1] if watch.logs else {}
            raise errors.FatalValueError(
                f"{reader.lacking(logs)} is not among the logs of fit ({', '.join(sorted(logs))}); name one of these, "
                "or give validation_data"
            )
        tuner_utils.validate_trial_results(results, tuner.oracle.objective, "HyperModel.fit()")
        metrics = tuner_utils.convert_to_metrics_dict(results, tuner.oracle.objective)
        return _trained({name: float(value) for name, value in {**size_of(model), **metrics}.items()}, model)


def _trained(logs: Logs, model: keras.Model) -> Trained:
    return Trained(logs, get_state(model), model.get_build_config())


def _save(
    store: CheckpointStore, instance: int, trained: Trained, logs: list[Logs], orders: Orders, reader: ObjectiveReader
) -> None:
    """Write an instance's weights; those of the best one and of the last, which knows all logs, are kept."""
    meta = {
        "logs": logs,
        "callbacks": [],
        "build_config": trained.build_config,
        "schedule": None,
        "values": dict(orders.values),
    }
    store.save(instance, trained.state, meta)
    epochs = store.epochs()
    scores = {k: reader.minimised(logs[k - 1]) for k in epochs if k <= instance and not reader.missing(logs[k - 1])}
    best = min(scores, key=lambda k: (scores[k], k), default=instance)
    # Another worker may have been given the trial since, and be further on: its files are not this one's to remove.
    store.keep({instance, best, *(k for k in epochs if k > instance)})
