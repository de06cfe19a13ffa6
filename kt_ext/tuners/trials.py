"""The part of a tuner that trains a trial, reports of it, and builds its models."""

from __future__ import annotations

import gc
import math
import sys
import traceback
from typing import Any

import keras
import keras_tuner
from keras_tuner import errors
from keras_tuner.engine import trial as trial_module
from keras_tuner.engine import tuner as tuner_module
from keras_tuner.src.engine import tuner_utils

from kt_ext.core.durable import StorageError
from kt_ext.core.search import DONE, FAILED
from kt_ext.execution import ChiefError, LostTrial
from kt_ext.oracles import SchedulerOracle
from kt_ext.oracles.hyperparameters import EPOCHS, take_orders
from kt_ext.training.callback import EpochOutOfOrder
from kt_ext.training.session import clear_session
from kt_ext.tuners.models import TrialModels
from kt_ext.tuners.segment import has_own_fit, load_best, prune, run_segments

Status = trial_module.TrialStatus


class TrialTuner(keras_tuner.Tuner):
    """What ``SegmentTuner`` does with one trial.

    Attributes:
        models: compiled models, shared by trials of equal architecture.
    """

    models: TrialModels
    _own_oracle: SchedulerOracle

    def _try_run_and_update_trial(self, trial: Any, *fit_args: Any, **fit_kwargs: Any) -> None:
        try:
            self._run_and_update_trial(trial, *fit_args, **fit_kwargs)
            trial.status = Status.COMPLETED
        except (errors.FatalError, StorageError, ChiefError, LostTrial):
            raise
        except EpochOutOfOrder as error:  # by a HyperModel.fit: the same for every trial
            raise errors.FatalValueError(str(error)) from error
        except Exception as error:  # the user's model and training may raise anything; the search goes on
            failed = isinstance(error, errors.FailedTrialError)
            trial.status = Status.FAILED if failed else Status.INVALID
            trial.message = traceback.format_exc()
            if self._is_worker():  # beside the log of this process, where one looks for it first
                print(f"Trial {trial.trial_id} failed:\n{trial.message}", file=sys.stderr)

    def _run_and_update_trial(self, trial: Any, *fit_args: Any, **fit_kwargs: Any) -> None:
        results = self.run_trial(trial, *fit_args, **fit_kwargs)
        if results is not None:  # a subclass's own run_trial, which returns its results as Keras Tuner has it
            self.report_results(trial, results, "Tuner.run_trial()")

    def report_results(self, trial: Any, results: Any, source: str) -> bool:
        """Report what a training returned (a History, a dict, a float or a list of these) as its last epoch's metrics.

        Returns whether the oracle wants the trial to end here. Raises FatalError for results Keras Tuner would refuse,
        and for a History without the objective.
        """
        tuner_utils.validate_trial_results(results, self.oracle.objective, source)
        reader = self._own_oracle.reader
        for history in results if isinstance(results, list) else [results]:
            if isinstance(history, keras.callbacks.History) and reader.missing(history.history):
                raise errors.FatalValueError(
                    f"{reader.lacking(history.history)} is not in the History that {source} "
                    f"returned ({', '.join(sorted(history.history))}); name one of these, or return the objective"
                )
        metrics = tuner_utils.convert_to_metrics_dict(results, self.oracle.objective)
        return self.report(trial, trial.hyperparameters.values[EPOCHS], metrics)

    def report(self, trial: Any, epoch: int, metrics: dict[str, float]) -> bool:
        """Report one epoch of a trial; returns whether the oracle ends it here, for now or for good.

        Other orders that the answer brings stand in the trial's values afterwards.
        """
        try:
            answer = self.oracle.update_trial(trial.trial_id, metrics, step=epoch)
        except ValueError as error:  # the same for every trial: end the search with this one message
            raise errors.FatalValueError(str(error)) from error
        if answer.hyperparameters is not trial.hyperparameters:  # it came over the wire
            take_orders(trial.hyperparameters, answer.hyperparameters)
        return answer.status == Status.STOPPED

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Train one segment of a trial: from where it is up to ``tuner/epochs``, reporting each epoch.

        Overridden as in Keras Tuner, it may return a History, a dict, a float or a list of these for the segment.
        """
        run_segments(self, trial, args, kwargs)

    def on_trial_end(self, trial: Any) -> None:
        """Called when a segment of a trial ends. Keras Tuner saves everything here; the journal has it already."""
        self.oracle.end_trial(trial)
        if not self._is_worker() and self._is_over(trial):
            prune(self, trial, self._own_oracle.kept_epochs(trial.trial_id))

    def _is_over(self, trial: Any) -> bool:
        return self._own_oracle.search.where[int(trial.trial_id)] in (DONE, FAILED)

    def _prune(self) -> None:
        """What workers, or a process that was killed, left of trials that are over."""
        for trial in filter(self._is_over, self._own_oracle.trials.values()):
            prune(self, trial, self._own_oracle.kept_epochs(trial.trial_id))

    # Models

    def _override_compile_args(self, model: keras.Model) -> None:
        if (self.optimizer or self.loss or self.metrics) and not model.compiled:
            model.compile()  # Keras Tuner reads what it replaces, and Keras has nothing there before
        super()._override_compile_args(model)
        for metric in keras.tree.flatten(self.metrics):
            # Every model has the same ones, and Keras does not reset what a new model has not used yet.
            if isinstance(metric, keras.metrics.Metric):
                metric.reset_state()

    def _try_build(self, hp: Any) -> keras.Model:
        if not len(self.models):
            clear_session()  # as Keras Tuner does; with a shared model alive it costs and gains little
            gc.collect()
        return self.build_checked(hp)

    def build_checked(self, hp: Any) -> keras.Model:
        """A compiled model of the hypermodel's.

        Raises FatalTypeError for anything else, and FailedTrialError for one that is too large.
        """
        model = self._build_hypermodel(hp)
        if not isinstance(model, keras.Model):
            raise errors.FatalTypeError(
                f"hypermodel: build(hp) must return a compiled keras.Model, it returned {model!r} of type {type(model)}"
            )
        if not model.compiled and not has_own_fit(self):
            raise errors.FatalTypeError(
                f"hypermodel: build(hp) must return a compiled keras.Model, {model.name!r} is not; call compile() "
                "or give the tuner optimizer, loss and metrics"
            )
        size = sum(math.prod(weight.shape) for weight in model.trainable_weights) if model.built else 0
        if self.max_model_size and size > self.max_model_size:
            raise errors.FailedTrialError(
                f"the model has {size} parameters, more than max_model_size={self.max_model_size}"
            )
        return model

    def on_new_model(self, trial: Any, model: keras.Model) -> None:
        """Called with each trial's model before its first epoch, its weights as initialised."""

    def load_model(self, trial: Any) -> keras.Model:
        """The trial's model with the weights of its best epoch, over all executions."""
        with tuner_module.maybe_distribute(self.distribution_strategy):
            return load_best(self, trial)
