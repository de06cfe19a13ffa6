"""The user's own training: HyperModel.fit, Tuner.run_trial, and every kind of data that fit takes."""

from __future__ import annotations

import math
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from keras_tuner import errors

import kt_ext
from tuners.searches import Listed, build, data, epochs_of, learning_rates, small_model
from tuners.test_keras_tuner_features import asha, evaluated, fifo, searched

RATES = learning_rates(0.02, 1e-5, 1e-5)


class TunesBatchSize(keras_tuner.HyperModel):
    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        kwargs["batch_size"] = hp.Choice("batch_size", [20, 50])  # the tuner sees it first in the first trial
        self.steps = []
        kwargs["callbacks"] = [
            *kwargs["callbacks"],
            keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: self.steps.append(batch)),
        ]
        return model.fit(*args, **kwargs)


@pytest.mark.slow
def test_a_hyperparameter_of_fit_appears_late(project):
    hypermodel = TunesBatchSize()
    tuner = fifo(hypermodel, trials=6, **project)
    tuner.search(**data(), verbose=0)
    sizes = [trial.hyperparameters.get("batch_size") for trial in tuner.oracle.trials.values()]
    assert sizes[0] == 20 and set(sizes) == {20, 50}
    assert len(hypermodel.steps) == 200 // sizes[-1]
    assert tuner.get_best_hyperparameters()[0].get("batch_size") in (20, 50)


def test_a_late_hyperparameter_is_refused_where_none_may_be_added(project):
    given = keras_tuner.HyperParameters()
    for name in ("learning_rate", "weight_decay", "dropout"):
        given.Float(name, 1e-3, 1e-1)
    tuner = fifo(TunesBatchSize(), hyperparameters=given, allow_new_entries=False, **project)
    with pytest.raises(RuntimeError, match="batch_size"):
        tuner.search(**data(), verbose=0)


class ReturnsWhat(keras_tuner.HyperModel):
    """Trains with none of the tuner's callbacks, for as long as it likes."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        return self.make(model.fit(x, y, validation_data=validation_data, epochs=2, verbose=0))


@pytest.mark.parametrize(
    "make",
    [
        lambda history: history,
        pytest.param(
            lambda history: {"val_loss": min(history.history["val_loss"]), "other": 1.0}, marks=pytest.mark.slow
        ),
        pytest.param(lambda history: min(history.history["val_loss"]), marks=pytest.mark.nightly),
        pytest.param(lambda history: np.float64(min(history.history["val_loss"])), marks=pytest.mark.nightly),
    ],
    ids=["History", "dict", "float", "numpy"],
)
def test_fit_that_ignores_the_callbacks(project, make):
    seen = []

    def remembered(history: Any) -> Any:
        seen.append(min(history.history["val_loss"]))
        return make(history)

    tuner = searched(asha(ReturnsWhat(remembered), searcher=RATES, **project))
    assert [row.reached for row in tuner.rung_table()] == [3, 1]  # it pauses and goes on with its weights
    first, last = epochs_of(tuner)["val_loss"]
    assert (first, last) == pytest.approx((seen[0], seen[3]))
    assert last < first < seen[1]
    assert evaluated(tuner.get_best_models()[0])["loss"] == pytest.approx(last, rel=1e-4)


@pytest.mark.parametrize("returned", [None, "good", {"val_accuracy": 0.5}], ids=["None", "str", "other metrics"])
def test_fit_that_ignores_the_callbacks_and_returns_nothing_of_use(project, returned):
    with pytest.raises(errors.FatalError, match=r"HyperModel.fit\(\)"):
        searched(asha(ReturnsWhat(lambda history: returned), **project))


class ComputesObjective(keras_tuner.HyperModel):
    """Its objective is computed after the training, whose epochs our callback sees."""

    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        model.fit(x, y, **kwargs)
        return {"confidence": float(np.max(model.predict(validation_data[0], verbose=0), axis=1).mean())}


def test_objective_computed_after_fit(project):
    objective = keras_tuner.Objective("confidence", "max")
    tuner = searched(asha(ComputesObjective(), objective, searcher=RATES, **project))
    assert [row.reached for row in tuner.rung_table()] == [3, 1]
    best = tuner.oracle.get_best_trials()[0]
    model = tuner.get_best_models()[0]
    confidence = np.max(model.predict(data()["validation_data"][0], verbose=0), axis=1).mean()
    assert confidence == pytest.approx(best.score, rel=1e-5)


class OwnLoop(keras_tuner.HyperModel):
    """A loop written out, as in Keras Tuner's guide: the model is not compiled, and one hook alone is called."""

    def build(self, hp):
        hp.Float("decay", 0.5, 0.99)
        return keras.Sequential([keras.layers.Input((64,)), keras.layers.Dense(1, "linear")])

    def fit(self, hp, model, x, y, callbacks, initial_epoch, epochs, **kwargs):
        for callback in callbacks:
            callback.set_model(model)
        for epoch in range(initial_epoch, epochs + self.too_many):
            model.set_weights([weight * hp.get("decay") for weight in model.get_weights()])
            size = float(np.abs(model.get_weights()[0]).sum())
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs={"size": size})
        return size

    def __init__(self, too_many: int) -> None:
        super().__init__()
        self.too_many = too_many


@pytest.mark.parametrize(
    "too_many",
    [
        pytest.param(0, id="as told", marks=pytest.mark.nightly),
        pytest.param(1, id="an epoch too many", marks=pytest.mark.slow),
    ],
)
def test_a_training_loop_of_ones_own(project, too_many):
    tuner = asha(OwnLoop(too_many), keras_tuner.Objective("size", "min"), **project)
    searched(tuner)
    assert [row.reached for row in tuner.rung_table()] == [3, 1]
    best = tuner.oracle.get_best_trials()[0]
    sizes, decay = epochs_of(tuner, best.trial_id)["size"], best.hyperparameters.get("decay")
    assert sizes == pytest.approx([sizes[0], sizes[0] * decay, sizes[0] * decay**2])
    assert np.abs(tuner.get_best_models()[0].get_weights()[0]).sum() == pytest.approx(best.score)


class ForgetsInitialEpoch(keras_tuner.HyperModel):
    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, x, y, initial_epoch, **kwargs):
        return model.fit(x, y, **kwargs)


def test_fit_that_begins_at_epoch_zero_again(project):
    tuner = asha(ForgetsInitialEpoch(), searcher=RATES, **project)
    with pytest.raises(errors.FatalError, match=r"initial_epoch=0: must be 1, .*pass initial_epoch on to fit"):
        searched(tuner)
    assert len(tuner.oracle.trials) == 3


class Parabola(kt_ext.ASHATuner):
    """Anything can be tuned; nothing here is a model."""

    def run_trial(self, trial, *args, **kwargs):
        x = trial.hyperparameters.Float("x", -2.0, 2.0)
        return {"score": x * x, "epochs": trial.hyperparameters.values["tuner/epochs"]}


@pytest.mark.parametrize("hypermodel", [None, lambda hp: hp.Float("x", -2.0, 2.0)], ids=["no hypermodel", "a space"])
def test_run_trial_that_returns_a_dict(project, hypermodel):
    tuner = Parabola(hypermodel, keras_tuner.Objective("score", "min"), max_epochs=3, max_trials=9, seed=0, **project)
    tuner.search(verbose=0)
    assert [row.reached for row in tuner.rung_table()] == [9, 3]
    best = tuner.oracle.get_best_trials()[0]
    assert best.score == pytest.approx(best.hyperparameters.get("x") ** 2)
    assert best.score == min(trial.score for trial in tuner.oracle.trials.values())
    assert tuner.oracle.trials[best.trial_id].metrics.get_history("epochs")[-1].value == [3]


class CountsEpochs(kt_ext.ASHATuner):
    """Keras Tuner's own hooks are called, with the trial and its model."""

    def on_epoch_end(self, trial, model, epoch, logs=None):
        self.ends = [*getattr(self, "ends", []), (trial.trial_id, epoch)]
        assert isinstance(model, keras.Model) and "val_loss" in logs


def test_hooks_of_a_subclass(project):
    tuner = searched(CountsEpochs(build, "val_loss", max_epochs=3, max_trials=3, seed=0, searcher=RATES, **project))
    assert tuner.ends == [("0", 0), ("1", 0), ("2", 0), ("0", 1), ("0", 2)]


# Data


class Batches(keras.utils.PyDataset):
    def __init__(self, x: Any, y: Any) -> None:
        super().__init__()
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x) // 20

    def __getitem__(self, index: int) -> Any:
        return self.x[20 * index : 20 * (index + 1)], self.y[20 * index : 20 * (index + 1)]


def as_py_dataset() -> dict[str, Any]:
    given = data()
    train, validation = Batches(given["x"], given["y"]), Batches(*given["validation_data"])
    return {"x": train, "validation_data": validation, "shuffle": False}


def as_tf_data() -> dict[str, Any]:
    import tensorflow as tf

    given = data()
    train = tf.data.Dataset.from_tensor_slices((given["x"], given["y"])).batch(20)
    return {"x": train, "validation_data": tf.data.Dataset.from_tensor_slices(given["validation_data"]).batch(20)}


def as_infinite_tf_data() -> dict[str, Any]:
    given = as_tf_data()
    return {**given, "x": given["x"].repeat(), "steps_per_epoch": 5}


def with_validation_split() -> dict[str, Any]:
    given = data()
    return {"x": given["x"], "y": given["y"], "validation_split": 0.25, "batch_size": 30}


def with_class_weight() -> dict[str, Any]:
    return {**data(), "class_weight": {label: 1.0 + label for label in range(10)}, "batch_size": 32}


def with_sample_weight() -> dict[str, Any]:
    return {**data(), "sample_weight": np.linspace(0.1, 2.0, 200), "batch_size": 32}


NIGHTLY = pytest.mark.nightly
KINDS = [
    pytest.param(as_py_dataset, marks=pytest.mark.slow),
    pytest.param(as_tf_data, marks=[pytest.mark.slow, pytest.mark.tensorflow]),
    pytest.param(as_infinite_tf_data, marks=[NIGHTLY, pytest.mark.tensorflow]),
    pytest.param(with_validation_split, marks=NIGHTLY),
    pytest.param(with_class_weight, marks=NIGHTLY),
    pytest.param(with_sample_weight, marks=NIGHTLY),
]


@pytest.mark.parametrize("kind", KINDS)
def test_data_of_every_kind(project, kind):
    """Three trials, a pause, and the promoted one goes on with what plain fit would have seen."""
    tuner = asha(searcher=RATES, **project)
    tuner.search(**kind(), verbose=0)
    losses = epochs_of(tuner)["loss"]
    assert [row.reached for row in tuner.rung_table()] == [3, 1]
    assert len(losses) == 3 and losses == sorted(losses, reverse=True)
    if kind is as_py_dataset or kind is as_tf_data:  # not shuffled: the same as one plain fit from the same weights
        with kt_ext.tuners.models.seeded(tuner.oracle.trials["0"].hyperparameters.values["kt_ext/seed"]):
            model = small_model(learning_rate=0.02)
        plain = model.fit(**kind(), epochs=3, verbose=0)
        assert losses == pytest.approx(plain.history["loss"], rel=1e-5)


def test_nan_is_the_worst(project):
    """An infinite learning rate: the trial that comes first is not the best."""

    def diverging(hp: Any) -> keras.Model:
        return small_model(learning_rate=hp.Choice("learning_rate", [0.01, math.inf]))

    searcher = Listed({"learning_rate": math.inf}, {"learning_rate": 0.01})
    tuner = searched(fifo(diverging, trials=2, searcher=searcher, **project))
    diverged = tuner.oracle.trials["0"]
    assert (diverged.status, diverged.score) == ("FAILED", None)
    assert diverged.message == "val_loss was never finite: the training diverged"
    assert tuner.oracle.trials["1"].status == "COMPLETED"  # no value of the first is left in a model they share
    assert tuner.oracle.get_best_trials()[0].trial_id == "1"
