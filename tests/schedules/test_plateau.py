"""ReduceOnPlateau decides as Keras's callback does, epoch by epoch."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from kt_ext.schedules import CosineDecay, PlateauState, ReduceOnPlateau


def factors(schedule, metrics):
    state, found = PlateauState(), []
    for metric in metrics:
        state = schedule.next(state, metric)
        found.append(state.factor)
    return found


def test_by_hand():
    schedule = ReduceOnPlateau(0.5, patience=2, min_delta=0.1, cooldown=1)
    metrics = [3.0, 2.95, 2.92, 2.91, 2.8, 2.8, 2.8, 2.8, 1.0]
    # 2.92 is the second without an improvement by 0.1; 2.91 cools down; 2.8 is better; then two more, and one to cool
    assert factors(schedule, metrics) == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_what_is_not_finite_is_no_improvement():
    schedule = ReduceOnPlateau(0.5, patience=2)
    assert factors(schedule, [math.nan, -math.inf, 1.0, math.inf, math.nan]) == [1, 0.5, 0.5, 0.5, 0.25]


def test_the_lowest_and_the_schedule_it_reduces():
    schedule = ReduceOnPlateau(0.1, patience=1, lowest=0.05, of=CosineDecay(10))
    assert factors(schedule, [1.0, 1.0, 1.0, 1.0]) == [1, 0.1, 0.05, 0.05]
    assert schedule(5, PlateauState(factor=0.1)) == pytest.approx(0.05)


@pytest.fixture(scope="module")
def model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("seed", range(30))
def test_as_keras_decides(model, seed):
    rng = np.random.default_rng(seed)
    arguments = {
        "factor": float(rng.choice([0.1, 0.5])),
        "patience": int(rng.integers(0, 4)),
        "min_delta": float(rng.choice([0.0, 0.05])),
        "cooldown": int(rng.integers(0, 3)),
    }
    lowest = float(rng.choice([0.0, 0.02]))
    metrics = [float(value) for value in rng.choice([0.3, 0.5, 0.52, 0.7, 1.0], 40)]
    callback = keras.callbacks.ReduceLROnPlateau("loss", min_lr=lowest * 0.5, **arguments)
    callback.set_model(model)
    callback.on_train_begin()
    model.optimizer.learning_rate = 0.5
    expected = []
    for epoch, metric in enumerate(metrics):
        callback.on_epoch_end(epoch, {"loss": metric})
        expected.append(float(model.optimizer.learning_rate.numpy()))
    mine = [0.5 * factor for factor in factors(ReduceOnPlateau(**arguments, lowest=lowest), metrics)]
    assert mine == pytest.approx(expected, rel=1e-5)
    if lowest == 0.0:
        assert len(set(mine)) > 3  # there was something to do
