"""State, live values and the callback on two replicas; run by ``test_distribution.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kt_ext
from kt_ext.training.callback import restore_model
from kt_ext.training.checkpoints import CheckpointStore
from kt_ext.training.live import install
from kt_ext.training.pool import ModelPool
from kt_ext.training.state import get_state, set_state
from two_devices import BACKEND, copies, distributed

MOVING_MEAN = "model/0004/sequential/batch_normalization/moving_mean"
# The first replica gets the first half of each batch of 8: zeros. The second gets tens.
X = np.tile(np.repeat(np.array([[0.0], [10.0]], "float32"), 4, axis=0), (4, 3))
Y = np.linspace(0, 1, 32, dtype="float32")[:, None]


def build(rate: float = 0.5, learning_rate: float = 0.01) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(3, kernel_initializer="identity"),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.Dropout(rate),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(learning_rate, momentum=0.9, weight_decay=0.1), "mse", metrics=["mae"])
    return model


def built(**kwargs: Any) -> keras.Model:
    with distributed():
        return build(**kwargs)


def fit(model: keras.Model, epochs: int = 1, **kwargs: Any) -> dict[str, list[float]]:
    fitted = model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, validation_data=(X, Y), verbose=0, **kwargs)
    return fitted.history


def assert_same_copies(one: keras.Model, other: keras.Model) -> None:
    """On each device every variable of the models and their optimizers has the same value."""
    pairs = zip(one.variables + one.optimizer.variables, other.variables + other.optimizer.variables, strict=True)
    for mine, theirs in pairs:
        if mine.name in ("loss", "total", "count"):
            continue
        assert len(copies(mine)) == len(copies(theirs)) == 2
        for a, b in zip(copies(mine), copies(theirs), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=mine.path)


def test_what_the_backend_does_to_moving_statistics() -> None:
    """On TensorFlow each replica keeps its own; on JAX the whole batch is normalised."""
    model = built()
    before, after = copies(model.layers[1].moving_mean)
    np.testing.assert_array_equal(before, after)
    fit(model)
    one, other = copies(model.layers[1].moving_mean)
    if BACKEND == "tensorflow":
        assert np.abs(one - other).min() > 5
    else:
        np.testing.assert_array_equal(one, other)
    for kernel, same in (copies(variable) for variable in model.trainable_variables):
        np.testing.assert_array_equal(kernel, same)


def test_the_state_has_the_moving_statistics_of_each_replica() -> None:
    model = built()
    assert not any(name.endswith("/replicas") for name in get_state(model))
    fit(model)
    state = get_state(model)
    on_each = np.stack(copies(model.layers[1].moving_mean))
    np.testing.assert_allclose(state[MOVING_MEAN], on_each.mean(axis=0), rtol=1e-6)
    replicas = [name for name in state if name.endswith("/replicas")]
    if BACKEND == "tensorflow":  # the variances are equal here, but for rounding
        assert replicas[0] == MOVING_MEAN + "/replicas"
        assert all("moving_variance" in name for name in replicas[1:])
        np.testing.assert_array_equal(state[replicas[0]], on_each)
        assert state[replicas[0]].dtype == np.float32
    else:
        assert replicas == []


def test_a_copy_goes_on_as_the_original(tmp_path: Path) -> None:
    original, copy = built(), built()
    fit(original, 2)
    fit(copy)  # something to overwrite
    store = CheckpointStore(tmp_path)
    store.save(2, get_state(original), {"build_config": None})
    restore_model(copy, store.load(2))
    assert_same_copies(original, copy)
    assert original.evaluate(X, Y, batch_size=8, verbose=0) == copy.evaluate(X, Y, batch_size=8, verbose=0)
    assert fit(original) == fit(copy)
    assert_same_copies(original, copy)


def test_a_state_of_one_device_reaches_both_and_back() -> None:
    from_two = built()
    fit(from_two)
    state = get_state(from_two)
    alone = on_one_device()
    set_state(alone, state)
    found = get_state(alone)
    assert list(found) == [name for name in state if not name.endswith("/replicas")]
    for name, array in found.items():
        np.testing.assert_array_equal(array, state[name], err_msg=name)
    two = built()
    fit(two)
    set_state(two, found)
    for variable in two.variables + two.optimizer.variables:
        one, other = copies(variable)
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(copies(two.layers[1].moving_mean)[1], state[MOVING_MEAN])


#: Aggregation and synchronization of a variable that each replica adds 1 or 3 to, the values after that, and the one
#: value for another number of replicas.
KINDS = {
    ("none", "auto", "float32"): ([1, 3], 2),
    ("none", "auto", "int32"): ([1, 3], 1),
    ("mean", "auto", "float32"): ([2, 2], 2),
    ("sum", "auto", "float32"): ([4, 4], 4),
    ("only_first_replica", "auto", "float32"): ([1, 1], 1),
    ("none", "on_read", "float32"): ([1, 3], 2),
    ("mean", "on_read", "float32"): ([1, 3], 2),
    ("sum", "on_read", "float32"): ([1, 3], 4),
    ("only_first_replica", "on_read", "float32"): ([1, 3], 1),
}


@keras.saving.register_keras_serializable("kt_ext_tests")
class OneOfEachKind(keras.layers.Layer):
    def build(self, shape: Any) -> None:
        self.kinds = [
            keras.Variable(0, dtype=dtype, trainable=False, aggregation=aggregation, synchronization=synchronization)
            for aggregation, synchronization, dtype in KINDS
        ]

    def call(self, inputs: Any) -> Any:
        import tensorflow as tf

        # Keras calls it outside the replicas to learn the shape of what it returns.
        for variable in self.kinds if not tf.distribute.in_cross_replica_context() else ():
            variable.value.assign_add(keras.ops.cast(keras.ops.max(inputs), variable.dtype))
        return inputs


def build_kinds() -> keras.Model:
    model = keras.Sequential([keras.Input((1,)), OneOfEachKind(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.tensorflow
def test_each_kind_of_variable_is_copied() -> None:
    with distributed():
        model, copy = build_kinds(), build_kinds()
    x = np.array([[1.0], [3.0]], "float32")
    model.fit(x, x, batch_size=2, shuffle=False, verbose=0)
    state = get_state(model)
    alone = build_kinds()
    set_state(copy, state)
    set_state(alone, state)
    assert [np.ravel(copies(variable)).tolist() for variable in model.layers[0].kinds] == [v for v, _ in KINDS.values()]
    assert [np.ravel(copies(variable)).tolist() for variable in copy.layers[0].kinds] == [v for v, _ in KINDS.values()]
    assert [variable.numpy() for variable in alone.layers[0].kinds] == [one for _, one in KINDS.values()]
    assert sum(name.endswith("/replicas") for name in state) == 6
    # and back: the same on all replicas, or that which reads as the same
    set_state(copy, get_state(alone))
    for variable, (_, one) in zip(copy.layers[0].kinds, KINDS.values(), strict=True):
        added_up = (variable.aggregation, variable.synchronization) == ("sum", "on_read")
        assert copies(variable) == [one / 2 if added_up else one] * 2, variable.aggregation


@pytest.mark.tensorflow
def test_what_the_optimizer_updates_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each replica is read of what may differ alone, weights that were frozen later not among it."""
    model = built()
    model.layers[0].trainable = False
    get_state(model)
    read: list[tuple[int, ...]] = []
    stack = np.stack

    def counted(arrays: list[np.ndarray]) -> np.ndarray:
        read.append(arrays[0].shape)
        return stack(arrays)

    monkeypatch.setattr(np, "stack", counted)
    get_state(model)
    assert read == [(3,), (3,), (2,)]  # two moving statistics and dropout's seed


def on_one_device() -> keras.Model:
    if BACKEND == "tensorflow":
        return build()
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        model = build()
        model.optimizer.build(model.trainable_variables)
        return model
    finally:
        keras.distribution.set_distribution(distribution)


@pytest.mark.parametrize("shape", [(2, 4), (2,), ()])
def test_replicas_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    model = built()
    state = {**get_state(model), f"{MOVING_MEAN}/replicas": np.zeros(shape, "float32")}
    with pytest.raises(ValueError, match=r"moving_mean/replicas'\]: .*must be float32 of shape \('replicas', 3\)"):
        set_state(model, state)


def test_the_optimizer_is_built_on_both_devices() -> None:
    model = built()
    get_state(model)  # outside the scope
    assert [len(copies(variable)) for variable in model.optimizer.variables] == [2] * len(model.optimizer.variables)
    fit(model)


# Live values


@keras.saving.register_keras_serializable("kt_ext_tests")
class ShareOfZeros(keras.layers.Layer):
    """Keeps the share of zeros in what each replica was given last."""

    def build(self, shape: Any) -> None:
        self.share = self.add_weight(shape=(), initializer="zeros", trainable=False, name="share")

    def call(self, inputs: Any) -> Any:
        self.share.assign(keras.ops.mean(keras.ops.cast(keras.ops.equal(inputs, 0), "float32")))
        return inputs


def build_watched(rate: float, learning_rate: float) -> keras.Model:
    with distributed():
        model = keras.Sequential(
            [
                keras.Input((2000,)),
                keras.layers.Dropout(rate),
                ShareOfZeros(),
                keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", trainable=True),
            ]
        )
        model.compile(keras.optimizers.SGD(learning_rate), "mae")
    return model


def used(model: keras.Model) -> list[tuple[float, float]]:
    """Dropout rate and learning rate that each device used in one step."""
    kernel = model.layers[2].kernel
    before = copies(kernel)
    x, y = np.ones((2, 2000), "float32"), np.full((2, 1), 1e6, "float32")
    model.fit(x, y, batch_size=2, verbose=0)
    # The gradient of the mean absolute error is minus the mean of the inputs, whose mean is 1 whatever is dropped.
    steps = [(after - was).mean() for was, after in zip(before, copies(kernel), strict=True)]
    return list(zip([float(share) for share in copies(model.layers[1].share)], steps, strict=True))


def test_each_replica_uses_the_live_values() -> None:
    model = build_watched(0.5, 0.25)
    live = install(model)
    for rate, learning_rate in ((0.5, 0.25), (0.75, 0.125), (0.125, 0.5)):
        live.set({"layers.0.rate": rate, "optimizer.learning_rate": learning_rate})
        train_function = model.train_function
        both = used(model)
        assert len(both) == 2
        for share, step in both:
            assert share == pytest.approx(rate, abs=0.05)
            assert step == pytest.approx(learning_rate, rel=0.15)
        assert train_function in (None, model.train_function)  # not traced again


def test_an_exploit_reaches_each_replica() -> None:
    """Trial B takes trial A's state from its checkpoint, and then its own live values."""
    pool = ModelPool()
    a = pool.acquire(built(rate=0.25, learning_rate=0.02))
    assert a.live is not None
    fit(a.model, 2)
    state = get_state(a.model)
    b = pool.acquire(built(rate=0.5, learning_rate=0.001))
    assert b.live is not None and b.model is not a.model
    fit(b.model)
    set_state(b.model, state)
    assert_same_copies_but(a.model, b.model, "kt_ext_live_value")
    b.live.set({"layers.2.rate": 0.125, "optimizer.learning_rate": 0.25})
    assert b.live.get()["layers.2.rate"] == 0.125  # no part of A's state, as the learning rate is
    np.testing.assert_array_equal(copies(b.model.optimizer.variables[1]), [0.25, 0.25])
    # as a fresh model with the same state and values, on each replica
    fresh = built(rate=0.125, learning_rate=0.25)
    set_state(fresh, state)
    fresh.optimizer.learning_rate = 0.25
    assert {name: pytest.approx(values, rel=1e-3) for name, values in fit(b.model).items()} == fit(fresh)
    for name in (1, 3):
        for mine, theirs in zip(b.model.layers[name].variables, fresh.layers[name].variables, strict=True):
            np.testing.assert_allclose(copies(mine), copies(theirs), rtol=1e-3, atol=1e-6, err_msg=mine.path)


def assert_same_copies_but(one: keras.Model, other: keras.Model, left_out: str) -> None:
    names = [v.name for v in one.variables]
    assert names == [v.name for v in other.variables]
    for mine, theirs in zip(one.variables, other.variables, strict=True):
        if mine.name != left_out and mine.path not in {v.path for v in one.metrics_variables}:
            np.testing.assert_array_equal(copies(mine), copies(theirs), err_msg=mine.path)


# The callback


def test_the_callback_goes_on_as_if_there_was_no_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[tuple[str, int]] = []
    save = CheckpointStore.save

    def counted(self: CheckpointStore, epoch: int, *args: Any) -> None:
        saved.append((self.directory.name, epoch))
        save(self, epoch, *args)

    monkeypatch.setattr(CheckpointStore, "save", counted)
    keras.utils.set_random_seed(0)
    whole = built()
    start = get_state(whole)
    unbroken = fit(whole, 4, callbacks=[kt_ext.TuningCallback(directory=tmp_path / "unbroken")])
    first = built()
    set_state(first, start)
    before = fit(first, 2, callbacks=[kt_ext.TuningCallback(directory=tmp_path / "paused")])
    second = built()
    callback = kt_ext.TuningCallback(directory=tmp_path / "paused")
    assert callback.restore(second) == 2
    after = fit(second, 4, initial_epoch=2, callbacks=[callback])
    for name, values in unbroken.items():
        assert before[name] + after[name] == pytest.approx(values, rel=1e-5), name
    assert_same_copies(whole, second)
    assert saved == [(name, epoch) for name in ("unbroken", "paused") for epoch in (1, 2, 3, 4)]
