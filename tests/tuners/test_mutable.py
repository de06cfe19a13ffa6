"""Which hyperparameters may change while a model trains: found, named or marked."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import kt_ext
from kt_ext.tuners.mutable import Mutable, find_mutable
from tuners.populations import population, searched
from tuners.searches import build, data, small_model

STRUCTURAL = ("depth", "momentum", "noisy", "normalise", "optimizer")


def build_all_kinds(hp: Any) -> keras.Model:
    """One hyperparameter of each kind, on both sides."""
    layers: list[Any] = [keras.layers.Input((64,))]
    if hp.Boolean("normalise"):
        layers.append(keras.layers.BatchNormalization())
    for _ in range(hp.Int("depth", 1, 3)):
        layers.append(keras.layers.Dense(4, activation=hp.Choice("activation", ["relu", "tanh"])))
    if hp.Boolean("noisy"):
        layers.append(keras.layers.GaussianNoise(hp.Float("noise", 0.1, 0.9)))
    kind = hp.Choice("optimizer", ["sgd", "adam"])
    model = keras.Sequential([*layers, keras.layers.Dense(10)])
    rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    with hp.conditional_scope("optimizer", "sgd"):
        momentum = hp.Float("momentum", 0.0, 0.9) if kind == "sgd" else 0.0
    optimizer = keras.optimizers.SGD(rate, momentum) if kind == "sgd" else keras.optimizers.Adam(rate)
    hp.Fixed("fixed", 3)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def found(build_model: Any, directory: Any, named: Any = None, x: Any = None) -> Mutable:
    return find_mutable(population(build_model, directory=str(directory)), named, x, verbose=0)


def test_found_by_building(tmp_path):
    """Noise brings a generator's state, momentum 0 has no slots: both shape the state that a donor hands over."""
    assert found(build_all_kinds, tmp_path) == Mutable(frozenset(STRUCTURAL), None)


@pytest.mark.slow
def test_a_search_declares_what_was_found(tmp_path, capsys):
    tuner = population(build_all_kinds, directory=str(tmp_path), max_total_epochs=1)
    tuner.search(**data(), verbose=1)
    assert tuner.oracle.search.structural == STRUCTURAL
    assert "\n  activation, learning_rate, fixed may change while it trains\n" in capsys.readouterr().out


def test_named(tmp_path):
    assert found(build_all_kinds, tmp_path, ["learning_rate"]) == Mutable(frozenset(), frozenset({"learning_rate"}))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (["learning_rat"], "'learning_rat' is no hyperparameter of the model; did you mean 'learning_rate'"),
        (["depth", "learning_rate"], "depth changes the shapes or the number of the model's variables"),
    ],
)
def test_names_that_cannot_be(tmp_path, named, message):
    """The error comes before any training, and names the hyperparameter."""
    tuner = population(build_all_kinds, directory=str(tmp_path), mutable=named)
    with pytest.raises(ValueError, match=message):
        searched(tuner)
    assert len(tuner.oracle.trials) == 0


def test_only_the_named_change(tmp_path):
    tuner = population(build, directory=str(tmp_path), mutable=["learning_rate"])
    searched(tuner)
    rows = tuner.lineage()
    assert len(rows) == 3
    for row in rows:
        same = {name for name in row.new_values if row.new_values[name] == row.donor_values[name]}
        assert same == {"weight_decay", "dropout"}


def build_marked(hp: Any) -> keras.Model:
    return small_model(
        units=hp.Int("units", 4, 8, step=4),
        learning_rate=kt_ext.mutable(hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")),
        weight_decay=hp.Float("weight_decay", 1e-5, 1e-1, sampling="log"),
    )


@pytest.mark.slow
def test_marked(tmp_path):
    tuner = population(build_marked, directory=str(tmp_path), max_epochs=4)
    searched(tuner)
    assert tuner.oracle.search.structural == ("units",)
    assert tuner.oracle.search.mutable == ("learning_rate",)
    (row,) = tuner.lineage()
    assert {n for n in row.new_values if row.new_values[n] != row.donor_values[n]} == {"learning_rate"}


def test_a_mark_on_what_shapes_the_model(tmp_path):
    def building(hp: Any) -> keras.Model:
        return small_model(units=kt_ext.mutable(hp.Int("units", 4, 8, step=4)))

    with pytest.raises(ValueError, match=r"mutable=\['units'\]: units changes the shapes"):
        searched(population(building, directory=str(tmp_path)))


def test_a_mark_is_the_value_itself():
    assert kt_ext.mutable(0.25) == 0.25
    assert type(kt_ext.mutable(0.25)) is float


@pytest.mark.parametrize("value", [lambda hp: hp.Boolean("flag"), lambda hp: 2 * hp.Float("rate", 0.1, 0.4)])
def test_marks_that_carry_no_name(tmp_path, value):
    def building(hp: Any) -> keras.Model:
        return small_model(dropout=0.5 * kt_ext.mutable(value(hp)))

    with pytest.raises(TypeError, match=r"must be given what hp.Float, hp.Int or hp.Choice returned.*Boolean"):
        searched(population(building, directory=str(tmp_path)))


def test_a_marked_text(tmp_path):
    def building(hp: Any) -> keras.Model:
        model = small_model(learning_rate=hp.Float("learning_rate", 1e-4, 1e-1))
        model.layers[0].activation = keras.activations.get(kt_ext.mutable(hp.Choice("activation", ["relu", "tanh"])))
        return model

    assert found(building, tmp_path) == Mutable(frozenset(), frozenset({"activation"}))


def build_without_input(hp: Any) -> keras.Model:
    rate, units = hp.Float("dropout", 0.1, 0.5), hp.Int("units", 4, 8)
    model = keras.Sequential([keras.layers.Dense(units), keras.layers.Dropout(rate), keras.layers.Dense(10)])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_without_input_the_data_tell_the_shapes(tmp_path):
    x = data()["x"]
    assert found(build_without_input, tmp_path, x=x).structural == {"units"}


def test_without_input_or_data_all_that_shows_counts(tmp_path, caplog):
    assert found(build_without_input, tmp_path, x=iter([])).structural == {"units", "dropout"}
    assert "the model has no input shape" in caplog.text


def test_a_combination_that_cannot_be_built(tmp_path):
    """It is taken to be of another shape."""

    def building(hp: Any) -> keras.Model:
        units = hp.Int("units", 1, 8, default=4)
        if units == 1:
            raise ValueError("one unit is not enough")
        return small_model(learning_rate=hp.Float("learning_rate", 1e-4, 1e-1))

    assert found(building, tmp_path).structural == {"units"}


def test_finding_leaves_the_random_numbers_alone(tmp_path):
    tuner = population(build, directory=str(tmp_path))
    np.random.seed(5)
    first = np.random.random()
    np.random.seed(5)
    find_mutable(tuner, None, None, verbose=0)
    assert np.random.random() == first
