"""Networks in Keras: what they were said to be, what they compute, saved and loaded, with layers of the user's."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from kt_ext.nas.draft import Draft
from kt_ext.nas.head import classifier
from kt_ext.nas.network import Network
from kt_ext.nas.ops import OPS, op
from kt_ext.networks.build import build, keras_name, layer_of
from kt_ext.networks.probe import probe

IMAGE, SERIES, VECTOR = (7, 8, 3), (9, 3), (5,)


def examples(shape: tuple[int, ...], count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, *shape)).astype("float32")


def flops_of(model: keras.Model) -> int:
    """Multiply-adds of a Keras model, from its own kernels and output shapes."""
    total = 0
    for layer in model.layers:
        if "Conv" in type(layer).__name__ or isinstance(layer, keras.layers.Dense):
            total += math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
    return total


def all_kinds() -> Network:
    """A network with every kind of layer but the user's."""
    net = Draft(IMAGE)
    with net.scope("stem"):
        x = net.layer_norm(net.conv(net.input, 4, bias=True))
    with net.scope("cell"):
        parts = [
            net.batch_norm(net.depthwise(x, dilation=2), zero_gamma=True),
            net.max_pool(x, 3, 1),
            net.avg_pool(x, 3, 1),
            net.zero(x),
        ]
        x = net.activation(net.concat([net.add(parts), x]), "gelu")
    x = net.concat([net.flatten(x), net.global_pool(x)])
    return net.finish(classifier(6, dropout=0.3).lay(net, net.dense(x, 8, "relu")))


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name in OPS for shape in (IMAGE, SERIES, VECTOR) if len(shape) > 1 or not OPS[name].spatial],
)
def test_an_op_is_in_keras_what_it_was_said_to_be(name: str, shape: tuple[int, ...]) -> None:
    for stride, first, filters in [(1, False, shape[-1]), (1, True, 4), (2, False, 4), (2, True, shape[-1])]:
        net = Draft(shape)
        network = net.finish(OPS[name](net, net.input, filters, stride, "relu", first))
        model = build(network)
        assert model.count_params() == network.params
        assert flops_of(model) == network.flops
        assert model.output_shape == (None, *network.output.shape)


def test_every_kind_of_layer() -> None:
    network = all_kinds()
    model = build(network)
    assert model.count_params() == network.params
    assert flops_of(model) == network.flops
    assert [layer.name for layer in model.layers].sort() == [keras_name(layer.name) for layer in network.layers].sort()
    for layer in network.layers:
        assert tuple(layer_of(model, layer.name).output.shape) == (None, *layer.shape)


def test_layers_are_found_by_their_names() -> None:
    model = build(all_kinds())
    assert keras_name("cell/concat") == "cell.concat"
    assert isinstance(layer_of(model, "cell/depthwise"), keras.layers.DepthwiseConv2D)
    assert layer_of(model, "input").output.shape == (None, *IMAGE)
    with pytest.raises(ValueError, match=r"cell\.conv"):
        layer_of(model, "cell/conv")


def test_a_zero_gamma_begins_with_zeros() -> None:
    model = build(all_kinds())
    gamma = keras.ops.convert_to_numpy(layer_of(model, "cell/batch_norm").gamma)
    assert not gamma.any()


def test_zeros_are_zeros_even_of_nan() -> None:
    net = Draft(IMAGE)
    model = build(net.finish(net.zero(net.input, stride=2, filters=5)))
    given = np.full((3, *IMAGE), np.nan, "float32")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(given)), np.zeros((3, 4, 4, 5)))


def test_a_saved_model_gives_the_same_and_needs_nothing_but_keras(tmp_path: Path) -> None:
    model, x = build(all_kinds()), examples(IMAGE, 4)
    model.save(tmp_path / "model.keras")
    modules = re.findall(r'"module": "([^"]*)"', zipfile.ZipFile(tmp_path / "model.keras").read("config.json").decode())
    assert {name.split(".")[0] for name in modules} == {"keras"}
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=0, atol=1e-6)


def test_augmentation_stands_behind_the_input_and_works_in_training_alone() -> None:
    net = Draft(IMAGE)
    network = net.finish(net.zero(net.concat([net.input, net.input])))
    model = build(network, lambda: keras.layers.RandomTranslation(0.5, 0.5))
    assert layer_of(model, "augment").input is layer_of(model, "input").output
    net = Draft((2, 1))
    model = build(net.finish(net.concat([net.input, net.input])), lambda: keras.layers.GaussianNoise(1.0))
    given = examples((2, 1))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(given)), np.repeat(given, 2, axis=-1))
    assert (keras.ops.convert_to_numpy(model(given, training=True)) != np.repeat(given, 2, axis=-1)).all()


@pytest.fixture
def half_precision() -> Iterator[None]:
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("half_precision")
@pytest.mark.slow
def test_mixed_precision_trains_with_probabilities_in_full() -> None:
    net = Draft(IMAGE)
    x = net.add([net.batch_norm(net.conv(net.input, 4)), net.zero(net.input, filters=4)])
    model = build(net.finish(classifier(6).lay(net, x)))
    assert layer_of(model, "conv").compute_dtype == "float16"
    assert layer_of(model, "head/dense").compute_dtype == "float32"
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(examples(IMAGE, 8), np.arange(8) % 6, batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"][0])


# Layers of the user's


@keras.saving.register_keras_serializable(package="tests")
class Blend(keras.layers.Layer):
    """A learned share of the input is replaced by its projection to ``units``, with dropout."""

    def __init__(self, units: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.project = keras.layers.Dense(units)
        self.dropout = keras.layers.Dropout(0.2)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.project.build(input_shape)
        self.share = self.add_weight(shape=(), initializer="ones")

    def call(self, inputs: object, training: bool | None = None) -> object:
        return self.share * self.dropout(self.project(inputs), training=training)

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "units": self.units}


@pytest.fixture
def blend() -> Iterator[str]:
    @op("blend", spatial=False)
    def lay(net: Draft, x: str, filters: int) -> str:
        return net.layer(net.batch_norm(net.layer(x, lambda: Blend(filters))), lambda: keras.layers.LeakyReLU(0.1))

    yield "blend"
    del OPS["blend"]


@pytest.mark.parametrize("shape", [IMAGE, VECTOR], ids=["image", "vector"])
def test_an_own_op_with_own_layers(blend: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    net = Draft(shape)
    with net.scope("own"):
        x = OPS[blend](net, net.input, 4)
    network = net.finish(classifier(3).lay(net, x))
    assert network.by_name["own/layer"].params == shape[-1] * 4 + 4 + 1
    model = build(network)
    assert model.count_params() == network.params
    assert isinstance(layer_of(model, "own/layer"), Blend)
    model.save(tmp_path / "model.keras")
    loaded, x = keras.saving.load_model(tmp_path / "model.keras"), examples(shape, 4)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=0, atol=1e-6)


def test_probing_leaves_random_numbers_as_they_were() -> None:
    def begin(probed: bool) -> np.ndarray:
        keras.utils.set_random_seed(3)
        if probed:
            probe(lambda: Blend(4), VECTOR)
        layer = keras.layers.Dense(2)
        layer.build((None, 3))
        return keras.ops.convert_to_numpy(layer.kernel)

    np.testing.assert_array_equal(begin(probed=True), begin(probed=False))


def test_a_probe_refuses_what_is_no_layer_of_fixed_shape() -> None:
    with pytest.raises(TypeError, match=r"make\(\) gives 'relu': must be a keras.layers.Layer"):
        probe(lambda: "relu", VECTOR)  # type: ignore[arg-type,return-value]
    shared = keras.layers.Dense(2)
    with pytest.raises(ValueError, match=r"gives the same layer, .* at each call"):
        probe(lambda: shared, VECTOR)
    with pytest.raises(TypeError, match="must give one tensor"):
        probe(lambda: keras.layers.LSTM(2, return_state=True), SERIES)
    with pytest.raises(ValueError, match=r"gives shape \(None, None, 3\) on \(9, 3\); all but the batch"):
        probe(lambda: keras.layers.Lambda(lambda x: x, output_shape=(None, 3)), SERIES)
