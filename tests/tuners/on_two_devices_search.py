"""Searches whose trials train on two replicas; run by ``test_distribution.py``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import keras
import keras_tuner
import numpy as np
import pytest

import kt_ext
from conftest import Digits
from kt_ext.training.checkpoints import CheckpointStore
from tuners.searches import all_epochs, assert_same_epochs, epochs_of, learning_rates
from two_devices import STRATEGY, copies

MAX_EPOCHS = 4
RATES = (0.03, 1e-6, 1e-6)  # the first is the best of three at any rung


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(hp.Float("dropout", 0.05, 0.5)),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.AdamW(
            hp.Float("learning_rate", 1e-7, 1e-1, sampling="log"),
            weight_decay=hp.Float("weight_decay", 1e-5, 1e-1, sampling="log"),
        ),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def asha(directory: Path, name: str, **kwargs: Any) -> kt_ext.ASHATuner:
    """Three trials of two epochs; the best goes on for two more."""
    return kt_ext.ASHATuner(
        build,
        "val_loss",
        **{"max_epochs": MAX_EPOCHS, "min_epochs": 2, "factor": 2, "max_trials": 3, **kwargs},
        searcher=learning_rates(*RATES),
        seed=0,
        distribution_strategy=STRATEGY,
        directory=directory,
        project_name=name,
    )


def pbt(directory: Path, name: str, **kwargs: Any) -> kt_ext.PBTTuner:
    """Three members, compared after two epochs: the worst takes over the state and the values of the best."""
    return kt_ext.PBTTuner(
        build,
        "val_loss",
        **{"max_epochs": MAX_EPOCHS, "population_size": 3, "perturbation_interval": 2, **kwargs},
        searcher=learning_rates(*RATES),
        seed=0,
        distribution_strategy=STRATEGY,
        directory=directory,
        project_name=name,
    )


#: How to make a tuner of ``build`` from a directory, a project's name and arguments that take precedence over its own,
#: and whether its search did what it is known for. A trial trains for MAX_EPOCHS epochs at most, all for over five.
TUNERS: dict[str, tuple[Callable[..., Any], Callable[[Any], bool]]] = {
    "ASHATuner": (asha, lambda tuner: [row.reached for row in tuner.rung_table()] == [3, 1]),
    "PBTTuner": (pbt, lambda tuner: len(tuner.lineage()) > 0),
}

each_tuner = pytest.mark.parametrize(("make", "at_work"), TUNERS.values(), ids=TUNERS)


def search(tuner: Any, digits: Digits, *callbacks: Any) -> Any:
    tuner.search(
        digits.x,
        digits.y,
        validation_data=(digits.x_val, digits.y_val),
        batch_size=40,
        callbacks=callbacks,
        verbose=0,
    )
    return tuner


class Replicas(keras.callbacks.Callback):
    """On how many devices each epoch's variables were; a search copies its callbacks."""

    seen: ClassVar[list[set[int]]] = []  # of all copies

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        variables = [*self.model.variables, *self.model.optimizer.variables]
        self.seen.append({len(copies(variable)) for variable in variables})


@each_tuner
def test_a_search(make: Any, at_work: Any, digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All on two devices, each checkpoint written once, and the best model is what it was when it was best."""
    saved: list[tuple[str, int]] = []
    save = CheckpointStore.save

    def counted(self: CheckpointStore, epoch: int, *args: Any) -> None:
        saved.append((str(self.directory), epoch))
        save(self, epoch, *args)

    monkeypatch.setattr(CheckpointStore, "save", counted)
    Replicas.seen.clear()
    tuner = search(make(tmp_path, "search"), digits, Replicas())
    trained = sum(len(epochs["val_loss"]) for epochs in all_epochs(tuner).values())
    assert trained > 5
    assert at_work(tuner)
    assert len(saved) == len(set(saved)) == trained
    assert Replicas.seen == [{2}] * trained
    model = tuner.get_best_models()[0]
    best = model.evaluate(digits.x_val, digits.y_val, batch_size=40, verbose=0, return_dict=True)
    assert best["loss"] == pytest.approx(tuner.oracle.get_best_trials()[0].score, rel=1e-5)


@each_tuner
def test_a_search_that_was_interrupted_goes_on(make: Any, at_work: Any, digits: Digits, tmp_path: Path) -> None:
    """Another tuner on the same directory: the same epochs as those of a search in one go."""
    whole = search(make(tmp_path, "whole"), digits)
    search(make(tmp_path, "parts", max_total_epochs=5), digits)
    parts = search(make(tmp_path, "parts"), digits)
    assert at_work(parts)
    assert_same_epochs(all_epochs(parts), all_epochs(whole))


@pytest.mark.parametrize("share_models", [True, False])
def test_a_pause_changes_nothing(digits: Digits, tmp_path: Path, share_models: bool) -> None:
    """Nor does that the trial which goes on is given the model of another."""
    unbroken = asha(tmp_path, "unbroken", min_epochs=MAX_EPOCHS, max_total_epochs=MAX_EPOCHS, max_trials=1)
    paused = search(asha(tmp_path, "paused", share_models=share_models), digits)
    assert [row.reached for row in paused.rung_table()] == [3, 1]
    expected = epochs_of(search(unbroken, digits))
    assert len(expected["val_loss"]) == MAX_EPOCHS
    assert expected["val_loss"][-1] < expected["val_loss"][0]
    assert_same_epochs(epochs_of(paused), expected)


def test_the_moving_statistics_of_the_best_model(digits: Digits, tmp_path: Path) -> None:
    """Each replica has its own again, on TensorFlow; they differ from those that it began with."""
    tuner = search(asha(tmp_path, "search"), digits)
    one, other = copies(tuner.get_best_models()[0].layers[1].moving_variance)
    assert np.array_equal(one, other) == (STRATEGY is None)
    assert np.abs(one - 1).max() > 0.1
