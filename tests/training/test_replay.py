"""The schedule of a population, trained once more by one new model, ends at the winner's weights."""

from __future__ import annotations

import json
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

import kt_ext
from kt_ext.core.lineage import Schedule, Stretch
from kt_ext.training import live
from kt_ext.training.state import get_state
from tuners.populations import by_merit
from tuners.searches import build, counting, data, small_model

BATCHES = {"batch_size": 50, "shuffle": False, "verbose": 0}


@pytest.fixture(scope="module")
def tuner(tmp_path_factory):
    """A search in one order of the samples: 1 takes over from 0, then 0 from 1, and that one wins."""
    merits = {"0": [2, 2, 5, 5, 4, 1], "1": [3, 3, 4, 4, 6, 6]}
    tuner, callback = by_merit(build, merits, directory=str(tmp_path_factory.mktemp("replay")))
    tuner.search(**data(), **BATCHES, callbacks=[callback])
    stretches = tuner.best_schedule().stretches
    assert [(one.begin, one.end, one.member) for one in stretches] == [(0, 2, 0), (2, 4, 1), (4, 6, 0)]
    return tuner


def replayed(schedule: Schedule, made: keras.Model | None = None, **kwargs: Any) -> keras.Model:
    keras.utils.set_random_seed(schedule.seed)
    model = build(kt_ext.hyperparameters(schedule.values)) if made is None else made
    callbacks = [kt_ext.ScheduleReplay(schedule, **kwargs)]
    model.fit(**data(), **BATCHES, epochs=schedule.epochs, callbacks=callbacks)
    return model


def assert_same_state(one: keras.Model, other: keras.Model) -> None:
    mine, its = get_state(one), get_state(other)
    assert mine.keys() == its.keys()
    for name, array in its.items():
        assert np.allclose(mine[name], array, rtol=1e-5, atol=1e-7), name


@pytest.mark.slow
def test_it_ends_at_the_winners_state(tuner):
    """Weights, optimizer slots, learning rate and generators; with one trace."""
    with counting() as counts:
        model = replayed(tuner.best_schedule())
    winner = tuner.get_best_models()[0]
    assert_same_state(model, winner)
    assert counts.test_steps == 1
    assert type(model.layers[1].rate) is float  # the model is given back as a plain one
    assert live.values(model) == pytest.approx(live.values(winner))


@pytest.mark.parametrize("way", ["config", "proto"])
def test_by_the_best_hyperparameters(tuner, way):
    """They say where in the model the values are, and go through Keras Tuner's config and wire."""
    hp = tuner.get_best_hyperparameters()[0]
    if way == "config":
        hp = keras_tuner.HyperParameters.from_config(json.loads(json.dumps(hp.get_config())))
    else:
        hp = keras_tuner.HyperParameters.from_proto(hp.to_proto())
    schedule = kt_ext.schedule_from(hp)
    assert schedule == tuner.best_schedule()
    assert hp.get("dropout") == schedule.at(schedule.epochs)["dropout"]


def without_numbers(tuner: Any) -> Schedule:
    """As a Keras Tuner trial has it."""
    trial = tuner.oracle.get_best_trials(1)[0]
    schedule = kt_ext.schedule_from(trial.hyperparameters)
    assert all(stretch.live is None for stretch in schedule.stretches)
    return schedule


def test_a_trials_schedule_needs_the_build_function(tuner):
    with pytest.raises(ValueError, match=r"not where they are in the model; give ScheduleReplay\(schedule, build="):
        replayed(without_numbers(tuner))


def test_a_trials_schedule_with_the_build_function(tuner):
    assert_same_state(replayed(without_numbers(tuner), build=build), tuner.get_best_models()[0])


def test_without_the_schedule_it_ends_elsewhere(tuner):
    """So the comparison can fail: the first values alone give other weights."""
    schedule = tuner.best_schedule()
    keras.utils.set_random_seed(schedule.seed)
    model = build(kt_ext.hyperparameters(schedule.values))
    model.fit(**data(), **BATCHES, epochs=schedule.epochs)
    kernels = model.get_weights()[0], tuner.get_best_models()[0].get_weights()[0]
    assert not np.allclose(*kernels, rtol=1e-2)


class Stops(keras.callbacks.Callback):
    """Ends the training after ``epochs`` epochs."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = epoch + 1 >= self.epochs


@pytest.mark.parametrize("epochs", [2, 3])
def test_a_training_that_is_gone_on_with(tuner, epochs):
    """fit with initial_epoch, in the middle of a stretch or between two, by the same callback or a new one."""
    schedule = tuner.best_schedule()
    keras.utils.set_random_seed(schedule.seed)
    model = build(kt_ext.hyperparameters(schedule.values))
    model.fit(**data(), **BATCHES, epochs=schedule.epochs, callbacks=[kt_ext.ScheduleReplay(schedule), Stops(epochs)])
    again = [kt_ext.ScheduleReplay(schedule)]
    model.fit(**data(), **BATCHES, initial_epoch=epochs, epochs=schedule.epochs, callbacks=again)
    assert_same_state(model, tuner.get_best_models()[0])


def test_another_architecture(tuner):
    schedule = tuner.best_schedule()
    layers = [keras.layers.Input((64,)), keras.layers.Dense(10, activation="softmax")]
    other = keras.Sequential(layers)
    other.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"schedule: is of another model: .*layers.1.rate"):
        replayed(schedule, other)


def stretches(**changes: tuple[Any, Any]) -> Schedule:
    first, second = ({name: pair[n] for name, pair in changes.items()} for n in (0, 1))
    return Schedule((Stretch(0, 1, 0, 11, first), Stretch(1, 2, 1, 12, second)))


def build_of_units(hp: Any) -> keras.Model:
    return small_model(units=hp.Int("units", 4, 8), learning_rate=hp.Float("learning_rate", 1e-3, 1e-1))


@pytest.mark.parametrize("name", ["units", "batch_size"])
def test_values_that_cannot_be_live(name):
    """One shapes the model, the other does nothing to it."""
    schedule = stretches(**{name: (4, 8), "learning_rate": (0.01, 0.02)})
    with pytest.raises(ValueError, match=f"{name} changes along the way, and that cannot be told to a model"):
        replayed(schedule, build_of_units(kt_ext.hyperparameters(schedule.values)), build=build_of_units)


@pytest.mark.slow
def test_a_population_that_changed_an_activation(tmp_path):
    """Its schedule is told, but without numbers."""

    def building(hp: Any) -> keras.Model:
        model = small_model(learning_rate=hp.Float("learning_rate", 1e-3, 1e-1))
        model.layers[0].activation = keras.activations.get(hp.Choice("activation", ["relu", "tanh"]))
        return model

    merits = {"0": [2, 2, 2], "1": [3, 3, 1]}
    tuner, callback = by_merit(building, merits, directory=str(tmp_path), resample_probability=0.0)
    tuner.search(**data(), **BATCHES, callbacks=[callback])
    before, after = tuner.best_schedule().stretches
    assert before.values["activation"] != after.values["activation"]
    assert before.live is after.live is None
    with pytest.raises(ValueError, match="activation changes along the way"):
        kt_ext.ScheduleReplay(tuner.best_schedule(), build=building).set_model(building(kt_ext.hyperparameters({})))


def test_what_is_no_schedule():
    with pytest.raises(TypeError, match=r"schedule=\{\}: must be a kt_ext.Schedule"):
        kt_ext.ScheduleReplay({})


def test_hyperparameters_to_build_with():
    hp = kt_ext.hyperparameters({"learning_rate": 0.05})
    assert hp.Float("learning_rate", 1e-4, 1e-1) == 0.05
    assert hp.Float("dropout", 0.1, 0.5, default=0.2) == 0.2
