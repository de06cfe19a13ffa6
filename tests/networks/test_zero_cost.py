"""Zero-cost proxies: values that are known in closed form, transcriptions of the published code, nothing changed."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from keras import layers, ops

from kt_ext.networks.gradients import input_gradients, variable_gradients
from kt_ext.networks.synflow import synflow
from kt_ext.networks.zero_cost import grad_norm, jacob_cov, score


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def small(seed: int = 0, activation: str = "softmax") -> keras.Model:
    """Convolutions, normalization, a branch, dropout, a bias and a softmax, with random weights of all kinds."""
    entry = keras.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, padding="same", activation="relu")(entry)
    x = layers.BatchNormalization()(x)
    x = layers.Add()([x, layers.Conv2D(3, 1)(x)])
    x = layers.Concatenate()([x, layers.MaxPooling2D(3, 1, padding="same")(x)])
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(entry, layers.Dense(4, activation=activation)(x))
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape) ** 2 * rng.choice([-1, 1], w.shape) for w in model.get_weights()[:]])
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(np.ones(3))
    return model


def state(model: keras.Model) -> list[np.ndarray]:
    return [np.array(variable.numpy()) for variable in model.variables]


def test_variable_gradients_in_closed_form() -> None:
    first, second, idle = (keras.Variable(np.array(value, "float32")) for value in ([1.0, 2.0], [3.0, 4.0], [5.0]))
    value, gradients = variable_gradients(lambda: ops.sum(first * second), [first, second, idle])
    assert value == 11
    assert [gradient.tolist() for gradient in gradients] == [[3, 4], [1, 2], [0]]
    value, gradients = variable_gradients(
        lambda: ops.sum(first * second), [first, second], [np.array([0, 1], "float32"), np.array([7, 8], "float32")]
    )
    assert value == 8
    assert [gradient.tolist() for gradient in gradients] == [[7, 8], [0, 1]]
    assert first.numpy().tolist() == [1, 2]


def test_input_gradients_in_closed_form() -> None:
    x = np.array([[1.0, -2.0]], "float32")
    value, gradient = input_gradients(lambda tensor: ops.sum(tensor**3), x)
    assert value == -7
    assert gradient.tolist() == [[3, 12]]


def test_gradients_in_training_mode_leave_the_model_alone() -> None:
    model = small()
    before = state(model)
    x = normal(5, 6, 6, 2)
    input_gradients(lambda tensor: ops.sum(model(tensor, training=True)), x)
    variable_gradients(lambda: ops.sum(model(x, training=True)), model.trainable_variables)
    assert all((a == b).all() for a, b in zip(before, state(model), strict=True))


def test_synflow_of_dense_layers() -> None:
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, use_bias=False), layers.Dense(1, activation="tanh")])
    model.set_weights([np.array([[1, -2], [-3, 4]]), np.array([[-5], [6]]), np.array([7])])
    # R = (1 + 3) 5 + (2 + 4) 6 = 56; each of the two layers contributes all of it, and the bias nothing
    assert synflow(model) == pytest.approx(math.log(2 * 56), rel=1e-6)


def test_synflow_of_branches_of_different_length_passes_normalization_by() -> None:
    entry = keras.Input((1,))
    one = layers.Dense(1, use_bias=False)(entry)
    two = layers.LayerNormalization()(layers.BatchNormalization()(layers.Dense(1, use_bias=False)(one)))
    model = keras.Model(entry, layers.Add()([one, two]))
    model.layers[1].set_weights([np.array([[-3.0]])])
    model.layers[2].set_weights([np.array([[1000.0]])])
    # R = 3 + 3000; the first kernel is on all paths, the second on one
    assert synflow(model) == pytest.approx(math.log(3003 + 3000), rel=1e-6)


def literal_synflow(model: keras.Model) -> float:
    """zero-cost-nas: absolute weights, an input of ones, weight times gradient; by differences in double precision."""
    by_name = {layer.name: [np.abs(w).astype(float) for w in layer.get_weights()] for layer in model.layers}
    dense = next(layer.name for layer in model.layers if isinstance(layer, layers.Dense))
    wide, narrow = (layer.name for layer in model.layers if isinstance(layer, layers.Conv2D))

    def total(wide_kernel: np.ndarray, narrow_kernel: np.ndarray, dense_kernel: np.ndarray) -> float:
        image = np.pad(np.ones((6, 6, 2)), ((1, 1), (1, 1), (0, 0)))
        x = sum(image[i : i + 6, j : j + 6] @ wide_kernel[i, j] for i in range(3) for j in range(3))
        x = x + x @ narrow_kernel[0, 0]
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
        pooled = np.max([padded[i : i + 6, j : j + 6] for i in range(3) for j in range(3)], 0)
        return float((np.concatenate([x, pooled], -1).mean((0, 1)) @ dense_kernel).sum())

    kernels = [by_name[name][0] for name in (wide, narrow, dense)]
    flow = 0.0
    for index, kernel in enumerate(kernels):
        # R is homogeneous of degree 1, and so smooth enough, in each kernel: scaling it gives sum(w * dR/dw)
        up, down = ([k * (1 + s * (i == index)) for i, k in enumerate(kernels)] for s in (1e-6, -1e-6))
        assert kernel.shape
        flow += (total(*up) - total(*down)) / 2e-6
    return math.log(flow)


@pytest.mark.parametrize("seed", range(3))
def test_synflow_against_its_transcription(seed: int) -> None:
    model = small(seed)
    before = state(model)
    assert synflow(model) == pytest.approx(literal_synflow(model), rel=1e-5)
    assert all((a == b).all() for a, b in zip(before, state(model), strict=True))
    assert model.layers[-1].activation is keras.activations.softmax


@pytest.mark.slow
def test_synflow_of_a_network_beyond_the_range_of_numbers() -> None:
    depth, width = 120, 3
    model = keras.Sequential(
        [keras.Input((width,)), *(layers.Dense(width, use_bias=False, activation="relu") for _ in range(depth))]
    )
    model.set_weights([np.full((width, width), 1000.0)] * depth)
    # R = 3 (3 * 1000)^120, about 1e417
    assert synflow(model) == pytest.approx(math.log(depth * width) + depth * math.log(3000), rel=1e-6)


def test_synflow_goes_through_models_within_the_model() -> None:
    inner = keras.Sequential([keras.Input((2,)), layers.Dense(2, activation="sigmoid"), layers.BatchNormalization()])
    entry = keras.Input((2,))
    model = keras.Model(entry, layers.Dense(1)(inner(entry) + entry))
    kernels = [np.full((2, 2), -1e30), np.array([[1.0], [2.0]])]
    inner.layers[0].set_weights([kernels[0], np.ones(2)])
    model.layers[-1].set_weights([kernels[1], np.ones(1)])
    # each hidden output is 2e30 + 1, and so R = 6e30 + 3; the last kernel is on all paths, the first on nearly all
    assert synflow(model) == pytest.approx(math.log(12) + 30 * math.log(10), rel=1e-6)


def test_synflow_without_a_path() -> None:
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2), layers.Dense(1)])
    model.set_weights([np.zeros((2, 2)), np.zeros(2), np.ones((2, 1)), np.ones(1)])
    assert synflow(model) == -math.inf


def test_jacob_cov_of_a_linear_network() -> None:
    """All examples have the same gradients: the eigenvalues are n and zeros."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation="softmax")])
    n, k = 4, 1e-5
    expected = -(math.log(n + k) + 1 / (n + k)) - (n - 1) * (math.log(k) + 1 / k)
    assert jacob_cov(model, normal(n, 3)) == pytest.approx(expected, rel=1e-3)


def test_jacob_cov_against_its_transcription() -> None:
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16, activation="relu"), layers.Dense(3)])
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    x = normal(5, 8)
    kernel, bias, out, _ = model.get_weights()
    jacobian = ((x @ kernel + bias > 0) * out.sum(1)) @ kernel.T
    v = np.linalg.eigvalsh(np.corrcoef(jacobian.astype(float)))
    expected = -np.sum(np.log(v + 1e-5) + 1.0 / (v + 1e-5))
    assert v.min() > 1e-3
    assert jacob_cov(model, x) == pytest.approx(expected, rel=1e-3)


def test_jacob_cov_counts_logits_and_refuses_to_count_what_is_constant() -> None:
    x = normal(4, 6, 6, 2)
    model, linear = small(1), small(1, activation="linear")
    for one in (model, linear):  # dropout would draw from seeds of their own
        next(layer for layer in one.layers if isinstance(layer, layers.Dropout)).rate = 0.0
    assert jacob_cov(model, x) == pytest.approx(jacob_cov(linear, x), rel=1e-5)
    assert model.layers[-1].activation is keras.activations.softmax
    dead = keras.Sequential([keras.Input((2,)), layers.Dense(1, kernel_initializer="zeros")])
    assert jacob_cov(dead, normal(3, 2)) == -math.inf


def test_grad_norm_in_closed_form() -> None:
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1), layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[1.0], [2.0]]), np.array([0.0]), np.array([[3.0]])])
    model.compile(loss="mean_squared_error")
    # one example (1, 1) with target 0: output 9, dL/doutput = 18; kernels' gradients 18 * 3 * (1, 1) and 18 * 3
    norm = grad_norm(model, np.ones((1, 2), "float32"), np.zeros((1, 1), "float32"))
    assert norm == pytest.approx(54 * math.sqrt(2) + 54)


@pytest.mark.slow
def test_score_draws_a_minibatch_and_changes_nothing() -> None:
    model = small(2)
    model.compile(loss="sparse_categorical_crossentropy")
    before = state(model)
    x, y = normal(50, 6, 6, 2), np.arange(50) % 4
    for measure in ("synflow", "jacob_cov", "grad_norm"):
        first, again = (score(measure, model, x, y, np.random.default_rng(3), batch=8) for _ in range(2))
        assert math.isfinite(first)
        assert first == again
    assert all((a == b).all() for a, b in zip(before, state(model), strict=True))
    history = model.fit(x, y, epochs=1, verbose=0)  # it can still be trained
    assert math.isfinite(history.history["loss"][0])


def test_what_is_refused() -> None:
    model = small()
    rng = np.random.default_rng(0)
    x = normal(4, 6, 6, 2)
    with pytest.raises(ValueError, match="measure='flow': must be one of"):
        score("flow", model, x, None, rng)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="y=None: grad_norm needs targets"):
        score("grad_norm", model, x, None, rng)
    with pytest.raises(ValueError, match="compiled with one loss"):
        score("grad_norm", model, x, np.zeros(4), rng)
    with pytest.raises(ValueError, match="x=1 examples: jacob_cov needs two"):
        score("jacob_cov", model, x[:1], None, rng)
    entry = keras.Input((2,))
    product = keras.Model(entry, layers.Multiply()([layers.Dense(2)(entry), entry]))
    with pytest.raises(ValueError, match="synflow knows of layers of several inputs"):
        synflow(product)
    with pytest.raises(ValueError, match="2 outputs; synflow needs one of each"):
        synflow(keras.Model(entry, [entry, layers.Dense(1)(entry)]))
