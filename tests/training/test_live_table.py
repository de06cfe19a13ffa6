"""Every row of the table of live values: the step uses the new value at once, and is not traced again for it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kt_ext.training.live import LIVE, OPTIMIZERS, LiveValues, install, remake, values
from kt_ext.training.live_slots import CELLS, LOSSES, REGULARIZERS

TENSORFLOW = keras.backend.backend() == "tensorflow"
UNITS = 10_000

pytestmark = pytest.mark.skipif(
    keras.backend.backend() not in ("tensorflow", "jax"), reason="live values are for TensorFlow and JAX"
)


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often a step was traced: its Python code runs then, and only then."""
    counts = {"train_step": 0, "test_step": 0}

    def counted(name: str) -> Callable[..., Any]:
        original = getattr(keras.Model, name)

        def step(self: keras.Model, *args: Any) -> Any:
            counts[name] += 1
            return original(self, *args)

        return step

    for name in counts:
        monkeypatch.setattr(keras.Model, name, counted(name))
    return counts


# Each row against a model that runs eagerly, so that each step reads the attribute.


def dense(optimizer: keras.optimizers.Optimizer, loss: Any = "mse", **layer_args: Any) -> keras.Model:
    activation = "softmax" if getattr(loss, "name", "").startswith("categorical") else "sigmoid"
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, activation="tanh", **layer_args),
            keras.layers.Dense(3, activation=activation),
        ]
    )
    model.compile(optimizer, loss)
    return model


def recurrent(layer: type, **layer_args: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((3, 2)), layer(4, seed=1, **layer_args), keras.layers.Dense(3)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


_RECURRENT = {
    keras.layers.LSTMCell: keras.layers.LSTM,
    keras.layers.GRUCell: keras.layers.GRU,
    keras.layers.SimpleRNNCell: keras.layers.SimpleRNN,
}
#: Two values that make a difference in six steps.
_VALUES = {
    "learning_rate": (0.25, 0.125),  # exact in the single precision of its variable
    "beta_1": (0.9, 0.3),
    "beta_2": (0.99, 0.6),
    "epsilon": (1e-3, 1e-1),
    "clipnorm": (2e-2, 2e-3),
    "global_clipnorm": (2e-2, 2e-3),
}
Row = tuple[str, str, Callable[[float], keras.Model], Callable[[keras.Model, str, float], object]]


def _set(owner: Callable[[keras.Model], Any]) -> Callable[[keras.Model, str, float], object]:
    return lambda model, attribute, value: setattr(owner(model), attribute, value)


def rows() -> list[Row]:
    """Class, name of the slot, a model with a value, and what changes the value for an eager step."""
    found: list[Row] = []
    for slot in LIVE:
        name = slot.attribute
        for owner in slot.owners:
            if owner in OPTIMIZERS:
                rate = 10.0 if owner is keras.optimizers.Adadelta else 0.1
                first = {} if name == "learning_rate" else {"learning_rate": rate}
                make = lambda v, o=owner, n=name, f=first: dense(o(**f, **{n: v}))  # noqa: E731
                found.append((owner.__name__, f"optimizer.{name}", make, _set(lambda model: model.optimizer)))
            elif owner in CELLS:
                make = lambda v, o=owner, n=name: recurrent(_RECURRENT[o], **{n: v})  # noqa: E731
                found.append((owner.__name__, f"layers.0.cell.{name}", make, _set(lambda model: model.layers[0].cell)))
            elif owner in REGULARIZERS:
                for place in ("kernel", "bias", "activity"):
                    attribute = f"{place}_regularizer"
                    make = lambda v, o=owner, n=name, a=attribute: dense(  # noqa: E731
                        keras.optimizers.SGD(0.5), **{a: o(**{n: v}), "bias_initializer": "ones"}
                    )
                    change = _set(lambda model, a=attribute: getattr(model.layers[0], a))
                    found.append((owner.__name__, f"layers.0.{attribute}.{name}", make, change))
                make = lambda v, o=owner, n=name: recurrent(keras.layers.LSTM, recurrent_regularizer=o(**{n: v}))  # noqa: E731
                change = _set(lambda model: model.layers[0].cell.recurrent_regularizer)
                found.append((owner.__name__, f"layers.0.cell.recurrent_regularizer.{name}", make, change))
            elif owner in LOSSES:
                make = lambda v, o=owner: dense(keras.optimizers.SGD(0.5), loss=o(label_smoothing=v))  # noqa: E731
                change = lambda model, n, v: model.loss._fn_kwargs.update({n: v})  # noqa: E731
                found.append((owner.__name__, f"loss.{name}", make, change))
    return found


def train(model: keras.Model, change: Callable[[], object] = lambda: None) -> np.ndarray:
    rng = np.random.default_rng(0)
    x, y = rng.random((48, *model.input_shape[1:]), "float32"), np.eye(3, dtype="float32")[rng.integers(0, 3, 48)]
    model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    change()
    model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    return np.concatenate([np.ravel(weight) for weight in model.get_weights()]).astype("float64")


def one_of_each_now() -> list[Any]:
    """One row for each kind of slot and place; the same slot in other classes is for the night."""
    seen: set[str] = set()
    marked = []
    for row in rows():
        marks = [pytest.mark.nightly] if row[1] in seen else []
        seen.add(row[1])
        marked.append(pytest.param(*row, marks=marks, id=f"{row[0]}-{row[1]}"))
    return marked


@pytest.mark.parametrize(("kind", "name", "make", "change"), one_of_each_now())
def test_as_a_step_that_reads_the_attribute(
    kind: str,
    name: str,
    make: Callable[[float], keras.Model],
    change: Callable[[keras.Model, str, float], object],
    traces: dict[str, int],
) -> None:
    attribute = name.split(".")[-1]
    first, second = _VALUES.get(attribute, (0.25, 0.5))

    def fresh(eager: bool) -> keras.Model:
        keras.utils.set_random_seed(2)
        model = make(first)
        model.run_eagerly = eager
        return model

    unchanged, reference, model = train(fresh(eager=True)), fresh(eager=True), fresh(eager=False)
    expected = train(reference, lambda: change(reference, attribute, second))
    traces.update(train_step=0)
    live = install(model)
    assert live.get()[name] == pytest.approx(first, rel=1e-6)  # L1 holds a tensor of single precision
    actual = train(model, lambda: live.set({name: second}))
    assert live.get()[name] == second
    assert traces["train_step"] == 1
    assert np.abs(actual - unchanged).max() > 1e-4, "the values make no difference"
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=2e-6)


def test_the_table_is_all_tested() -> None:
    """The rows above, and the noise of ``test_live.py``."""
    tested = {(kind, name.split(".")[-1]) for kind, name, _, _ in rows()}
    noise = {
        (owner.__name__, slot.attribute)
        for slot in LIVE
        for owner in slot.owners
        if slot.attribute in ("rate", "stddev")
    }
    assert {(owner.__name__, slot.attribute) for slot in LIVE for owner in slot.owners} == tested | noise


# The number that the step used, computed by hand.


def linear(optimizer: keras.optimizers.Optimizer, kernel: np.ndarray, **layer_args: Any) -> keras.Model:
    """A kernel of shape (n, 1) whose gradient, for the mean absolute error of a huge label, is minus its input."""
    layer = keras.layers.Dense(1, use_bias=False, **layer_args)
    model = keras.Sequential([keras.Input((len(kernel),)), layer])
    model.compile(optimizer, "mae")
    layer.set_weights([kernel[:, None]])
    return model


def step(model: keras.Model, x: list[float]) -> np.ndarray:
    """By how much one training step changed the kernel."""
    before = model.get_weights()[0].ravel().astype("float64")
    model.train_on_batch(np.array([x], "float32"), np.array([[1e6]], "float32"))
    return model.get_weights()[0].ravel().astype("float64") - before


def test_momentum_by_hand(traces: dict[str, int]) -> None:
    model = linear(keras.optimizers.SGD(0.5, momentum=0.75), np.zeros(1))
    live = install(model)
    velocity = 0.0
    for momentum, x in ((0.75, 1.0), (0.75, 2.0), (0.25, 4.0), (0.0, 8.0), (0.5, 0.0)):
        live.set({"optimizer.momentum": momentum})
        velocity = momentum * velocity + 0.5 * x
        assert step(model, [x]) == pytest.approx(velocity, rel=1e-6)
    assert traces["train_step"] == 1


def test_adam_by_hand(traces: dict[str, int]) -> None:
    model = linear(keras.optimizers.Adam(0.5), np.zeros(1))
    live = install(model)
    m = v = 0.0
    moments = [(0.9, 0.999, 1e-7), (0.5, 0.9, 1e-7), (0.25, 0.5, 0.5), (0.0, 0.0, 0.0)]
    for t, (beta_1, beta_2, epsilon) in enumerate(moments, start=1):
        live.set({"optimizer.beta_1": beta_1, "optimizer.beta_2": beta_2, "optimizer.epsilon": epsilon})
        gradient = -float(t)
        m, v = beta_1 * m + (1 - beta_1) * gradient, beta_2 * v + (1 - beta_2) * gradient**2
        alpha = 0.5 * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        assert step(model, [float(t)]) == pytest.approx(-alpha * m / (math.sqrt(v) + epsilon), rel=1e-5)
    assert traces["train_step"] == 1


@pytest.mark.parametrize("name", ["clipnorm", "global_clipnorm"])
def test_clipping_by_hand(name: str, traces: dict[str, int]) -> None:
    model = linear(keras.optimizers.SGD(1.0, **{name: 1.0}), np.zeros(2))
    live = install(model)
    for norm in (1.0, 2.5, 100.0):
        live.set({f"optimizer.{name}": norm})
        np.testing.assert_allclose(step(model, [3.0, 4.0]), np.array([3.0, 4.0]) * min(1, norm / 5), rtol=1e-6)
    assert traces["train_step"] == 1


def test_penalties_by_hand(traces: dict[str, int]) -> None:
    kernel = np.array([1.0, -2.0])
    regularizer = keras.regularizers.L1L2(0.25, 0.25)
    model = linear(keras.optimizers.SGD(0.125), kernel, kernel_regularizer=regularizer)
    live = install(model)
    for l1, l2 in ((0.25, 0.25), (0.5, 0.25), (0.0, 2.0), (0.125, 0.0)):
        live.set({"layers.0.kernel_regularizer.l1": l1, "layers.0.kernel_regularizer.l2": l2})
        change = -0.125 * (l1 * np.sign(kernel) + 2 * l2 * kernel)
        np.testing.assert_allclose(step(model, [0.0, 0.0]), change, rtol=1e-6)
        kernel += change
    assert traces["train_step"] == 1


def test_label_smoothing_by_hand_in_training_and_evaluation(traces: dict[str, int]) -> None:
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.5)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    model.compile(keras.optimizers.SGD(1.0), loss)
    live = install(model)
    x, y = np.log([[0.2, 0.8]]).astype("float32"), np.array([[1.0, 0.0]], "float32")
    for smoothing in (0.5, 0.25, 0.0):
        live.set({"loss.label_smoothing": smoothing})
        expected = -(1 - smoothing / 2) * math.log(0.2) - smoothing / 2 * math.log(0.8)
        assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)
        assert loss.label_smoothing == smoothing
    assert traces["test_step"] == 1


def test_penalties_in_evaluation(traces: dict[str, int]) -> None:
    model = linear(keras.optimizers.SGD(0.5), np.array([1.0, 3.0]), kernel_regularizer="l2")
    live = install(model)
    for l2 in (0.5, 0.125):
        live.set({"layers.0.kernel_regularizer.l2": l2})
        assert model.evaluate(np.zeros((1, 2)), np.zeros((1, 1)), verbose=0) == pytest.approx(l2 * 10)
    assert traces["test_step"] == 1


@pytest.mark.parametrize("which", ["dropout", "recurrent_dropout"])
def test_recurrent_dropout_drops_the_fraction(which: str, traces: dict[str, int]) -> None:
    """One step from a state, or an input, of ones through a cell of identities: what is dropped gives zero."""
    identity = keras.initializers.Identity()
    cell = keras.layers.SimpleRNN(
        1000,
        activation="linear",
        use_bias=False,
        kernel_initializer=identity,
        recurrent_initializer=identity,
        seed=1,
        **{which: 0.25},
    )
    inputs, state = keras.Input((1, 1000)), keras.Input((1000,))
    outputs = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(cell(inputs, initial_state=state))
    model = keras.Model([inputs, state], outputs)
    model.compile(keras.optimizers.SGD(1.0), "mae")
    live = install(model)
    (name,) = [name for name in live.get() if name.endswith(f"cell.{which}")]
    ones = np.ones((1, 1000), "float32")
    data = [ones[:, None] * (which == "dropout"), ones * (which == "recurrent_dropout")]
    for rate in (0.25, 0.75, 0.0):
        live.set({name: rate})
        model.layers[-1].set_weights([np.zeros((1000, 1))])
        cell.set_weights([np.eye(1000), np.eye(1000)])
        model.train_on_batch(data, np.array([[1e6]], "float32"))
        moved = model.layers[-1].get_weights()[0].ravel()
        assert (moved == 0).mean() == pytest.approx(rate, abs=5 * math.sqrt(rate * (1 - rate) / 1000))
        np.testing.assert_allclose(moved[moved > 0], 1 / (1 - rate), rtol=1e-5)
    assert traces["train_step"] == 1


# Where slots are, and are not.


def test_places() -> None:
    shared = keras.regularizers.L2(0.5)
    inputs = keras.Input((3, 2))
    lstm = keras.layers.LSTM(2, dropout=0.25, kernel_regularizer=shared, bias_regularizer="l1")(inputs)
    x = keras.layers.ActivityRegularization(l2=0.125)(lstm)
    one = keras.layers.Dense(2, kernel_regularizer=shared, name="one")(x)
    two = keras.layers.Dense(2, kernel_regularizer=keras.regularizers.L1L2(0.25), name="two")(x)
    model = keras.Model(inputs, {"one": one, "two": two})
    losses = {"one": keras.losses.CategoricalCrossentropy(label_smoothing=0.25), "two": "mse"}
    model.compile(keras.optimizers.SGD(0.5, momentum=0.0, nesterov=True, clipvalue=1.0), losses)
    expected = {
        "optimizer.learning_rate": 0.5,
        "layers.1.cell.dropout": 0.25,
        "layers.1.cell.kernel_regularizer.l2": 0.5,
        "layers.1.cell.bias_regularizer.l1": pytest.approx(0.01),
        "layers.2.activity_regularizer.l2": 0.125,
        "layers.4.kernel_regularizer.l1": 0.25,
        "loss.one.label_smoothing": 0.25,
    }
    assert values(model) == expected
    live = install(model)
    assert live.get() == expected
    live.set({"layers.2.activity_regularizer.l2": 0.5})
    assert model.layers[2].get_config()["l2"] == 0.5


def test_a_regularizer_that_no_weight_has_is_no_slot() -> None:
    model = dense(keras.optimizers.SGD(0.5))
    model.layers[0].kernel_regularizer = keras.regularizers.L2(0.5)  # too late: the kernel is made
    assert list(values(model)) == ["optimizer.learning_rate"]


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("optimizer.clipnorm", 0.0, "optimizer.clipnorm=0.0: must be a finite number > 0"),
        ("optimizer.momentum", 1.0, r"optimizer.momentum=1.0: must be in \[0, 1\)"),
        ("layers.0.kernel_regularizer.l2", -0.5, "l2=-0.5: must be a finite number >= 0"),
        ("layers.0.kernel_regularizer.l2", math.nan, "l2=nan: must be a finite number >= 0"),
        ("loss.label_smoothing", 1.0, r"loss.label_smoothing=1.0: must be in \[0, 1\)"),
    ],
)
def test_a_value_out_of_range_is_refused(name: str, value: float, rule: str) -> None:
    live = install(full())
    before = live.get()
    with pytest.raises(ValueError, match=rule):
        live.set({name: value})
    assert live.get() == before


# Plain floats for the user.


def full() -> keras.Model:
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.25)
    return dense(keras.optimizers.SGD(0.5, momentum=0.5, clipnorm=1.0), loss, kernel_regularizer="l2")


CHANGED = {
    "optimizer.momentum": 0.125,
    "optimizer.clipnorm": 2.0,
    "layers.0.kernel_regularizer.l2": 0.75,
    "loss.label_smoothing": 0.5,
}


@pytest.mark.parametrize("attached", [True, False])
def test_a_saved_model_has_the_numbers(attached: bool, tmp_path: Path) -> None:
    model = full()
    live = install(model)
    train(model, lambda: live.set(CHANGED))
    if not attached:
        live.detach()
        assert type(model.layers[0].kernel_regularizer.l2) is float
        assert model.loss._fn_kwargs["label_smoothing"] == model.loss.label_smoothing == 0.5
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert values(loaded).items() >= CHANGED.items()
    for one, two in zip(model.optimizer.variables, loaded.optimizer.variables, strict=False):  # live ones are last
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    if attached:
        assert live.intact
    else:
        json.dumps((model.get_config(), model.optimizer.get_config(), model.loss.get_config()))


def test_an_lstm_shows_its_dropout_as_a_number() -> None:
    model = recurrent(keras.layers.LSTM, recurrent_dropout=0.5, recurrent_regularizer="l2")
    live = install(model)
    live.set({"layers.0.cell.recurrent_dropout": 0.25})
    assert json.loads(json.dumps(model.layers[0].get_config()))["recurrent_dropout"] == 0.25
    assert keras.models.clone_model(model).layers[0].recurrent_dropout == 0.25


# A user's own.


class Scale(keras.layers.Layer):
    """A layer of a user that multiplies by a number that a hyperparameter sets."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = keras.Variable(factor, trainable=False, name="factor")
        self._hidden = keras.Variable(0.0, trainable=False)
        self.learned = keras.Variable(0.0, trainable=True)
        self.vector = keras.Variable([0.0], trainable=False)
        self.count = keras.Variable(0, trainable=False, dtype="int32")

    def call(self, x: Any) -> Any:
        return x * self.factor + self.learned


class Weighted(keras.Model):
    """A model of a user whose loss has a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        self.factor = keras.Variable(factor, trainable=False)

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        return super().compute_loss(*args, **kwargs) * self.factor


def test_a_variable_of_a_users_layer(traces: dict[str, int]) -> None:
    model = keras.Sequential([keras.Input((1,)), Scale(0.5), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(1.0), "mae")
    live = install(model)
    assert list(live.get()) == ["optimizer.learning_rate", "layers.0.factor"]
    for factor in (0.5, 3.0, -2.0):
        live.set({"layers.0.factor": factor})
        before = model.layers[1].get_weights()[0]
        model.layers[0].learned.assign(0.0)
        model.train_on_batch(np.ones((1, 1)), np.full((1, 1), 1e6))
        assert (model.layers[1].get_weights()[0] - before).item() == pytest.approx(factor)
    assert traces["train_step"] == 1
    with pytest.raises(ValueError, match=r"layers\.0\.factor=nan: must be a finite number"):
        live.set({"layers.0.factor": math.nan})
    live.detach()
    assert model.layers[0].factor.numpy() == -2.0


def test_a_variable_of_a_users_model(traces: dict[str, int]) -> None:
    model = Weighted(0.5)
    model(np.ones((1, 1)))
    model.compile(keras.optimizers.SGD(1.0), "mae")
    live = install(model)
    moved = 0.0
    for factor in (0.5, 4.0):
        live.set({"model.factor": factor})
        model.train_on_batch(np.ones((1, 1)), np.full((1, 1), 1e6))
        moved += factor
        assert model.dense.get_weights()[0].item() == pytest.approx(moved)
    assert traces["train_step"] == 1


# What is not in the table.


class Remake(keras.callbacks.Callback):
    """Changes an attribute that is not live in the middle of fit."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            self.model.optimizer.clipvalue = 0.125
            remake(self.model, "optimizer.clipvalue")


def test_remake_inside_fit(traces: dict[str, int], caplog: pytest.LogCaptureFixture) -> None:
    model = linear(keras.optimizers.SGD(1.0, clipvalue=0.5), np.zeros(1))
    install(model)
    x, y = np.ones((1, 1), "float32"), np.full((1, 1), 1e6, "float32")
    with caplog.at_level(logging.INFO, logger="kt_ext"):
        model.fit(x, y, epochs=3, verbose=0, callbacks=[Remake()])
    assert model.get_weights()[0].item() == pytest.approx(0.5 + 0.125 + 0.125)
    assert traces["train_step"] == 2
    said = [record.getMessage() for record in caplog.records if record.name == "kt_ext"]
    assert said[0] == f"optimizer.clipvalue changed, which is not live: the step of {model.name} is traced again"
    assert said[1].startswith(f"the first step of {model.name} after that took ") and len(said) == 2


def test_remake_before_the_first_step_costs_nothing(traces: dict[str, int], caplog: pytest.LogCaptureFixture) -> None:
    model = linear(keras.optimizers.SGD(1.0, clipvalue=0.5), np.zeros(1))
    live: LiveValues = install(model)
    model.optimizer.clipvalue = 0.25
    with caplog.at_level(logging.INFO, logger="kt_ext"):
        remake(model, "optimizer.clipvalue")
    assert step(model, [1.0]) == pytest.approx(0.25)
    live.set({"optimizer.learning_rate": 0.5})
    assert step(model, [1.0]) == pytest.approx(0.125)
    assert traces["train_step"] == 1
    assert not [record for record in caplog.records if record.name == "kt_ext"]
