"""TuningCallback applies schedules: the tests read the learning rate that each step really used."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kt_ext
from kt_ext.schedules import Constant, CosineDecay, ExponentialDecay, PiecewiseConstant, ReduceOnPlateau, Warmup, attach
from kt_ext.training.checkpoints import CheckpointStore
from kt_ext.training.live import install
from kt_ext.training.state import get_state, set_state

BASE = 0.5
BATCHES = 4  # in an epoch
X, Y = np.ones((BATCHES, 1), "float32"), np.full((BATCHES, 1), 1e4, "float32")
SCHEDULE = Warmup(3, 0.25, CosineDecay(12))


def build(learning_rate=BASE, **compile_arguments):
    """One weight whose gradient is always -1: each step of SGD adds the learning rate to it."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    optimizer = keras.optimizers.SGD(learning_rate) if not hasattr(learning_rate, "apply") else learning_rate
    model.compile(optimizer, "mae", **compile_arguments)
    return model


class Rates(keras.callbacks.Callback):
    """The learning rates that the steps used."""

    def __init__(self):
        super().__init__()
        self.used: list[float] = []

    def on_train_batch_begin(self, batch, logs=None):
        self.before = float(self.model.layers[0].kernel.numpy()[0, 0])

    def on_train_batch_end(self, batch, logs=None):
        self.used.append(float(self.model.layers[0].kernel.numpy()[0, 0]) - self.before)


def fit(model, callback, epochs, initial_epoch=0, also=(), **arguments):
    """The rate of each batch (of each execution, their sum)."""
    rates = Rates()
    arguments = {"epochs": epochs, "initial_epoch": initial_epoch, "batch_size": 1, "verbose": 0, **arguments}
    model.fit(X, Y, callbacks=[rates, *also, callback], **arguments)
    return rates.used


def approx(values):
    return pytest.approx(list(values), rel=2e-5, abs=2e-6)


def base_of(model):
    return float(model.optimizer.learning_rate.numpy())


def test_per_batch_and_per_epoch():
    used = fit(build(), kt_ext.TuningCallback("loss", schedule=SCHEDULE), 3)
    assert used == approx(BASE * SCHEDULE(step) for step in range(12))
    used = fit(build(), kt_ext.TuningCallback("loss", schedule=SCHEDULE, schedule_per="epoch"), 5)
    assert used == approx(BASE * SCHEDULE(epoch) for epoch in range(5) for _ in range(BATCHES))


def test_any_function_of_the_step():
    used = fit(build(), kt_ext.TuningCallback("loss", schedule=lambda step: 1 / (1 + step)), 2)
    assert used == approx(BASE / (1 + step) for step in range(8))


def test_several_steps_in_each_execution():
    """An execution has the rate of its first step, and each of its steps counts."""
    model = build(steps_per_execution=3)
    used = fit(model, kt_ext.TuningCallback("loss", schedule=SCHEDULE), 2)
    expected = [(0, 3), (3, 1), (4, 3), (7, 1)]
    assert used == approx(BASE * SCHEDULE(first) * count for first, count in expected)


@pytest.mark.parametrize(
    "accumulated", [None, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.nightly)]
)
def test_the_same_weights_as_with_the_schedule_of_keras(accumulated):
    def train(learning_rate, schedule):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(1)])
        optimizer = keras.optimizers.Adam(learning_rate, gradient_accumulation_steps=accumulated)
        model.compile(optimizer, "mse")
        x = np.random.default_rng(0).random((15, 4), "float32")
        callback = kt_ext.TuningCallback("loss", schedule=schedule)
        model.fit(x, x[:, :1], batch_size=3, epochs=3, shuffle=False, verbose=0, callbacks=[callback])
        return np.concatenate([np.ravel(weight) for weight in model.get_weights()])

    ours = train(0.05, CosineDecay(15, 0.1))
    of_keras = train(keras.optimizers.schedules.CosineDecay(0.05, 15, 0.1), None)
    np.testing.assert_allclose(ours, of_keras, rtol=1e-4, atol=1e-6)
    assert np.abs(ours - train(0.05, None)).max() > 1e-3


def test_a_loss_that_is_scaled():
    model = build(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(BASE), initial_scale=2.0))
    callback = kt_ext.TuningCallback("loss", schedule=SCHEDULE)
    assert fit(model, callback, 2) == approx(BASE * SCHEDULE(step) for step in range(8))
    assert (base_of(model), callback.learning_rate_base) == (BASE, BASE)


# Pause, resume, mutate, exploit


def test_the_checkpoint_and_the_model_have_the_base(tmp_path):
    model = build()
    fit(model, kt_ext.TuningCallback("loss", schedule=SCHEDULE, directory=tmp_path), 2)
    state = CheckpointStore(tmp_path).load(2).state
    assert [float(value) for name, value in state.items() if "learning_rate" in name] == [BASE]
    assert base_of(model) == BASE


@pytest.mark.parametrize("per", ["batch", "epoch"])
def test_going_on_in_another_process(tmp_path, per):
    def callback():
        return kt_ext.TuningCallback("loss", schedule=SCHEDULE, schedule_per=per, directory=tmp_path)

    unbroken = fit(build(), kt_ext.TuningCallback("loss", schedule=SCHEDULE, schedule_per=per), 4)
    first = fit(build(), callback(), 1)
    model, second = build(), callback()
    done = second.restore(model)
    assert first + fit(model, second, 4, done) == approx(unbroken)


def test_several_fits_with_one_callback():
    model, callback = build(), kt_ext.TuningCallback("loss", schedule=SCHEDULE)
    used = fit(model, callback, 1) + fit(model, callback, 3, 1)
    assert used == approx(BASE * SCHEDULE(step) for step in range(12))


def test_a_mutated_rate_is_the_new_base(tmp_path):
    """Changed between two segments, where an epoch is reported, and in the middle of one."""
    model = build()
    live = install(model)

    def report(done, logs):
        if done == 2:
            live.set({"optimizer.learning_rate": 4 * BASE})
        return False

    class Middle(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if callback.epochs_done == 3 and batch == 1:
                assert callback.learning_rate_base == pytest.approx(4 * BASE)
                callback.learning_rate_base = 8 * BASE

    callback = kt_ext.TuningCallback("loss", schedule=SCHEDULE, report=report, directory=tmp_path)
    used = fit(model, callback, 1)
    live.set({"optimizer.learning_rate": 2 * BASE})
    used += fit(model, callback, 4, 1, also=[Middle()])
    bases = [BASE] * 4 + [2 * BASE] * 4 + [4 * BASE] * 6 + [8 * BASE] * 2
    assert used == approx(base * SCHEDULE(step) for step, base in enumerate(bases))
    assert callback.learning_rate_base == 8 * BASE


def test_an_exploit_takes_the_step_of_the_donor_and_the_rate_of_the_loser(tmp_path):
    plateau = ReduceOnPlateau(0.5, patience=1, min_delta=1e6, of=SCHEDULE)
    donor = kt_ext.TuningCallback("loss", schedule=plateau, directory=tmp_path)
    fit(build(), donor, 3)
    checkpoint = CheckpointStore(tmp_path).load(3)
    loser, callback = build(9.0), kt_ext.TuningCallback("loss", schedule=plateau)
    fit(loser, callback, 1)
    set_state(loser, checkpoint.state)
    callback.take(checkpoint)
    assert callback.learning_rate_base == BASE
    callback.learning_rate_base = 3.0
    # the donor's plateau was reduced in its second and third epoch
    assert fit(loser, callback, 4, 3) == approx(3.0 * 0.25 * SCHEDULE(step) for step in range(12, 16))


def test_an_epoch_that_was_interrupted_leaves_the_base():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                raise KeyboardInterrupt

    model, callback = build(), kt_ext.TuningCallback("loss", schedule=ExponentialDecay(1, 0.5))
    with pytest.raises(KeyboardInterrupt):
        fit(model, callback, 1, also=[Stop()])
    _ = callback.model  # on JAX the model gets its variables back
    before = int(model.optimizer.iterations.numpy())
    assert fit(model, callback, 1) == approx(BASE * 0.5 ** (before + step) for step in range(4))


# The plateau


class Says(keras.callbacks.Callback):
    """Puts these values of a metric into the logs."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        if self.values[epoch] is not None:
            logs["score"] = self.values[epoch]


@pytest.mark.parametrize("pause_after", [None, 1, 3, 4])
def test_reduce_on_plateau(tmp_path, pause_after):
    schedule = ReduceOnPlateau(0.5, patience=2, min_delta=0.0, of=PiecewiseConstant([3], [1.0, 0.1]))
    says = Says([0.9, 0.8, 0.7, 0.95, 0.95, 0.9])

    def train(epochs):
        callback = kt_ext.TuningCallback(
            "score", direction="max", schedule=schedule, schedule_per="epoch", directory=tmp_path
        )
        model = build()
        done = callback.restore(model)
        return fit(model, callback, epochs, done, also=[says])

    used = (train(pause_after) if pause_after else []) + train(6)
    # two epochs after 0.9 and two after 0.95, of which the last comes too late
    factors = [1.0, 1.0, 1.0, 0.5, 0.05, 0.05]
    assert used == approx(BASE * factor for factor in factors for _ in range(BATCHES))


def test_a_plateau_needs_the_metric():
    callback = kt_ext.TuningCallback("score", direction="max", schedule=ReduceOnPlateau())
    with pytest.raises(ValueError, match="objective='score' is not among the logs of epoch 2"):
        fit(build(), callback, 3, also=[Says([1.0, None, 1.0])])


# Beside Keras's own


def test_callbacks_of_keras_that_change_the_rate_change_the_base():
    """One reduces it at the end of an epoch, by a factor; one sets it when an epoch begins."""
    plateau = keras.callbacks.ReduceLROnPlateau("score", mode="max", factor=0.5, patience=1, min_delta=0.0)
    used = fit(
        build(), kt_ext.TuningCallback("loss", schedule=SCHEDULE), 3, also=[Says([0.5, 0.4, 0.6]), plateau]
    )  # fmt: skip
    assert used == approx(BASE * (0.5 if step >= 8 else 1) * SCHEDULE(step) for step in range(12))
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    used = fit(build(), kt_ext.TuningCallback("loss", schedule=SCHEDULE), 3, also=[scheduler])
    assert used == approx(BASE / 2 ** (1 + step // 4) * SCHEDULE(step) for step in range(12))


def test_a_schedule_of_keras_alone_is_left_alone(tmp_path):
    def train(epochs):
        callback = kt_ext.TuningCallback("loss", directory=tmp_path)
        model = build(keras.optimizers.schedules.ExponentialDecay(BASE, 1, 0.9))
        return fit(model, callback, epochs, callback.restore(model))

    assert train(1) + train(3) == approx(BASE * 0.9**step for step in range(12))


def test_two_schedules_are_an_error():
    model = build(keras.optimizers.schedules.ExponentialDecay(BASE, 1, 0.9))
    callback = kt_ext.TuningCallback("loss", schedule=Constant(0.5))
    with pytest.raises(
        ValueError, match=r"schedule=Constant.*must be a number, the base, and is .*ExponentialDecay.*give no schedule"
    ):
        fit(model, callback, 1)
    with pytest.raises(ValueError, match=r"schedule=.*gives learning rates, and must give factors .*to the optimizer"):
        kt_ext.TuningCallback("loss", schedule=keras.optimizers.schedules.CosineDecay(BASE, 5))


def test_other_errors():
    with pytest.raises(ValueError, match="per='week': must be 'batch' or 'epoch'"):
        kt_ext.TuningCallback("loss", schedule=SCHEDULE, schedule_per="week")
    with pytest.raises(ValueError, match=r"gives -1.0 at step 2; must give a finite number >= 0"):
        fit(build(), kt_ext.TuningCallback("loss", schedule=lambda step: 1.0 - step), 1)
    callback = kt_ext.TuningCallback("loss", schedule=SCHEDULE)
    callback.set_model(build())
    with pytest.raises(ValueError, match=r"learning_rate_base=-1.0: must be"):
        callback.learning_rate_base = -1.0
    with pytest.raises(ValueError, match="was not applied in epoch 1, for the training loop did not call"):
        callback.on_epoch_end(0, {"loss": 1.0})


# On the model


def test_a_schedule_that_is_attached_to_the_model():
    model = build()
    attach(model, SCHEDULE, per="epoch")
    used = fit(model, kt_ext.TuningCallback("loss"), 3)
    assert used == approx(BASE * SCHEDULE(step // 4) for step in range(12))
    used = fit(model, kt_ext.TuningCallback("loss", schedule=Constant(2.0)), 1)
    assert used == approx([2 * BASE] * 4)
    attach(model, None)
    assert fit(model, kt_ext.TuningCallback("loss"), 1) == approx([BASE] * 4)


def test_a_model_is_saved_without_what_is_attached(tmp_path):
    model = build()
    attach(model, SCHEDULE)
    fit(model, kt_ext.TuningCallback("loss"), 1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert base_of(loaded) == BASE
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])


# keep


def test_checkpoints_that_somebody_needs_are_kept(tmp_path):
    needed = [{1}, {1}, {1, 2}, {1, 2, 9}, set(), set()]
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(CheckpointStore(tmp_path).epochs())

    callback = kt_ext.TuningCallback(
        lambda logs: -callback.epochs_done, directory=tmp_path, keep=lambda: needed[callback.epochs_done - 1]
    )
    fit(build(), callback, 6, also=[Look()])
    assert seen == [[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4], [4, 5]]


# The range test


def test_the_range_test_leaves_the_model_as_it_was():
    model = build(0.25)
    fit(model, kt_ext.TuningCallback("loss", schedule=Constant(1.0)), 2)
    before = get_state(model)
    result = kt_ext.learning_rate_range_test(model, X, Y, low=0.1, high=10.0, steps=11, batch_size=1)
    after = get_state(model)
    assert [name for name in before if not np.array_equal(before[name], after[name])] == []
    assert result.rates == approx(0.1 * 100 ** (step / 10) for step in range(11))
    # the weight is the sum of the rates so far, and each loss that of one batch: how far it is from 10,000
    weight = 8 * 0.25 + np.concatenate([[0], np.cumsum(result.rates[:-1])])
    assert result.losses == pytest.approx(list(1e4 - weight), rel=1e-6)


def test_the_range_test_ends_where_the_loss_diverges():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 8)).astype("float32")
    y = x @ rng.standard_normal((8, 1)).astype("float32")
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    result = kt_ext.learning_rate_range_test(model, x, y, low=1e-4, high=1e3, steps=100, batch_size=64)
    assert 20 < len(result.losses) < 90
    assert 1e-3 < result.suggestion < 1.0
    assert base_of(model) == pytest.approx(0.01)
    assert model.train_function is None  # so that live values can be installed


def test_the_range_test_refuses():
    with pytest.raises(ValueError, match="is not compiled"):
        kt_ext.learning_rate_range_test(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]), X, Y)
    with pytest.raises(ValueError, match="steps_per_execution=2: must be 1"):
        kt_ext.learning_rate_range_test(build(steps_per_execution=2), X, Y)
    with pytest.raises(ValueError, match=r"high=0.1: must be larger than low=1.0"):
        kt_ext.learning_rate_range_test(build(), X, Y, low=1.0, high=0.1)
    with pytest.raises(ValueError, match="must be a number, the base"):
        kt_ext.learning_rate_range_test(build(keras.optimizers.schedules.CosineDecay(0.1, 5)), X, Y)
