"""A pooled model trains as the fresh one would have, and is traced once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from keras_version import KERAS
from kt_ext.training.live import install
from kt_ext.training.pool import ModelPool, PooledModel, signature
from kt_ext.training.state import get_state

TENSORFLOW = keras.backend.backend() == "tensorflow"

pytestmark = pytest.mark.skipif(
    keras.backend.backend() not in ("tensorflow", "jax"), reason="models are pooled on TensorFlow and JAX"
)
RNG = np.random.default_rng(0)
X, Y = RNG.random((64, 8), "float32"), RNG.integers(0, 3, 64)


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often a step was traced: its Python code runs then, and only then. Patched in the class, so still Keras's."""
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


def layers(**changes: Any) -> list[keras.Layer]:
    return [
        keras.Input((8,)),
        # no bias: before a normalization its gradient is rounding noise, which Adam would magnify
        keras.layers.Dense(changes.get("units", 6), activation=changes.get("activation", "linear"), use_bias=False),
        changes.get("normalization") or keras.layers.BatchNormalization(),
        keras.layers.Dropout(changes.get("dropout", 0.5)),
        keras.layers.Dense(3, activation="softmax", kernel_regularizer=changes.get("regularizer"), name="head"),
    ]


def build(learning_rate: Any = 0.01, weight_decay: float = 0.01, **changes: Any) -> keras.Model:
    optimizer = changes.get("optimizer") or keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay)
    model = keras.Sequential(layers(**changes))
    model.compile(
        optimizer,
        changes.get("loss", "sparse_categorical_crossentropy"),
        metrics=changes.get("metrics", ["accuracy"]),
        **changes.get("compile", {}),
    )
    return model


def train(model: keras.Model, seed: int) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """History and state after two epochs; not shuffled on JAX, where see ``ModelPool.acquire``."""
    keras.utils.set_random_seed(seed)
    history = model.fit(
        X,
        Y,
        batch_size=16,
        epochs=2,
        shuffle=TENSORFLOW,
        validation_data=(X[:32], Y[:32]),
        validation_batch_size=16,
        verbose=0,
    )
    return history.history, get_state(model)


TRIALS = [
    {"learning_rate": 0.01, "weight_decay": 0.01, "dropout": 0.5},
    {"learning_rate": 0.1, "weight_decay": 0.2, "dropout": 0.1},
    {"learning_rate": 0.003, "weight_decay": 0.0, "dropout": 0.3},
    {"learning_rate": 0.03, "weight_decay": 0.5, "dropout": 0.9},
    {"learning_rate": 0.01, "weight_decay": 0.01, "dropout": 0.5},
]


@pytest.mark.parametrize(
    ("compile_args", "trials"),
    [
        pytest.param({}, 5, id="plain"),
        pytest.param({"jit_compile": True}, 3, id="jit", marks=pytest.mark.nightly),
        pytest.param({"steps_per_execution": 2}, 3, id="steps_per_execution", marks=pytest.mark.slow),
    ],
)
def test_trials_on_one_traced_model(compile_args: dict[str, Any], trials: int, traces: dict[str, int]) -> None:
    xla = compile_args.get("jit_compile", not TENSORFLOW)

    def fresh(trial: int) -> keras.Model:
        keras.utils.set_random_seed(trial)
        return build(**TRIALS[trial], compile=compile_args)

    expected = [train(fresh(trial), trial) for trial in range(trials)]
    traced_afresh = dict(traces)
    traces.update(train_step=0, test_step=0)
    pool, models, actual = ModelPool(), set(), []
    for trial in range(trials):
        pooled = pool.acquire(fresh(trial))
        assert pooled.reused == (trial > 0)
        models.add(id(pooled.model))
        actual.append(train(pooled.model, trial))
        pool.release(pooled)
    assert len(models) == 1
    # TensorFlow traces a step twice if the first time makes variables, as that of a training step does
    # ... and before Keras 3.7 a test step for each step of an execution, whose loop it unrolls
    in_one = compile_args.get("steps_per_execution", 1) if KERAS < (3, 7) else 1
    assert traces == {"train_step": 2 if TENSORFLOW else 1, "test_step": in_one}
    assert traced_afresh == {name: trials * count for name, count in traces.items()}
    for trial in range(trials):
        # XLA computes ahead with a constant, and so rounds otherwise than with a variable ...
        assert_same(actual[trial], expected[trial], tolerance=2e-5 if xla else 0)
    if xla:  # ... but a model of its own with live values agrees to the last bit
        model = fresh(2)
        install(model)
        assert_same(actual[2], train(model, 2), tolerance=0)


def assert_same(actual: tuple[Any, Any], expected: tuple[Any, Any], tolerance: float) -> None:
    """The same history and state."""
    for mine, theirs in zip(actual, expected, strict=True):
        assert list(mine) == list(theirs)
        for name, values in theirs.items():
            np.testing.assert_allclose(mine[name], values, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.slow
def test_a_functional_model_with_two_inputs_and_outputs(traces: dict[str, int]) -> None:
    def build(rate: float) -> keras.Model:
        one, two = keras.Input((8,)), keras.Input((8,))
        shared = keras.layers.Dense(4, activation="tanh")
        noise = keras.layers.Dropout(rate)
        joined = keras.layers.Concatenate()([noise(shared(one)), noise(shared(two))])
        model = keras.Model([one, two], [keras.layers.Dense(1)(joined), keras.layers.Dense(2)(joined)])
        model.compile(
            keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=rate),
            ["mse", "mae"],
            loss_weights=[1.0, 0.5],
            metrics=[["mae"], [keras.metrics.MeanSquaredError()]],
        )
        return model

    def train(model: keras.Model) -> tuple[list[float], list[np.ndarray]]:
        y = [X[:, :1], X[:, :2]]
        history = model.fit([X, X[::-1].copy()], y, batch_size=16, epochs=2, shuffle=False, verbose=0).history
        return history["loss"], model.get_weights()

    pool = ModelPool()
    for rate in (0.5, 0.2):
        keras.utils.set_random_seed(1)
        expected = train(build(rate))
        keras.utils.set_random_seed(1)
        pooled = pool.acquire(build(rate))
        actual = train(pooled.model)
        pool.release(pooled)
        assert pooled.reused == (rate == 0.2)
        np.testing.assert_allclose(actual[0], expected[0], rtol=0, atol=0 if TENSORFLOW else 1e-6)
        for one, other in zip(actual[1], expected[1], strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=0 if TENSORFLOW else 1e-6)
    assert traces["train_step"] == 3 * (2 if TENSORFLOW else 1)  # two fresh ones, and one for the pool


@pytest.mark.slow
def test_a_model_with_regularizers_recurrent_dropout_and_label_smoothing(traces: dict[str, int]) -> None:
    def build(one: float, other: float) -> keras.Model:
        regularizers = keras.regularizers
        layers = [
            keras.Input((4, 2)),
            keras.layers.GRU(3, dropout=one, recurrent_dropout=other, recurrent_regularizer=regularizers.L1(other)),
            keras.layers.Dense(3, kernel_regularizer=regularizers.L1L2(one, other), activity_regularizer="l2"),
            keras.layers.Softmax(),
        ]
        model = keras.Sequential(layers)
        optimizer = keras.optimizers.RMSprop(0.01, rho=other, momentum=one, epsilon=1e-3 * one, clipnorm=other)
        model.compile(optimizer, keras.losses.CategoricalCrossentropy(label_smoothing=one))
        return model

    def train(model: keras.Model) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
        x, y = X.reshape(64, 4, 2), np.eye(3, dtype="float32")[Y]
        history = model.fit(
            x, y, batch_size=16, epochs=2, shuffle=False, validation_data=(x, y), validation_batch_size=16, verbose=0
        )
        return history.history, get_state(model)

    pool = ModelPool()
    for one, other in ((0.1, 0.4), (0.3, 0.2)):
        keras.utils.set_random_seed(1)
        expected = train(build(one, other))
        keras.utils.set_random_seed(1)
        pooled = pool.acquire(build(one, other))
        assert pooled.reused == (one == 0.3)
        assert_same(train(pooled.model), expected, tolerance=2e-6)
        pool.release(pooled)
    # without metrics nothing is left for a pooled model's first step to make, so TensorFlow traces it once
    assert traces == {"train_step": 2 * (2 if TENSORFLOW else 1) + 1, "test_step": 3}


def schedule(rate: float) -> keras.optimizers.schedules.LearningRateSchedule:
    return keras.optimizers.schedules.ExponentialDecay(0.1, 10, rate)


def frozen() -> keras.Model:
    model = build()
    model.layers[0].trainable = False
    return model


def set_attribute(layer: int, name: str, value: Any) -> keras.Model:
    model = build()
    setattr(model.layers[layer], name, value)
    return model


def smoothed(value: float, later: bool = False) -> keras.Model:
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.0 if later else value)
    if later:
        loss._fn_kwargs["label_smoothing"] = value  # what the step reads, behind the back of get_config
    return build(loss=loss)


def sgd(**values: Any) -> keras.Model:
    return build(optimizer=keras.optimizers.SGD(0.1, **values))


DIFFERENT: dict[str, Callable[[], keras.Model]] = {
    "as it is": build,
    "units": lambda: build(units=7),
    "activation": lambda: build(activation="tanh"),
    "no dropout": lambda: build(dropout=0.0),
    "all dropout": lambda: build(dropout=1.0),
    "batch normalization": lambda: build(normalization=keras.layers.BatchNormalization(momentum=0.9)),
    "layer normalization": lambda: build(normalization=keras.layers.LayerNormalization()),
    "dropout in a wrapper": lambda: build(normalization=wrapped(0.5)),
    "another dropout in a wrapper": lambda: build(normalization=wrapped(0.4)),
    "regularizer": lambda: build(regularizer=keras.regularizers.L2(0.1)),
    "another regularizer": lambda: build(regularizer=keras.regularizers.L1(0.1)),
    "both regularizers": lambda: build(regularizer=keras.regularizers.L1L2(0.1, 0.1)),
    "one of both regularizers": lambda: build(regularizer=keras.regularizers.L1L2(0.1)),
    "regularizer set later": lambda: set_attribute(3, "kernel_regularizer", keras.regularizers.L2(0.1)),
    "frozen layer": frozen,
    "attribute of a layer": lambda: set_attribute(1, "epsilon", 0.1),
    "activation set later": lambda: set_attribute(0, "activation", keras.activations.gelu),
    "adam": lambda: build(optimizer=keras.optimizers.Adam(0.01, weight_decay=0.01)),
    "amsgrad": lambda: build(optimizer=keras.optimizers.AdamW(0.01, weight_decay=0.01, amsgrad=True)),
    "clipnorm": lambda: build(optimizer=keras.optimizers.AdamW(0.01, weight_decay=0.01, clipnorm=1.0)),
    "global clipnorm": lambda: build(optimizer=keras.optimizers.AdamW(0.01, weight_decay=0.01, global_clipnorm=1.0)),
    "clipvalue": lambda: sgd(clipvalue=1.0),
    "another clipvalue": lambda: sgd(clipvalue=2.0),
    "sgd": sgd,
    "sgd weight decay": lambda: sgd(weight_decay=0.1),
    "momentum": lambda: sgd(momentum=0.5),
    "nesterov": lambda: sgd(momentum=0.5, nesterov=True),
    "schedule": lambda: build(schedule(0.9)),
    "another schedule": lambda: build(schedule(0.8)),
    "loss": lambda: build(loss="mse"),
    "loss object": lambda: build(loss=keras.losses.SparseCategoricalCrossentropy()),
    "from logits": lambda: build(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
    "label smoothing": lambda: smoothed(0.1),
    "no label smoothing": lambda: smoothed(0.0),
    "no metrics": lambda: build(metrics=None),
    "metrics": lambda: build(metrics=["accuracy", "mae"]),
    "metric's argument": lambda: build(metrics=[keras.metrics.SparseTopKCategoricalAccuracy(k=2)]),
    "another metric's argument": lambda: build(metrics=[keras.metrics.SparseTopKCategoricalAccuracy(k=3)]),
    "loss weights": lambda: build(compile={"loss_weights": [0.5]}),
    "eager": lambda: build(compile={"run_eagerly": True}),
    "compiled by XLA or not": lambda: build(compile={"jit_compile": TENSORFLOW}),
    "steps per execution": lambda: build(compile={"steps_per_execution": 2}),
}


SAME: dict[str, list[Callable[[], keras.Model]]] = {
    "as it is": [
        lambda: build(0.5, 0.5, dropout=0.25),
        lambda: build(optimizer=keras.optimizers.AdamW(0.1, 0.0, beta_1=0.5, beta_2=0.75, epsilon=1e-3)),
    ],
    "clipnorm": [lambda: build(optimizer=keras.optimizers.AdamW(0.01, weight_decay=0.01, clipnorm=20.0))],
    "momentum": [lambda: sgd(momentum=0.6)],
    "regularizer": [lambda: build(regularizer=keras.regularizers.L2(0.0)), lambda: build(regularizer="l2")],
    "another regularizer": [lambda: build(regularizer="l1")],
    "both regularizers": [lambda: build(regularizer=keras.regularizers.L1L2(0.1, 0.3))],
    "label smoothing": [lambda: smoothed(0.2), lambda: smoothed(0.1, later=True)],
}


@pytest.mark.parametrize("name", SAME)
def test_models_that_differ_in_what_is_live_have_one_signature(name: str) -> None:
    text = signature(DIFFERENT[name]())
    assert text is not None
    for make in SAME[name]:
        assert signature(make()) == text


def wrapped(rate: float) -> keras.Layer:
    reshape = [keras.layers.Reshape((2, 3)), keras.layers.TimeDistributed(keras.layers.Dropout(rate))]
    return keras.Sequential([keras.Input((6,)), *reshape, keras.layers.Flatten()])


def test_models_of_other_steps_have_other_signatures() -> None:
    texts: dict[str | None, str] = {}
    for name, make in DIFFERENT.items():
        text = signature(make())
        assert text is not None, name
        assert text not in texts, (name, texts[text])
        assert signature(make()) == text, name
        texts[text] = name


def test_precision_and_names_of_the_user_are_part_of_it() -> None:
    texts = {signature(build())}
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        texts |= {signature(build()), signature(build())}
        # a live rate is not possible everywhere in mixed precision: there it is part of the text
        texts.add(signature(build(dropout=0.2)))
    finally:
        keras.config.set_dtype_policy(before)
    texts.add(signature(keras.models.clone_model(build())))  # not compiled
    assert len(texts) == (3 if TENSORFLOW else 4)
    one, two = (keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name=name)]) for name in ("a", "b"))
    one.compile("sgd", "mse")
    two.compile("sgd", "mse")
    assert signature(one) != signature(two)


def hidden(strength: float) -> Callable[..., Any]:
    """Functions that a config gives by name alone, here even by the name of one of Keras's own."""

    def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
        return strength * keras.ops.mean(keras.ops.square(y_true - y_pred))

    return mean_squared_error


def relu(x: Any) -> Any:
    return keras.ops.relu(x) * 2


class MyDense(keras.layers.Dense):
    pass


class MyModel(keras.Sequential):
    pass


class MyLoss(keras.losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(y_pred)


class MyRegularizer(keras.regularizers.Regularizer):
    def __call__(self, x: Any) -> Any:
        return keras.ops.sum(x)


class MySGD(keras.optimizers.SGD):
    pass


def adapted() -> keras.Layer:
    layer = keras.layers.Normalization()
    layer.adapt(X[:, :6])
    return layer


def with_own_step() -> keras.Model:
    model = build()
    model.train_step = lambda *args: keras.Model.train_step(model, *args)
    return model


def subclassed() -> keras.Model:
    model = MyModel(layers())
    model.compile("sgd", "mse")
    return model


def trained() -> keras.Model:
    model = build()
    model.train_on_batch(X, Y)
    return model


def compiled_after_training() -> keras.Model:
    model = trained()
    model.compile(model.optimizer, model.loss)
    return model


def not_built() -> keras.Model:
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def schedule_free() -> keras.Model:
    if not hasattr(keras.optimizers, "ScheduleFreeAdamW"):
        pytest.skip(f"Keras {keras.__version__} has no ScheduleFreeAdamW")
    return build(optimizer=keras.optimizers.ScheduleFreeAdamW(0.1))


def excluded() -> keras.Model:
    optimizer = keras.optimizers.AdamW(0.01)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return build(optimizer=optimizer)


NOT_SHAREABLE: dict[str, Callable[[], keras.Model]] = {
    "loss": lambda: build(loss=hidden(2.0)),
    "loss object": lambda: build(loss=MyLoss()),
    "metric": lambda: build(metrics=[hidden(2.0)]),
    "metric in an object": lambda: build(metrics=[keras.metrics.MeanMetricWrapper(hidden(2.0))]),
    "activation of a Keras name": lambda: build(activation=relu),
    "activation": lambda: build(activation=lambda x: x),
    "lambda": lambda: build(normalization=keras.layers.Lambda(keras.activations.relu)),
    "regularizer": lambda: build(regularizer=MyRegularizer()),
    "layer": lambda: build(normalization=MyDense(3)),
    "model": subclassed,
    "optimizer": lambda: build(optimizer=MySGD(0.1)),
    "slots that begin as the weights": schedule_free,
    "learning rate": lambda: build(lambda: 0.1),
    "adapted preprocessing": lambda: build(normalization=adapted()),
    "own train_step": with_own_step,
    "trained": trained,
    "compiled after training": compiled_after_training,
    "not built": not_built,
    "not compiled": lambda: keras.Sequential(layers()),
    "weight decay by name": excluded,
}


@pytest.mark.parametrize("make", NOT_SHAREABLE.values(), ids=NOT_SHAREABLE)
def test_what_is_not_all_keras_is_not_shared(make: Callable[[], keras.Model]) -> None:
    model = make()
    assert signature(model) is None
    assert ModelPool().acquire(model) == PooledModel(model, None, reused=False)


def test_a_model_in_use_is_not_handed_out_again() -> None:
    pool = ModelPool()
    first, second = pool.acquire(build()), pool.acquire(build())
    assert first.model is not second.model
    assert not second.reused
    pool.release(first)
    third = pool.acquire(build())
    assert third.model is first.model
    pool.release(second)
    assert pool.acquire(build()).model is second.model


def test_the_least_recently_used_are_evicted() -> None:
    pool = ModelPool(max_models=2)
    models = {}
    for units in (1, 2, 1, 3):  # 2 is the least recently used one when 3 comes
        pooled = pool.acquire(build(units=units))
        models[units] = pooled.model
        pool.release(pooled)
    assert pool.acquire(build(units=1)).model is models[1]
    assert pool.acquire(build(units=3)).model is models[3]
    assert not pool.acquire(build(units=2)).reused


def test_the_bound_on_bytes() -> None:
    nbytes = sum(array.nbytes for array in get_state(build()).values())
    for max_bytes, reused in ((nbytes, True), (nbytes - 1, False)):
        pool = ModelPool(max_bytes=max_bytes)
        pool.release(pool.acquire(build()))
        assert pool.acquire(build()).reused == reused
    with pytest.raises(ValueError, match="max_bytes=-1: must be >= 0; 0 shares nothing"):
        ModelPool(max_bytes=-1)
    model = build()
    assert ModelPool(max_models=0).acquire(model) == PooledModel(model, None, reused=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda pooled: setattr(pooled.model.layers[0], "trainable", False),
        lambda pooled: setattr(pooled.model.layers[2], "rate", 0.1),
        lambda pooled: setattr(pooled.model.optimizer, "beta_1", 0.5),
        lambda pooled: pooled.model.compile(pooled.model.optimizer, pooled.model.loss),
        lambda pooled: pooled.live.detach(),
    ],
    ids=["freezes", "sets a rate", "sets a beta", "compiles", "detaches"],
)
def test_a_model_that_a_callback_changed_is_dropped(change: Callable[[PooledModel], object]) -> None:
    pool = ModelPool()
    pooled = pool.acquire(build())
    pooled.live.set({"layers.2.rate": 0.25, "optimizer.learning_rate": 0.5})  # no such change
    change(pooled)
    pool.release(pooled)
    model = build()
    assert pool.acquire(model).model is model


def test_a_reused_model_has_forgotten_its_last_trial() -> None:
    pool = ModelPool()
    pooled = pool.acquire(build())
    train(pooled.model, 0)
    pooled.live.set({"layers.2.rate": 0.25, "optimizer.learning_rate": 0.5, "optimizer.weight_decay": 0.75})
    pooled.model.stop_training = True
    pool.release(pooled)
    again = pool.acquire(build(learning_rate=0.25, weight_decay=0.125))
    assert again.reused and again.live is not None
    assert again.live.get() == {
        "optimizer.learning_rate": 0.25,
        "optimizer.weight_decay": 0.125,
        "optimizer.beta_1": 0.9,
        "optimizer.beta_2": 0.999,
        "optimizer.epsilon": 1e-7,
        "layers.2.rate": 0.5,
    }
    assert not again.model.stop_training
    assert all(not np.any(variable.numpy()) for variable in again.model.metrics_variables)
