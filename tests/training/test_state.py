from __future__ import annotations

import keras
import numpy as np
import pytest

from kt_ext.training.live import install
from kt_ext.training.state import get_state, set_state

X = np.random.default_rng(0).random((32, 6), "float32")
Y = X.sum(axis=1, keepdims=True)


def build(units: int = 5, optimizer: str = "Adam", dtype: str | None = None) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(units, dtype=dtype),
            keras.layers.BatchNormalization(dtype=dtype),
            keras.layers.Dropout(0.5, dtype=dtype),
            keras.layers.Dense(1, dtype=dtype),
        ]
    )
    model.compile(getattr(keras.optimizers, optimizer)(0.01), "mse", metrics=["mae"])
    return model


def train(model: keras.Model, epochs: int = 1) -> None:
    model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)


def assert_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert list(one) == list(other)
    for name, array in one.items():
        assert (array.dtype, array.shape) == (other[name].dtype, other[name].shape), name
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_names() -> None:
    expected = [
        "model/0000/sequential/dense/kernel",
        "model/0001/sequential/dense/bias",
        "model/0002/sequential/batch_normalization/gamma",
        "model/0003/sequential/batch_normalization/beta",
        "model/0004/sequential/batch_normalization/moving_mean",
        "model/0005/sequential/batch_normalization/moving_variance",
        "model/0006/seed_generator/seed_generator_state",
        "model/0007/sequential/dense/kernel",
        "model/0008/sequential/dense/bias",
        "optimizer/0000/SGD/iteration",
        "optimizer/0001/SGD/learning_rate",
    ]
    for _ in range(2):  # the second build has other names in Keras
        state = get_state(build(optimizer="SGD"))
        assert [name for name in state if "momentum" not in name] == expected
    assert state["optimizer/0000/SGD/iteration"].shape == ()


@pytest.mark.parametrize(
    "dtype",
    ["float32", "mixed_float16", *(pytest.param(d, marks=pytest.mark.nightly) for d in ("bfloat16", "float16"))],
)
def test_a_restored_model_goes_on_as_the_original(dtype: str) -> None:
    original = build(dtype=dtype)
    if dtype == "mixed_float16":
        original.compile(keras.optimizers.LossScaleOptimizer(original.optimizer, 8.0, dynamic_growth_steps=3), "mse")
    train(original, 2)
    state = get_state(original)
    kernel = state["model/0000/sequential/dense/kernel"]
    assert kernel.dtype.name == ("float32" if dtype == "mixed_float16" else dtype)
    if dtype == "mixed_float16":
        assert {state[name].item() for name in state if "dynamic_scale" in name} == {8.0 * 2 ** (8 // 3)}
        assert any(name.endswith("_momentum") for name in state)
    copy = build(dtype=dtype)
    if dtype == "mixed_float16":
        copy.compile(keras.optimizers.LossScaleOptimizer(copy.optimizer, 8.0, dynamic_growth_steps=3), "mse")
    set_state(copy, state)
    assert_equal(get_state(copy), state)
    train(original)
    train(copy)
    assert_equal(get_state(copy), get_state(original))
    assert get_state(copy)["model/0006/seed_generator/seed_generator_state"][1] == 12  # steps


def test_the_arrays_belong_to_the_caller_alone() -> None:
    model = build()
    train(model)
    state = get_state(model)
    saved = {name: array.copy() for name, array in state.items()}
    set_state(model, state)
    train(model)
    assert_equal(state, saved)
    after = get_state(model)
    set_state(model, state)
    for array in state.values():
        array.fill(0)
    assert_equal(get_state(model), saved)
    train(model)
    assert_equal(get_state(model), after)


def test_training_does_not_write_to_the_arrays_that_it_began_with() -> None:
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    for _ in range(20):  # whether a backend takes the memory of an array depends on its alignment
        state = get_state(model)
        saved = {name: array.copy() for name, array in state.items()}
        set_state(model, state)
        model.train_on_batch(np.ones((2, 64), "float32"), np.ones((2, 64), "float32"))
        assert_equal(state, saved)


def test_an_optimizer_that_was_not_built_is_built() -> None:
    model = build()
    assert len(get_state(model, optimizer=False)) == 9
    assert not model.optimizer.built
    assert len(get_state(model)) == 9 + 2 + 2 * 6
    train(model)
    assert len(get_state(model)) == 9 + 2 + 2 * 6


def test_a_state_without_optimizer_leaves_the_optimizer_alone() -> None:
    donor, model = build(), build(optimizer="SGD")
    train(donor)
    train(model)
    set_state(model, get_state(donor, optimizer=False))
    assert_equal(get_state(model, optimizer=False), get_state(donor, optimizer=False))
    assert get_state(model)["optimizer/0000/SGD/iteration"] == 4


def test_live_values_are_no_part_of_the_state() -> None:
    model, plain = build(), build()
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.1), "mse")
    plain.compile(keras.optimizers.AdamW(0.01, weight_decay=0.1), "mse")
    live = install(model)
    live.set({"layers.2.rate": 0.25, "optimizer.weight_decay": 0.2})
    train(model)
    set_state(plain, get_state(model))
    assert_equal(get_state(plain), get_state(model))
    set_state(model, get_state(plain))
    expected = {"optimizer.learning_rate": 0.01, "optimizer.weight_decay": 0.2, "layers.2.rate": 0.25}
    assert {name: live.get()[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": 4}, r"state\['model/0000/sequential/dense/kernel'\]: has shape \(6, 4\), the model's is \(6, 5\)"),
        ({"optimizer": "SGD"}, "state: has no 'optimizer/0000/Adam/iteration', which the model has"),
        ({"optimizer": "Nadam"}, "state: has no 'optimizer/0000/Adam/iteration', which the model has"),
        ({"dtype": "float16"}, r"state\['model/0000/sequential/dense/kernel'\]: is float16, the model's is float32"),
    ],
)
def test_the_state_of_another_architecture_is_refused(change: dict[str, object], message: str) -> None:
    model = build()
    train(model)
    before = get_state(model)
    with pytest.raises(ValueError, match=message):
        set_state(model, get_state(build(**change)))
    assert_equal(get_state(model), before)


def test_a_state_with_more_than_the_model_is_refused() -> None:
    model = build()
    with pytest.raises(ValueError, match="state: has 'model/0009/x', which the model has not"):
        set_state(model, {**get_state(model, optimizer=False), "model/0009/x": np.zeros(())})


def test_a_model_that_is_not_built_is_refused() -> None:
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="is not built, so it has no variables; begin it"):
        get_state(model, optimizer=False)
