"""Architectures as a Keras Tuner hypermodel: searched, compiled, measured at full size, built at low fidelity."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from kt_ext.core.domains import Boolean, Choice, Int
from kt_ext.core.space import Parameter
from kt_ext.nas.draft import Draft, Scale
from kt_ext.nas.head import classifier, regressor
from kt_ext.nas.ops import make_ops
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture
from kt_ext.networks.hypermodel import ArchitectureHyperModel

SHAPE = (8, 8, 1)
HEAD = classifier(10)


class Two(AbstractArchitectureSpace):
    """One operation of a width, and perhaps a dense layer after it."""

    def __init__(self, ops: Sequence[str] = ("conv3x3", "sep3x3", "dense")) -> None:
        super().__init__()
        self.ops = {op.name: op for op in make_ops(ops)}
        self.laid = 0

    def parameters(self) -> list[Parameter]:
        return [
            Parameter("op", Choice(tuple(self.ops))),
            Parameter("width", Int(4, 16, step=4)),
            Parameter("more", Boolean()),
        ]

    def lay(self, arch: Architecture, net: Draft) -> str:
        self.laid += 1
        width = net.filters(int(arch.values["width"]))
        x = self.ops[str(arch.values["op"])](net, net.input, width, stride=2 if net.is_spatial(net.input) else 1)
        return net.dense(x, width) if arch.values["more"] else x


def adam(hp: Any) -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log"))


def width_of(arch: Architecture) -> float:
    return float(arch.values["width"])


def values(op: str = "conv3x3", width: int = 8, more: bool = False) -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    hp.values.update({"arch/op": op, "arch/width": width, "arch/more": more})
    return hp


# Building


def test_all_hyperparameters_are_registered_and_the_same_model_is_built_again() -> None:
    space = Two()
    model = space.hypermodel(SHAPE, HEAD, optimizer=adam)
    hp = keras_tuner.HyperParameters()
    built = model.build(hp)
    assert [each.name for each in hp.space] == ["arch/op", "arch/width", "arch/more", "learning_rate"]
    assert built.count_params() == model.measure(space.architecture(hp))["params"]
    again = model.build(hp.copy())
    assert again.get_config() == built.get_config()
    assert built.loss == "sparse_categorical_crossentropy"
    assert float(built.optimizer.learning_rate) == pytest.approx(1e-4)


@pytest.mark.slow
def test_a_stock_search_trains_and_rebuilds_what_was_measured(tmp_path: Path) -> None:
    space = Two(["dense", "skip"])
    model = space.hypermodel((5,), HEAD, optimizer=adam)
    tuner = keras_tuner.RandomSearch(
        model, "val_accuracy", max_trials=2, seed=1, directory=tmp_path, project_name="stock"
    )
    x, y = np.random.default_rng(0).normal(size=(16, 5)), np.arange(16) % 10
    tuner.search(x, y, validation_data=(x, y), verbose=0)
    best = tuner.get_best_hyperparameters()[0]
    assert tuner.get_best_models()[0].count_params() == model.measure(space.architecture(best))["params"]


@pytest.mark.slow
def test_loss_and_metrics_are_the_heads_unless_given() -> None:
    metric = keras.metrics.MeanAbsoluteError(name="off")
    model = ArchitectureHyperModel(Two(["dense"]), (5,), regressor(2), loss="huber", metrics=[metric, "mse"])
    fitted = [model.build(values("dense")) for _ in range(2)]
    for each in fitted:
        each.fit(np.zeros((4, 5)), np.zeros((4, 2)), verbose=0)
        assert each.loss == "huber"
    logs = [each.evaluate(np.zeros((4, 5)), np.full((4, 2), 3.0), return_dict=True, verbose=0) for each in fitted]
    assert all(set(each) == {"loss", "off", "mse"} for each in logs)
    assert float(metric.result()) == 0  # each model has one of its own
    plain = ArchitectureHyperModel(Two(["dense"]), (5,), regressor(2)).build(values("dense"))
    assert plain.loss == "mean_squared_error"
    assert set(plain.evaluate(np.zeros((4, 5)), np.zeros((4, 2)), return_dict=True, verbose=0)) == {"loss", "mae"}


@pytest.mark.parametrize(
    "given",
    [
        "SGD",
        {"class_name": "SGD", "config": {"learning_rate": 0.3}},
        keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.3, 10), momentum=0.9),
        lambda hp: keras.optimizers.SGD(0.3),
    ],
    ids=["name", "configuration", "object", "function"],
)
def test_each_model_has_an_optimizer_of_its_own(given: Any) -> None:
    model = ArchitectureHyperModel(Two(), SHAPE, HEAD, optimizer=given)
    first, second = (model.build(values()).optimizer for _ in range(2))
    assert first is not second
    assert isinstance(first, keras.optimizers.SGD)
    assert float(first.learning_rate) == pytest.approx(0.01 if given == "SGD" else 0.3)
    if isinstance(given, keras.optimizers.Optimizer):
        assert first.get_config() == given.get_config()


def test_an_optimizer_that_is_none_is_refused() -> None:
    for wrong in (3, keras.optimizers.Adam, None):
        with pytest.raises(TypeError, match=r"optimizer=.*: must be a name such as 'adam'"):
            ArchitectureHyperModel(Two(), SHAPE, HEAD, optimizer=wrong)
    with pytest.raises(ValueError, match=r"optimizer='adm': must be one of .*adam.*sgd"):
        ArchitectureHyperModel(Two(), SHAPE, HEAD, optimizer="adm")
    with pytest.raises(TypeError, match="the function of hp gives 'adam'"):
        ArchitectureHyperModel(Two(), SHAPE, HEAD, optimizer=lambda hp: "adam").build(values())


def test_an_optimizer_of_another_model_is_refused() -> None:
    shared = keras.optimizers.Adam()
    model = ArchitectureHyperModel(Two(), SHAPE, HEAD, optimizer=lambda hp: shared)
    model.build(values()).fit(np.zeros((2, *SHAPE)), np.zeros(2), verbose=0)
    with pytest.raises(ValueError, match="which another model uses; make a new one inside of it"):
        model.build(values())


@pytest.mark.parametrize(
    "augment", [keras.layers.RandomFlip(), lambda: keras.layers.RandomFlip()], ids=["layer", "function"]
)
def test_each_model_has_an_augmentation_of_its_own(augment: Any) -> None:
    model = ArchitectureHyperModel(Two(), SHAPE, HEAD, augment=augment)
    first, second = (model.build(values()) for _ in range(2))
    assert isinstance(first.get_layer("augment"), keras.layers.RandomFlip)
    assert first.get_layer("augment") is not second.get_layer("augment")
    assert first.count_params() == model.measure(model.space.architecture(values()))["params"]


def test_an_augmentation_with_weights_or_another_shape_is_refused() -> None:
    for wrong in (keras.layers.Dense(1), keras.layers.RandomCrop(4, 4)):
        with pytest.raises(ValueError, match=r"augment: gives shape .* on \(8, 8, 1\)"):
            ArchitectureHyperModel(Two(), SHAPE, HEAD, augment=wrong)


# Measuring


def test_measures_of_a_conv_by_hand() -> None:
    model = Two().hypermodel(SHAPE, HEAD, measures={"width": width_of})
    arch = model.space.architecture(values("conv3x3", 8))
    params = 9 * 8 + 4 * 8 + 8 * 10 + 10
    numbers = params + 64 + 3 * 16 * 8 + 8 + 10  # and the outputs: input, conv, norm, activation, pool, dense
    assert model.measure(arch) == {
        "params": params, "flops": 9 * 8 * 16 + 8 * 10, "memory": 4 * numbers, "width": 8.0,
    }  # fmt: skip


def test_only_what_is_asked_for_is_computed_and_once() -> None:
    calls = []
    space = Two()
    model = space.hypermodel(SHAPE, HEAD, measures={"width": lambda arch: calls.append(arch) or width_of(arch)})
    first, second = (space.architecture(values(width=width)) for width in (4, 8))
    before = space.laid
    assert model.measure(first, ["width"]) == {"width": 4.0}
    assert space.laid == before
    assert list(model.measure(first, ("params", "flops"))) == ["params", "flops"]
    model.measure(first, ["memory"])
    assert (space.laid, len(calls)) == (before + 1, 1)
    assert model.measure(second, ["params"]) != model.measure(first, ["params"])


def test_measures_that_are_wrong_are_refused() -> None:
    with pytest.raises(ValueError, match=r"measures\['flops'\]: the name is taken"):
        Two().hypermodel(SHAPE, HEAD, measures={"flops": width_of})
    with pytest.raises(TypeError, match=r"measures\['width'\]=3: must be a name to a function"):
        Two().hypermodel(SHAPE, HEAD, measures={"width": 3})
    model = Two().hypermodel(SHAPE, HEAD, measures={"width": str})
    arch = model.space.repair({})
    with pytest.raises(ValueError, match="measure 'latency': must be one of params, flops, memory, width"):
        model.measure(arch, ["latency"])
    with pytest.raises(TypeError, match=r"measures\['width'\]: gives '.*' for .*; must give a number"):
        model.measure(arch)


# Low fidelity


class Named(ArchitectureHyperModel):
    """One of the user's own, with a constructor of its own."""

    def __init__(self, label: str) -> None:
        super().__init__(Two(), SHAPE, HEAD, augment=keras.layers.RandomFlip())
        self.label = label

    def build(self, hp: Any) -> keras.Model:
        model = super().build(hp)
        model.name = self.label
        return model


def test_a_copy_at_lower_fidelity_builds_smaller_models_and_measures_full_ones() -> None:
    full = Named("mine")
    low = full.at(Scale(filters=0.5), (4, 4, 1))
    arch = full.space.architecture(values(width=8))
    built = low.build(values(width=8))
    assert (built.name, built.input_shape, built.get_layer("conv").filters) == ("mine", (None, 4, 4, 1), 4)
    assert built.count_params() == low.network(arch).params < full.network(arch).params
    assert low.measure(arch) == full.measure(arch)
    assert full.build(values(width=8)).get_layer("conv").filters == 8
    assert low.at(input_shape=(6, 6, 1)).scale == low.scale
    with pytest.raises(ValueError, match=r"input_shape=\(0, 4, 1\)"):
        full.at(input_shape=(0, 4, 1))


# Arguments and pickling


def test_arguments_are_checked_at_once() -> None:
    with pytest.raises(TypeError, match="space='nb201': must be a space of architectures"):
        ArchitectureHyperModel("nb201", SHAPE, HEAD)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="head=10: must be a head"):
        ArchitectureHyperModel(Two(), SHAPE, 10)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"scale=0.5: must be a kt_ext.nas.Scale"):
        ArchitectureHyperModel(Two(), SHAPE, HEAD, scale=0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="input_shape=8: must be integers >= 1"):
        ArchitectureHyperModel(Two(), 8, HEAD)  # type: ignore[arg-type]


def test_ops_that_the_input_cannot_take_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"op '(conv|sep)3x3': needs positions beside channels.*\(20,\)"):
        ArchitectureHyperModel(Two(), (20,), HEAD)
    for shape in ((20,), (9, 3), SHAPE):
        model = ArchitectureHyperModel(Two(["dense", "skip", "none"]), shape, HEAD)
        assert model.build(keras_tuner.HyperParameters()).output_shape == (None, 10)


def test_it_goes_to_another_process() -> None:
    model = ArchitectureHyperModel(
        Two(), SHAPE, HEAD, optimizer=keras.optimizers.SGD(0.2), metrics=["accuracy"], measures={"width": width_of},
        augment=keras.layers.RandomFlip(),
    )  # fmt: skip
    there = pickle.loads(pickle.dumps(model))
    arch = there.space.architecture(values("sep3x3", 12, True))
    assert there.measure(arch) == model.measure(arch)
    first, second = (each.build(values("sep3x3", 12, True)) for each in (model, there))
    assert first.get_config() == second.get_config()
    assert float(second.optimizer.learning_rate) == pytest.approx(0.2)
