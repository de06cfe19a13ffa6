"""Populations whose members differ in more than numbers: architectures, optimizers, what is no variable, NaN."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

import kt_ext
from tuners.populations import by_merit, lineage, population, searched
from tuners.searches import ONE_TRAIN_TRACE, Listed, all_epochs, build, counting, data, small_model


def build_of_units(hp: Any) -> keras.Model:
    return small_model(
        units=hp.Int("units", 4, 12, step=8), learning_rate=hp.Float("learning_rate", 1e-5, 1e-1, sampling="log")
    )


@pytest.fixture(scope="module")
def of_units(tmp_path_factory):
    """Members 0 and 1 have 4 units, 2 and 3 have 12; 3 hardly learns, 2 learns best, 0 begins well."""
    values = [{"units": units, "learning_rate": rate} for units, rate in ((4, 1e-3), (4, 1e-5), (12, 0.02), (12, 2e-3))]
    with counting() as counts:
        tuner = population(
            counts.counted(build_of_units), directory=str(tmp_path_factory.mktemp("units")), searcher=Listed(*values)
        )
        watcher = searched(tuner)
    return tuner, watcher, counts


def test_structure_comes_with_the_state(of_units):
    tuner, watcher, counts = of_units
    assert tuner.oracle.search.structural == ("units",)
    rows = tuner.lineage()
    assert any(row.old_values["units"] != row.donor_values["units"] for row in rows)  # from one architecture to another
    for row in rows:
        assert row.new_values["units"] == row.donor_values["units"]
        assert row.new_values["learning_rate"] != row.donor_values["learning_rate"]
    for begin in watcher.begins:
        kernel = next(array for name, array in begin.state.items() if name.endswith("kernel"))
        assert kernel.shape == (64, begin.values["units"])
    assert counts.train_steps == 2 * ONE_TRAIN_TRACE


def test_best_model_is_of_the_best_epochs_architecture(of_units):
    """A member's best epoch may lie before it took over another architecture."""
    tuner, _, _ = of_units
    for member, epochs in all_epochs(tuner).items():
        best = min(epochs["val_loss"])
        x, y = data()["validation_data"]
        loss = tuner.load_model(tuner.oracle.trials[member]).evaluate(x, y, verbose=0, return_dict=True)["loss"]
        assert loss == pytest.approx(best, rel=1e-4)


@pytest.mark.slow
def test_a_best_epoch_before_another_architecture(tmp_path):
    values = [{"units": 4, "learning_rate": 0.01}, {"units": 12, "learning_rate": 0.02}]
    tuner, merits = by_merit(
        build_of_units, {"0": [5, 9, 7], "1": [6, 6, 6]}, directory=str(tmp_path), searcher=Listed(*values)
    )
    tuner.search(**data(), batch_size=50, callbacks=[merits], verbose=0)
    assert lineage(tuner) == [(2, "0", "1")]
    trial = tuner.oracle.trials["0"]
    assert (trial.score, trial.best_step) == (5.0, 1)
    assert trial.hyperparameters.get("units") == 4
    assert tuner.oracle.search.history.values(0)["units"] == 12
    best = tuner.load_model(trial)
    assert best.layers[0].units == 4
    assert float(best.optimizer.learning_rate) == pytest.approx(0.01)
    hp = tuner.get_best_hyperparameters()[0]
    assert (hp.get("units"), hp.get("learning_rate")) == (4, 0.01)


def build_of_optimizers(hp: Any) -> keras.Model:
    model = small_model()
    rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    kind = hp.Choice("optimizer", ["adam", "sgd"])
    model.compile(
        keras.optimizers.Adam(rate) if kind == "adam" else keras.optimizers.SGD(rate), "sparse_categorical_crossentropy"
    )
    return model


def test_the_optimizer_comes_with_the_state(tmp_path):
    values = [("adam", 0.02), ("sgd", 1e-4), ("sgd", 2e-4), ("adam", 1e-3)]
    tuner = population(
        build_of_optimizers, directory=str(tmp_path), max_epochs=4,
        searcher=Listed(*({"optimizer": kind, "learning_rate": rate} for kind, rate in values)),
    )  # fmt: skip
    watcher = searched(tuner)
    assert tuner.oracle.search.structural == ("optimizer",)
    ((epoch, member, donor),) = lineage(tuner)
    assert (epoch, donor) == (2, "0") and member in ("1", "2")
    (taken,) = [begin for begin in watcher.begins if begin.donor_state is not None]
    assert taken.values["optimizer"] == "adam"
    assert all(array.dtype == taken.donor_state[name].dtype for name, array in taken.state.items())


def build_of_activation(hp: Any) -> keras.Model:
    model = keras.Sequential(
        [
            keras.layers.Input((64,)),
            keras.layers.Dense(8, activation=hp.Choice("activation", ["relu", "tanh", "elu"])),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-1)), "sparse_categorical_crossentropy")
    return model


@pytest.mark.slow
def test_what_is_no_number_changes_by_another_model(tmp_path):
    """An activation changes no shape: it is mutated, and a model that has it is traced once."""
    with counting() as counts:
        tuner = population(
            counts.counted(build_of_activation), directory=str(tmp_path), resample_probability=1.0, max_epochs=6,
            perturbation_interval=1, seed=1,
        )  # fmt: skip
        watcher = searched(tuner)
    assert tuner.oracle.search.structural == ()
    assert len(tuner.lineage()) == 5
    assert any(row.new_values["activation"] != row.donor_values["activation"] for row in tuner.lineage())
    seen = {begin.values["activation"] for begin in watcher.begins}
    assert counts.test_steps == len(seen) > 1
    assert counts.train_steps <= len(seen) * ONE_TRAIN_TRACE
    for begin in watcher.begins:
        assert begin.activation == begin.values["activation"]


class Batches(keras_tuner.HyperModel):
    """The batch size is a hyperparameter of fit."""

    def build(self, hp: Any) -> keras.Model:
        return build(hp)

    def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        return model.fit(*args, **{**kwargs, "batch_size": hp.Int("batch_size", 10, 100, step=10)})


@pytest.mark.slow
def test_a_batch_size_of_fit(tmp_path):
    """It shows after the first build only; a takeover's next fit uses the new one."""
    explorer = kt_ext.schedulers.Perturb(resample_probability=1.0)
    tuner = population(Batches(), directory=str(tmp_path), max_epochs=6, explorer=explorer)
    watcher = searched(tuner)
    changed = 0
    for begin, batches in zip(watcher.begins, watcher.batches, strict=True):
        assert batches == math.ceil(200 / begin.values["batch_size"])
    for row in tuner.lineage():
        changed += row.new_values["batch_size"] != row.donor_values["batch_size"]
    assert changed


def build_that_may_diverge(hp: Any) -> keras.Model:
    model = small_model(learning_rate=hp.Choice("learning_rate", [0.01, 1e30]))
    return model


def test_a_diverged_member_takes_over_another(tmp_path):
    values = [{"learning_rate": rate} for rate in (1e30, 0.01, 0.01, 0.01)]
    tuner = population(
        build_that_may_diverge, directory=str(tmp_path), searcher=Listed(*values), resample_probability=0.0,
        max_epochs=4, mutable=[],
    )  # fmt: skip
    watcher = searched(tuner)
    epochs = all_epochs(tuner)
    assert not math.isfinite(epochs["0"]["val_loss"][1])
    assert [(epoch, member) for epoch, member, _ in lineage(tuner)] == [(2, "0")]
    assert math.isnan(tuner.lineage()[0].score)
    assert all(math.isfinite(loss) for loss in epochs["0"]["val_loss"][2:])
    assert Counter(watcher.epochs) == {"0": 4, "1": 4, "2": 4, "3": 4}
    assert math.isfinite(tuner.oracle.trials["0"].score)


@pytest.mark.slow
def test_all_members_diverged(tmp_path):
    """One clear error, and nothing is lost: what was reported is there."""
    values = [{"learning_rate": 1e30}] * 4
    tuner = population(build_that_may_diverge, directory=str(tmp_path), searcher=Listed(*values), max_epochs=4)
    with pytest.raises(RuntimeError, match=r"all members of the population have diverged.*after 2 epochs"):
        searched(tuner)
    assert tuner.oracle.search.history.total_epochs == 8
    again = population(build_that_may_diverge, directory=str(tmp_path), searcher=Listed(*values), max_epochs=4)
    assert again.oracle.search.history.total_epochs == 8
    with pytest.raises(RuntimeError, match="all members of the population have diverged"):
        searched(again)
    with pytest.raises(ValueError, match=r"no trial in .* has a finite val_loss"):
        again.best_schedule()


def build_without_input(hp: Any) -> keras.Model:
    model = keras.Sequential(
        [
            keras.layers.Dense(hp.Int("units", 4, 12, step=8), activation="relu"),
            keras.layers.Dropout(hp.Float("dropout", 0.1, 0.5)),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    return model


@pytest.mark.slow
def test_a_model_without_input(tmp_path):
    tuner = population(build_without_input, directory=str(tmp_path), population_size=2, max_epochs=3)
    watcher = searched(tuner)
    assert tuner.oracle.search.structural == ("units",)
    (taken,) = [begin for begin in watcher.begins if begin.donor_state is not None]
    for name, array in taken.donor_state.items():
        if name.endswith(("kernel", "bias", "momentum", "velocity", "iteration")):
            assert np.array_equal(array, taken.state[name]), name
    assert taken.live["optimizer.learning_rate"] == pytest.approx(taken.values["learning_rate"])
    assert taken.live["layers.1.rate"] == pytest.approx(taken.values["dropout"])
