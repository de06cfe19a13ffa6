"""What a keras_tuner.Tuner can do, ours can."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, ClassVar

import keras
import keras_tuner
import numpy as np
import pytest

import kt_ext
from tuners.searches import Listed, build, data, epochs_of, learning_rates, run_python, small_model


def asha(build_model: Any = build, objective: Any = "val_loss", **kwargs: Any) -> kt_ext.ASHATuner:
    return kt_ext.ASHATuner(build_model, objective, **{"max_epochs": 3, "max_trials": 3, "seed": 0, **kwargs})


def fifo(build_model: Any = build, trials: int = 1, epochs: int = 1, **kwargs: Any) -> kt_ext.SchedulerTuner:
    scheduler = kt_ext.schedulers.FIFO(max_trials=trials, max_epochs=epochs)
    return kt_ext.SchedulerTuner(build_model, scheduler, **{"objective": "val_loss", "seed": 0, **kwargs})


def searched(tuner: Any, **kwargs: Any) -> Any:
    tuner.search(**{**data(), "batch_size": 32, "verbose": 0, **kwargs})
    return tuner


def evaluated(model: keras.Model) -> dict[str, float]:
    return model.evaluate(*data()["validation_data"], verbose=0, return_dict=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Three trials, one of them promoted, whose best epoch is not its last."""
    tuner = asha(
        directory=str(tmp_path_factory.mktemp("finished")), project_name="p", searcher=learning_rates(0.02, 0.01, 0.003)
    )
    return searched(tuner)


def test_results_summary(finished, capsys):
    finished.results_summary(2)
    printed = capsys.readouterr().out
    assert printed.count("Hyperparameters:") == 2
    assert f"Score: {finished.oracle.get_best_trials()[0].score}" in printed


def test_search_space_summary(finished, capsys):
    finished.search_space_summary()
    printed = capsys.readouterr().out
    assert "Default search space size: 3" in printed
    assert all(f"{name} (Float)" in printed for name in ("learning_rate", "weight_decay", "dropout"))


def test_best_models_have_the_weights_of_the_best_epoch(finished):
    trials = finished.oracle.get_best_trials(3)
    assert [trial.score for trial in trials] == sorted(trial.score for trial in trials)
    models = finished.get_best_models(3)
    for trial, model in zip(trials, models, strict=True):
        assert trial.score == min(epochs_of(finished, trial.trial_id)["val_loss"])
        assert evaluated(model)["loss"] == pytest.approx(trial.score, rel=1e-5)


@pytest.mark.slow
def test_best_epoch_before_the_last(project):
    """A learning rate so large that the loss only grows after the first epoch."""

    def build_wild(hp: Any) -> keras.Model:
        hp.Fixed("nothing", 0)
        return small_model(learning_rate=keras.optimizers.schedules.PiecewiseConstantDecay([7], [0.01, 3.0]))

    tuner = searched(fifo(build_wild, epochs=3, **project))
    trial = tuner.oracle.trials["0"]
    assert trial.best_step == 1
    assert evaluated(tuner.get_best_models()[0])["loss"] == pytest.approx(trial.score, rel=1e-5)


def test_best_hyperparameters_build_the_same_model(finished):
    best = finished.get_best_hyperparameters()[0]
    model = build(best)
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(best.get("learning_rate"))
    assert finished.get_best_models()[0].get_config()["layers"][2]["config"]["rate"] == best.get("dropout")


def test_reload(finished):
    again = asha(directory=str(finished.directory), project_name="p", searcher=learning_rates(0.02, 0.01, 0.003))
    again.reload()
    assert [t.trial_id for t in again.oracle.get_best_trials(3)] == [
        t.trial_id for t in finished.oracle.get_best_trials(3)
    ]
    assert again.oracle.get_best_trials()[0].score == finished.oracle.get_best_trials()[0].score
    assert evaluated(again.get_best_models()[0]) == pytest.approx(evaluated(finished.get_best_models()[0]), rel=1e-5)
    assert again.remaining_trials == 0
    assert build(again.oracle.get_space()).layers[1].rate == 0.05  # the space with its default values


def test_rung_table(finished):
    assert [(row.epochs, row.reached) for row in finished.rung_table()] == [(1, 3), (3, 1)]


@pytest.mark.tensorflow
@pytest.mark.slow
def test_tensorboard_with_hparams(project, tmp_path):
    """A trial that paused goes on in the same directory of logs."""
    logs = tmp_path / "logs"
    tuner = searched(
        asha(searcher=learning_rates(0.02, 1e-4, 1e-4), **project), callbacks=[keras.callbacks.TensorBoard(str(logs))]
    )
    for trial_id in tuner.oracle.trials:
        directory = logs / trial_id / "execution0"
        assert list((directory / "train").glob("events*")) and list((directory / "validation").glob("events*"))
        assert any(b"_hparams_/session_start_info" in path.read_bytes() for path in directory.glob("events*"))


class Remembers(keras.callbacks.Callback):
    """The validation loss of each epoch of each segment, in the order of training."""

    losses: ClassVar[list[float]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        Remembers.losses.append(logs["val_loss"])


def test_executions_per_trial_report_their_mean(project):
    Remembers.losses.clear()
    tuner = asha(executions_per_trial=2, searcher=learning_rates(0.02, 1e-5, 1e-5), **project)
    searched(tuner, callbacks=[Remembers()])
    # three trials of an epoch, twice each; then both executions of trial 0 go on for two
    first, second = [Remembers.losses[n] for n in (0, 6, 7)], [Remembers.losses[n] for n in (1, 8, 9)]
    assert len(Remembers.losses) == 10 and first[0] != second[0]
    assert epochs_of(tuner)["val_loss"] == pytest.approx(np.mean([first, second], axis=0), rel=1e-6)
    assert evaluated(tuner.get_best_models()[0])["loss"] == pytest.approx(min(first + second), rel=1e-5)


DISTRIBUTED = """
import json
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tuners.searches import *
from tuners.test_keras_tuner_features import asha, evaluated
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
replicas = []

def build_seen(hp):
    replicas.append(tf.distribute.get_strategy().num_replicas_in_sync)
    return build(hp)

tuner = asha(
    build_seen, distribution_strategy=strategy, directory=sys.argv[1], searcher=learning_rates(0.02, 1e-5, 1e-5)
)
tuner.search(**data(), batch_size=50, verbose=0)
best = tuner.oracle.get_best_trials()[0]
loss = evaluated(tuner.get_best_models()[0])["loss"]
print(json.dumps([[row.reached for row in tuner.rung_table()], replicas[1:], best.score, loss]))
"""


@pytest.mark.tensorflow
@pytest.mark.nightly
def test_mirrored_strategy(tmp_path):
    printed = run_python(DISTRIBUTED, str(tmp_path)).stdout.strip().splitlines()[-1]
    table, replicas, score, loss = json.loads(printed)
    assert table == [3, 1]
    assert set(replicas) == {2}  # all but the first, which only looks at the space
    assert loss == pytest.approx(score, rel=1e-5)


@pytest.mark.slow
def test_max_model_size(project):
    """Models with more parameters fail, and are not trained."""

    def build_of_units(hp: Any) -> keras.Model:
        return small_model(units=hp.Choice("units", [2, 100]))

    searcher = Listed({"units": 100}, {"units": 2})
    tuner = searched(fifo(build_of_units, trials=2, searcher=searcher, max_model_size=1000, **project))
    large, small = tuner.oracle.trials.values()
    assert (large.status, small.status) == ("FAILED", "COMPLETED")
    assert "7510 parameters, more than max_model_size=1000" in large.message


class FailsOnce:
    """A build function that raises at its second call, the first for a trial."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, hp: Any) -> keras.Model:
        self.calls += 1
        if self.calls == 2:
            raise OSError("the data server did not answer")
        return build(hp)


@pytest.mark.slow
def test_max_retries_per_trial(project):
    tuner = searched(fifo(FailsOnce(), max_retries_per_trial=1, **project))
    assert [trial.status for trial in tuner.oracle.trials.values()] == ["COMPLETED"]
    assert len(epochs_of(tuner)["val_loss"]) == 1


def test_no_retries_by_default(project):
    tuner = searched(fifo(FailsOnce(), trials=2, **project))
    assert [trial.status for trial in tuner.oracle.trials.values()] == ["FAILED", "COMPLETED"]
    assert "the data server did not answer" in tuner.oracle.trials["0"].message


@pytest.mark.slow
def test_several_objectives(project):
    objectives = [keras_tuner.Objective("val_loss", "min"), keras_tuner.Objective("val_accuracy", "max")]
    tuner = searched(fifo(objective=objectives, trials=2, epochs=2, **project))
    for trial_id, trial in tuner.oracle.trials.items():
        epochs = epochs_of(tuner, trial_id)
        sums = [loss - accuracy for loss, accuracy in zip(epochs["val_loss"], epochs["val_accuracy"], strict=True)]
        assert epochs["multi_objective"] == pytest.approx(sums)
        assert trial.score == pytest.approx(min(sums))
    best = evaluated(tuner.get_best_models()[0])
    assert best["loss"] - best["accuracy"] == pytest.approx(tuner.oracle.get_best_trials()[0].score, abs=1e-5)


def test_conditional_scope(project):
    def build_deep(hp: keras_tuner.HyperParameters) -> keras.Model:
        layers = [keras.layers.Input((64,)), keras.layers.Dense(8)]
        if hp.Choice("depth", ["one", "two"]) == "two":
            with hp.conditional_scope("depth", ["two"]):
                layers.append(keras.layers.Dense(hp.Int("second_units", 3, 5)))
        model = keras.Sequential([*layers, keras.layers.Dense(10, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    tuner = searched(fifo(build_deep, trials=3, **project))
    chosen = [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]
    assert {values["depth"] for values in chosen} == {"one", "two"}
    for trial, values in zip(tuner.oracle.trials.values(), chosen, strict=True):
        assert ("second_units" in values) == (values["depth"] == "two")
        if values["depth"] == "two":
            assert tuner.load_model(trial).layers[1].units == values["second_units"]


def test_only_given_hyperparameters_are_tuned(project):
    given = keras_tuner.HyperParameters()
    given.Float("learning_rate", 1e-3, 1e-2, sampling="log")
    tuner = searched(fifo(trials=2, hyperparameters=given, tune_new_entries=False, **project))
    values = [trial.hyperparameters for trial in tuner.oracle.trials.values()]
    assert [hp.name for hp in tuner.oracle.hyperparameters.space] == ["learning_rate"]
    assert all(1e-3 <= hp.get("learning_rate") <= 1e-2 for hp in values)
    assert tuner.get_best_models()[0].layers[1].rate == 0.05  # the others keep their defaults


@pytest.mark.slow
def test_optimizer_loss_and_metrics_take_the_place_of_the_models(project):
    def uncompiled(hp: Any) -> keras.Model:
        return keras.Sequential(
            [keras.layers.Input((64,)), keras.layers.Dense(hp.Int("units", 4, 5)), keras.layers.Dense(10)]
        )

    tuner = fifo(
        uncompiled,
        objective=keras_tuner.Objective("val_top3", "max"),
        optimizer=keras.optimizers.SGD(0.05, momentum=0.5),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseTopKCategoricalAccuracy(3, name="top3")],
        trials=2,
        epochs=2,
        **project,
    )
    searched(tuner)
    best = tuner.get_best_models()[0]
    # no trial counts what the one before it saw: the metric is the same object for all
    for trial in tuner.oracle.trials.values():
        correct = [top3 * 200 for top3 in epochs_of(tuner, trial.trial_id)["top3"]]
        assert correct == pytest.approx(np.round(correct), abs=1e-4)
    assert (type(best.optimizer), best.optimizer.momentum) == (keras.optimizers.SGD, 0.5)
    assert evaluated(best)["top3"] == pytest.approx(tuner.oracle.get_best_trials()[0].score)


def without_input(hp: Any) -> keras.Model:
    model = keras.Sequential(
        [
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.AdamW(hp.Float("learning_rate", 1e-6, 1e-1)), "sparse_categorical_crossentropy")
    return model


class TwoLayers(keras.Model):
    def __init__(self, learning_rate: float) -> None:
        super().__init__()
        self.hidden, self.dropout = keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.3)
        self.head = keras.layers.Dense(10, activation="softmax")
        self.compile(keras.optimizers.AdamW(learning_rate), "sparse_categorical_crossentropy")

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.head(self.dropout(self.hidden(inputs), training=training))


def of_a_subclass(hp: Any) -> keras.Model:
    return TwoLayers(hp.Float("learning_rate", 1e-6, 1e-1))


@pytest.mark.parametrize(
    "build_model",
    [
        pytest.param(without_input, marks=pytest.mark.slow, id="no input layer"),
        pytest.param(of_a_subclass, marks=pytest.mark.slow, id="subclass"),
    ],
)
def test_models_without_an_input_shape(project, build_model):
    """They pause, go on exactly, and are given back, as any other."""
    rates = Listed(*({"learning_rate": rate} for rate in (0.01, 1e-6)))
    tuner = searched(asha(build_model, searcher=rates, max_epochs=2, factor=2, max_trials=2, **project))
    unbroken = searched(
        fifo(build_model, epochs=2, searcher=rates, directory=project["directory"], project_name="unbroken")
    )
    assert epochs_of(tuner)["loss"] == pytest.approx(epochs_of(unbroken)["loss"], rel=1e-5)
    assert epochs_of(tuner)["val_loss"] == pytest.approx(epochs_of(unbroken)["val_loss"], rel=1e-5)
    score = tuner.oracle.get_best_trials()[0].score
    assert evaluated(tuner.get_best_models()[0])["loss"] == pytest.approx(score, rel=1e-5)


class StopsAt(keras.callbacks.Callback):
    """Ends the training after two epochs, and remembers each copy that trained."""

    copies: ClassVar[list[Any]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        StopsAt.copies.append(self)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen = epoch + 1
        if epoch + 1 == 2:
            self.model.stop_training = True


@pytest.mark.slow
def test_a_users_early_stopping_ends_the_trial(project):
    callback = StopsAt()
    StopsAt.copies.clear()
    tuner = searched(asha(max_epochs=9, min_epochs=3, **project), callbacks=[callback])
    assert [len(epochs_of(tuner, trial_id)["loss"]) for trial_id in tuner.oracle.trials] == [2, 2, 2]
    assert set(tuner.oracle.search.where.values()) == {"done"}  # finished, and never promoted
    assert [row.reached for row in tuner.rung_table()] == [0, 0]
    assert len({id(each) for each in StopsAt.copies}) == 3 and callback not in StopsAt.copies
    assert not hasattr(callback, "seen")


@pytest.mark.slow
def test_early_stopping_counts_across_a_pause(project):
    """The loss falls by less than 100 each epoch: patience of 2 ends the promoted trial at epoch 3, not 4."""
    callback = keras.callbacks.EarlyStopping("val_loss", patience=2, min_delta=100.0)
    tuner = searched(asha(max_epochs=4, min_epochs=2, factor=2, max_trials=2, **project), callbacks=[callback])
    assert sorted(len(epochs_of(tuner, i)["loss"]) for i in tuner.oracle.trials) == [2, 3]


def test_stock_keras_tuner_reads_the_project(finished):
    """oracle.json and trial.json are as Keras Tuner writes them."""
    oracle = json.loads((Path(finished.project_dir) / "oracle.json").read_text())
    assert oracle["end_order"] and oracle["hyperparameters"]["space"]
    trial = keras_tuner.engine.trial.Trial.load(str(Path(finished.project_dir) / "trial_0" / "trial.json"))
    assert trial.score == finished.oracle.trials["0"].score
    assert copy.copy(trial).hyperparameters.get("dropout") == 0.3
