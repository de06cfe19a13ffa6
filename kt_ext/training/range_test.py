"""The learning-rate range test on a real model (Smith, 2015, section 3.3), which leaves the model as it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from kt_ext.schedules import Chain, Constant, RangeTest, suggest_learning_rate
from kt_ext.schedules.range_test import length_of_descent
from kt_ext.training.callback import TuningCallback
from kt_ext.training.scheduled_rate import batches_done
from kt_ext.training.state import get_state, set_state


@dataclass(frozen=True)
class RangeTestResult:
    """What a range test saw: the learning rate of each batch and its loss, both shape (n,), in the order of training.

    The losses are those of single batches, not smoothed.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def suggestion(self) -> float:
        """Where the loss falls most steeply; see ``kt_ext.schedules.suggest_learning_rate``, also for errors."""
        return suggest_learning_rate(self.rates, self.losses)


def learning_rate_range_test(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    divergence: float = 4.0,
    **fit_arguments: Any,
) -> RangeTestResult:
    """Train batches with rates from ``low`` to ``high`` until the loss diverges; then put the model's state back.

    Weights, optimizer and random generators are as before it; a generator that was given as ``x`` is not.

    Args:
        model: a built and compiled model whose learning rate is a number, not a schedule.
        x, y: as for ``fit``, of which there may be less than ``steps`` batches.
        low: the learning rate of the first batch.
        high: the learning rate of batch number ``steps``.
        steps: batches in all.
        divergence: it ends when the smoothed loss is more than so many times its best.
        fit_arguments: for ``fit``, e.g. ``batch_size`` or ``class_weight``; not ``epochs`` nor ``callbacks``.

    Raises:
        ValueError: a bound is out of range, or the model is not built, has a schedule of its own or makes several
            steps in each execution.
    """
    factors = RangeTest(low, high, steps)
    if not model.compiled:
        raise ValueError(f"model={model.name!r}: is not compiled; call model.compile() with an optimizer and a loss")
    if model.steps_per_execution != 1:
        raise ValueError(
            f"model.steps_per_execution={model.steps_per_execution}: must be 1, for each batch has a rate of its own; "
            "compile a model for the test without it"
        )
    state, train_function = get_state(model), model.train_function
    done = batches_done(model)
    callback = TuningCallback("loss", schedule=Chain((Constant(), factors), (done,)) if done else factors)
    recorder = _Recorder(steps, divergence)
    callback.set_model(model)
    callback.learning_rate_base = 1.0  # so that the factors are the rates
    try:
        model.fit(x, y, epochs=steps, callbacks=[recorder, callback], verbose=0, **fit_arguments)
    finally:
        set_state(model, state)
        model.reset_metrics()
        model.train_function = train_function  # None is made anew, so that live values can still be installed
    return RangeTestResult(tuple(factors(step) for step in range(len(recorder.losses))), tuple(recorder.losses))


class _Recorder(keras.callbacks.Callback):
    """Remembers the loss of each batch, and ends the training when there are enough or they diverge."""

    def __init__(self, steps: int, divergence: float) -> None:
        super().__init__()
        self.losses: list[float] = []
        self._steps, self._divergence = steps, divergence

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.reset_metrics()  # else Keras gives the mean of the epoch so far

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.losses.append(float(logs["loss"]))
        diverged = length_of_descent(self.losses, divergence=self._divergence) < len(self.losses)
        self.model.stop_training = diverged or len(self.losses) >= self._steps
