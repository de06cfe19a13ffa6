"""Live values: the tests read the number that the training step really used, and count its traces."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_version import KERAS
from kt_ext.training.live import OPTIMIZERS, install, values

ROOT = Path(__file__).resolve().parents[2]
TENSORFLOW = keras.backend.backend() == "tensorflow"
UNITS = 10_000

pytestmark = pytest.mark.skipif(
    keras.backend.backend() not in ("tensorflow", "jax"), reason="live values are for TensorFlow and JAX"
)


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that a training step is traced: its Python code runs then, and only then."""
    traced: list[int] = []
    original = keras.Model.train_step

    def train_step(self: keras.Model, *args: Any) -> Any:
        traced.append(1)
        return original(self, *args)

    monkeypatch.setattr(keras.Model, "train_step", train_step)
    return traced


@pytest.fixture
def policy(request: pytest.FixtureRequest) -> Iterator[str]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


def decaying(optimizer: keras.optimizers.Optimizer, **compile_args: Any) -> keras.Model:
    """A model without a gradient on zeros as its input: weight decay alone changes its kernel, of ones."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(optimizer, "mse", **compile_args)
    return model


def noisy(layer: keras.Layer, shape: tuple[int, ...] = (UNITS,), **compile_args: Any) -> keras.Model:
    """A model whose kernel moves, by SGD at rate 1 on the absolute error, by what ``layer`` made of its input."""
    model = keras.Sequential(
        [
            keras.Input(shape),
            layer,
            keras.layers.Flatten(),
            keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros"),
        ]
    )
    model.compile(keras.optimizers.SGD(1.0), "mae", auto_scale_loss=False, **compile_args)
    return model


def kernel(model: keras.Model) -> np.ndarray:
    return model.get_weights()[-1].ravel().astype("float64")


def layer_output(model: keras.Model) -> np.ndarray:
    """What the noise layer made of ones in one training step, shape (UNITS,)."""
    before = kernel(model)
    model.train_on_batch(np.ones((1, *model.input_shape[1:]), "float32"), np.full((1, 1), 0.5, "float32"))
    return np.abs(kernel(model) - before)


def decay_step(model: keras.Model) -> float:
    """The factor of the kernel in one training step."""
    before = kernel(model)
    model.train_on_batch(np.zeros((2, 4), "float32"), np.zeros((2, 1), "float32"))
    return float((kernel(model) / before)[0])


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda cls: cls.__name__)
def test_weight_decay(optimizer: type, traces: list[int]) -> None:
    model = decaying(optimizer(learning_rate=0.25, weight_decay=0.125))
    live = install(model)
    assert decay_step(model) == pytest.approx(1 - 0.25 * 0.125, rel=1e-6)
    live.set({"optimizer.weight_decay": 0.5})
    assert decay_step(model) == pytest.approx(1 - 0.25 * 0.5, rel=1e-6)
    live.set({"optimizer.weight_decay": 0.0})
    assert decay_step(model) == 1.0
    assert live.get()["optimizer.learning_rate"] == 0.25
    assert live.get()["optimizer.weight_decay"] == 0.0
    assert len(traces) == 1


def test_learning_rate(traces: list[int]) -> None:
    model = decaying(keras.optimizers.SGD(0.25, weight_decay=0.5))
    live = install(model)
    assert decay_step(model) == pytest.approx(1 - 0.25 * 0.5)
    live.set({"optimizer.learning_rate": 0.5})
    assert decay_step(model) == pytest.approx(1 - 0.5 * 0.5)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: keras.layers.Dropout(0.1), (UNITS,)),
        (lambda: keras.layers.Dropout(0.1, noise_shape=(None, UNITS)), (UNITS,)),
        (lambda: keras.layers.SpatialDropout1D(0.1), (1, UNITS)),
        (lambda: keras.layers.SpatialDropout2D(0.1), (1, 1, UNITS)),
        (lambda: keras.layers.SpatialDropout3D(0.1), (1, 1, 1, UNITS)),
    ],
    ids=["Dropout", "Dropout with noise_shape", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"],
)
def test_dropout_rate(layer: Callable[[], keras.Layer], shape: tuple[int, ...], traces: list[int]) -> None:
    model = noisy(layer(), shape)
    live = install(model)
    for rate in (0.1, 0.6, 0.0, 0.3):
        live.set({"layers.0.rate": rate})
        assert_dropped(layer_output(model), rate)
    assert len(traces) == 1


def assert_dropped(output: np.ndarray, rate: float) -> None:
    """A fraction ``rate`` of ones became 0, within 5 standard deviations, and the others 1 / (1 - rate)."""
    kept = output > 0
    assert 1 - kept.mean() == pytest.approx(rate, abs=5 * math.sqrt(rate * (1 - rate) / UNITS))
    np.testing.assert_allclose(output[kept], 1 / (1 - rate), rtol=1e-5)


def test_gaussian_noise(traces: list[int]) -> None:
    model = noisy(keras.layers.GaussianNoise(0.1))
    live = install(model)
    for stddev in (0.1, 0.3, 0.0):
        live.set({"layers.0.stddev": stddev})
        assert layer_output(model).std() == pytest.approx(stddev, rel=0.05, abs=1e-6)
    assert len(traces) == 1


@pytest.mark.parametrize(
    "compile_args",
    [
        {"jit_compile": True},
        {"run_eagerly": True},
        pytest.param(
            {"steps_per_execution": 2},
            marks=pytest.mark.skipif(KERAS < (3, 7), reason="train_on_batch before Keras 3.7 asks for as many batches"),
        ),
    ],
    ids=str,
)
def test_compiled_otherwise(compile_args: dict[str, Any], traces: list[int]) -> None:
    model = noisy(keras.layers.Dropout(0.1), **compile_args)
    live = install(model)
    assert_dropped(layer_output(model), 0.1)
    live.set({"layers.0.rate": 0.6})
    assert_dropped(layer_output(model), 0.6)
    model = decaying(keras.optimizers.AdamW(0.25, weight_decay=0.125), **compile_args)
    live = install(model)
    assert decay_step(model) == pytest.approx(1 - 0.25 * 0.125)
    live.set({"optimizer.weight_decay": 0.5})
    assert decay_step(model) == pytest.approx(1 - 0.25 * 0.5)
    assert len(traces) == (4 if compile_args.get("run_eagerly") else 2)


def train(model: keras.Model, before_second_epoch: Callable[[], object]) -> list[np.ndarray]:
    """The weights after two epochs of three steps."""
    rng = np.random.default_rng(0)
    x, y = rng.random((48, 8, 8, 1), "float32"), rng.integers(0, 10, 48)
    model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    before_second_epoch()
    model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    return [np.array(weight, "float64") for weight in model.get_weights()]


def network(rate: float, weight_decay: float) -> keras.Model:
    keras.utils.set_random_seed(3)
    inner = keras.Sequential([keras.Input((16,)), keras.layers.Dropout(rate), keras.layers.Dense(10)])
    inputs = keras.Input((8, 8, 1))
    outputs = inner(keras.layers.Dense(16, activation="relu")(keras.layers.Flatten()(inputs)))
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.AdamW(0.01, weight_decay=weight_decay),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


@pytest.mark.parametrize(
    "policy",
    ["float32", "mixed_float16", *(pytest.param(p, marks=pytest.mark.nightly) for p in ("mixed_bfloat16", "bfloat16"))],
    indirect=True,
)
def test_same_weights_as_a_model_whose_step_is_made_again(policy: str) -> None:
    reference = network(0.3, 0.1)
    model = network(0.3, 0.1)
    live = install(model)
    if not TENSORFLOW and policy != "float32":
        # no slot where a live value would promote the layer's output, or a weight, to float32
        names = ["learning_rate", "weight_decay"] + ["beta_1", "beta_2", "epsilon"] * policy.startswith("mixed")
        assert list(live.get()) == [f"optimizer.{name}" for name in names]
        return

    def change_and_make_again() -> None:
        reference.layers[3].layers[0].rate = 0.6
        optimizer = reference.optimizer
        getattr(optimizer, "inner_optimizer", optimizer).weight_decay = 0.5
        reference.make_train_function(force=True)

    expected = train(reference, change_and_make_again)
    actual = train(model, lambda: live.set({"layers.3.layers.0.rate": 0.6, "optimizer.weight_decay": 0.5}))
    for one, other in zip(actual, expected, strict=True):
        # XLA folds a constant into other operations than a variable
        np.testing.assert_allclose(one, other, rtol=0, atol=0 if TENSORFLOW else 1e-6)


def test_nothing_is_live_that_is_structural() -> None:
    inputs = keras.Input((UNITS,))
    noise = keras.layers.Dropout(0.5)
    outputs = keras.layers.Dense(1)(keras.layers.Dropout(0.0)(keras.layers.Dropout(1.0)(noise(noise(inputs)))))
    model = keras.Model(inputs, outputs)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    model.compile(keras.optimizers.SGD(schedule), "mse")
    assert install(model).get() == {"layers.1.rate": 0.5}  # once, though the layer is used twice
    model.compile(keras.optimizers.SGD(0.5), "mse")
    assert list(values(model)) == ["optimizer.learning_rate", "layers.1.rate"]


def test_a_layer_or_optimizer_of_the_user_has_no_slot() -> None:
    class MyDropout(keras.layers.Dropout):
        pass

    class MySGD(keras.optimizers.SGD):
        pass

    model = noisy(MyDropout(0.5))
    model.compile(MySGD(0.1, weight_decay=0.1), "mse")
    assert install(model).get() == {}


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("layers.0.rate", 1.0, r"layers.0.rate=1.0: must be in \[0, 1\)"),
        ("layers.0.rate", -0.1, r"layers.0.rate=-0.1: must be in \[0, 1\)"),
        ("layers.0.rate", math.nan, "layers.0.rate=nan: must be in"),
        ("optimizer.weight_decay", -1e-9, "optimizer.weight_decay=-1e-09: must be a finite number >= 0"),
        ("optimizer.learning_rate", math.inf, "optimizer.learning_rate=inf: must be a finite number >= 0"),
        ("optimizer.momentum", 0.1, "'optimizer.momentum' is no live value of this model; they are"),
    ],
)
def test_a_wrong_value_changes_nothing(name: str, value: float, rule: str) -> None:
    model = noisy(keras.layers.Dropout(0.5))
    model.compile(keras.optimizers.SGD(0.5, weight_decay=0.25), "mae")
    live = install(model)
    with pytest.raises(ValueError, match=rule):
        live.set({"layers.0.rate": 0.1, name: value})
    assert live.get() == {"optimizer.learning_rate": 0.5, "optimizer.weight_decay": 0.25, "layers.0.rate": 0.5}


def test_install_refuses_what_it_cannot_make_live() -> None:
    model = noisy(keras.layers.Dropout(0.5))
    install(model)
    with pytest.raises(ValueError, match="has live values already"):
        install(model)
    trained = noisy(keras.layers.Dropout(0.5))
    layer_output(trained)
    with pytest.raises(ValueError, match="its step is made already; install before fit"):
        install(trained)
    with pytest.raises(ValueError, match="is not compiled"):
        install(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    unbuilt.compile("sgd", "mse")
    with pytest.raises(ValueError, match="is not built"):
        install(unbuilt)


def test_a_value_that_would_be_baked_in_is_refused() -> None:
    model = noisy(keras.layers.Dropout(0.5))
    install(model)
    rate = model.layers[0].rate
    with pytest.raises(TypeError, match="would bake it into the traced step"):
        math.sqrt(rate)
    with pytest.raises(TypeError, match="a live value cannot decide this while tracing"):
        bool(rate > 0.3)
    assert rate > 0 and rate < 1 and not rate >= 1 and rate != 0 and rate != 1.0 and rate
    assert rate != "0.5"


def test_detach_leaves_an_ordinary_model() -> None:
    model = decaying(keras.optimizers.SGD(0.25, weight_decay=0.125))
    live = install(model)
    decay_step(model)
    live.set({"optimizer.weight_decay": 0.5})
    live.detach()
    assert type(model.optimizer.weight_decay) is float
    assert live.get()["optimizer.weight_decay"] == 0.5
    assert decay_step(model) == pytest.approx(1 - 0.25 * 0.5)
    with pytest.raises(ValueError, match="detached and no step reads them"):
        live.set({"optimizer.weight_decay": 0.1})
    live.detach()
    model.optimizer.weight_decay = 1.0  # read by the next trace, as of any model
    model.train_function = None
    assert decay_step(model) == pytest.approx(1 - 0.25)
    model.train_function = None
    assert install(model).get()["optimizer.weight_decay"] == 1.0


@pytest.mark.parametrize("attached", [True, False])
def test_saved_files_are_those_of_an_ordinary_model(attached: bool, tmp_path: Path, traces: list[int]) -> None:
    model = network(0.25, 0.125)
    live = install(model)
    optimizer_variables = len(network(0.25, 0.125).optimizer.variables) + 2 * 4  # Adam: two slots for each weight
    train(model, lambda: live.set({"layers.3.layers.0.rate": 0.5, "optimizer.weight_decay": 0.75}))
    if attached:  # as a user's ModelCheckpoint does
        model.save(tmp_path / "model.keras")
        model.save_weights(tmp_path / "model.weights.h5")
    else:
        with live.detached():
            assert len(model.optimizer.variables) == optimizer_variables
            model.save(tmp_path / "model.keras")
            model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[3].layers[0].rate == 0.5
    assert loaded.optimizer.weight_decay == 0.75
    assert len(loaded.optimizer.variables) == optimizer_variables
    for one, two in zip(model.optimizer.variables, loaded.optimizer.variables, strict=False):  # live ones are last
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    plain = network(0.25, 0.125)
    plain.load_weights(tmp_path / "model.weights.h5")
    for one, two, three in zip(model.get_weights(), loaded.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)
    train(model, lambda: live.set({"layers.3.layers.0.rate": 0.1}))
    assert len(traces) == 1  # a save does not cost a trace


def test_loss_scaling_keeps_its_inner_weight_decay_live() -> None:
    model = decaying(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.25, weight_decay=0.125)))
    live = install(model)
    live.set({"optimizer.weight_decay": 0.5})
    assert decay_step(model) == pytest.approx(1 - 0.25 * 0.5)
    live.set({"optimizer.learning_rate": 0.5})
    assert decay_step(model) == pytest.approx(1 - 0.5 * 0.5)


@pytest.mark.tensorflow
@pytest.mark.nightly
def test_every_replica_reads_the_live_values() -> None:
    script = Path(__file__).with_name("mirrored.py")
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "ok"
