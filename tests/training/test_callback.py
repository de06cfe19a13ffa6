"""TuningCallback alone, in a real fit; where a decision must be exact, another callback says what the objective is."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import kt_ext
from kt_ext.training.callback import EpochOutOfOrder, infer_direction
from kt_ext.training.checkpoints import CheckpointStore
from kt_ext.training.state import get_state

RNG = np.random.default_rng(0)
X, Y = RNG.random((32, 4), "float32"), RNG.random((32, 1), "float32")


def build():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dropout(0.3), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    return model


@pytest.fixture(scope="module")
def model():
    """One traced model for all tests; its weights are nobody's concern."""
    return build()


class Says(keras.callbacks.Callback):
    """Puts these values of a metric into the logs, epoch by epoch, and remembers the weights at the end of each."""

    def __init__(self, values, name="val_loss"):
        super().__init__()
        self.values, self.name, self.states = values, name, []

    def on_epoch_end(self, epoch, logs=None):
        if self.values[epoch] is not None:
            logs[self.name] = self.values[epoch]
        self.states.append(get_state(self.model))


def fit(model, callback, values, name="val_loss", **kwargs):
    """Train as many epochs as there are values, or fewer; returns what Says remembers."""
    says = Says(values, name)
    model.fit(X, Y, epochs=len(values), batch_size=16, verbose=0, callbacks=[says, callback], **kwargs)
    return says


def same_state(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("values", "patience", "min_delta", "epochs", "best_epoch"),
    [
        ([3.0, 2.0, 2.5, 2.5, 1.0], 2, 0.0, 4, 2),
        ([3.0, 2.0, 2.5, 1.9, 2.0, 2.0, 1.0], 2, 0.0, 6, 4),
        ([3.0, 2.0, 2.0, 1.0], 1, 0.0, 3, 2),  # equal is no improvement
        ([3.0, 2.95, 2.91, 1.0], 2, 0.1, 3, 3),  # small steps do not count for patience, but the best is the best
        ([3.0, 2.95, 2.85, 2.8, 2.7], 2, 0.1, 5, 5),  # they add up: 2.85 is better than 3.0 by more than 0.1
        ([3.0, 4.0, 5.0, 6.0], None, 0.0, 4, 1),
        ([math.nan, 3.0, math.nan, math.inf, 1.0], 2, 0.0, 4, 2),  # neither is better than anything
        ([-math.inf, 3.0], None, 0.0, 2, 2),  # nor is an infinity that looks good
        ([math.nan] * 4, 3, 0.0, 3, 0),
    ],
)
def test_patience(model, values, patience, min_delta, epochs, best_epoch):
    callback = kt_ext.TuningCallback("val_loss", patience=patience, min_delta=min_delta)
    fit(model, callback, values)
    assert (callback.epochs_done, callback.best_epoch) == (epochs, best_epoch)
    assert callback.stopped == ("patience" if epochs < len(values) or patience == epochs else None)
    assert callback.best == (values[best_epoch - 1] if best_epoch else math.inf)
    assert [logs["val_loss"] for logs in callback.logs] == pytest.approx(values[:epochs], nan_ok=True)


@pytest.mark.parametrize(
    ("objective", "direction", "best_epoch"),
    [
        ("val_loss", "auto", 2),
        ("val_accuracy", "auto", 3),
        ("my_number", "min", 2),
        ("my_number", "max", 3),
        ("val_loss", "max", 3),
    ],
)
def test_direction(model, objective, direction, best_epoch):
    callback = kt_ext.TuningCallback(objective, direction=direction)
    fit(model, callback, [0.5, 0.2, 0.9], objective)
    assert callback.best_epoch == best_epoch
    assert callback.best == (0.2 if best_epoch == 2 else -0.9)


def test_directions_told_from_names():
    for name in ("loss", "val_mean_squared_error", "val_mae", "log_loss", "binary_crossentropy", "perplexity"):
        assert infer_direction(name) == "min", name
    for name in ("accuracy", "val_sparse_categorical_accuracy", "auc", "val_f1_score", "mean_io_u", "r2_score"):
        assert infer_direction(name) == "max", name


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"objective": "goodness"}, r"objective='goodness': .*give direction='min' or 'max'"),
        ({"direction": "up"}, r"direction='up': must be 'min', 'max' or 'auto'"),
        ({"patience": 0}, r"patience=0: must be an integer >= 1, or None"),
        ({"patience": 1.5}, r"patience=1.5: must be"),
        ({"min_delta": -0.1}, r"min_delta=-0.1: must be a finite number >= 0"),
        ({"min_delta": math.nan}, r"min_delta=nan: must be"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        kt_ext.TuningCallback(**kwargs)


@pytest.mark.parametrize("needs_it", [{"patience": 3}, {"restore_best": True}], ids=["patience", "restore_best"])
def test_objective_not_among_the_logs(model, needs_it):
    callback = kt_ext.TuningCallback("val_loss", **needs_it)
    with pytest.raises(ValueError, match=r"objective='val_loss' is not among the logs of epoch 1 \(loss\).*validation"):
        fit(model, callback, [None])


@pytest.mark.parametrize("in_directory", [False, True], ids=["memory", "directory"])
def test_best_weights_are_put_back(model, in_directory, tmp_path):
    directory = tmp_path if in_directory else None
    callback = kt_ext.TuningCallback("val_loss", patience=2, restore_best=True, directory=directory)
    says = fit(model, callback, [3.0, 2.0, 2.5, 2.5, 1.0])
    assert same_state(get_state(model), says.states[1])  # the optimizer's state, too
    assert not same_state(says.states[1], says.states[3])


def test_weights_stay_without_restore_best(model, tmp_path):
    says = fit(model, kt_ext.TuningCallback("val_loss", patience=2, directory=tmp_path), [3.0, 2.0, 2.5, 2.5, 1.0])
    assert same_state(get_state(model), says.states[3])


def test_nothing_finite_leaves_the_weights(model):
    says = fit(model, kt_ext.TuningCallback("val_loss", restore_best=True), [math.nan, math.nan])
    assert same_state(get_state(model), says.states[1])


def test_the_last_two_and_the_best_are_kept(model, tmp_path):
    callback = kt_ext.TuningCallback("val_loss", directory=tmp_path)
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(CheckpointStore(tmp_path).epochs())

    says = Says([3.0, 1.0, 2.0, 2.0, 2.0, 0.5])
    model.fit(X, Y, epochs=6, verbose=0, callbacks=[says, Look(), callback])
    assert seen == [[], [1], [1, 2], [2, 3], [2, 3, 4], [2, 4, 5]]
    assert CheckpointStore(tmp_path).epochs() == [5, 6]
    assert same_state(CheckpointStore(tmp_path).load(6).state, says.states[5])


def test_report(model, tmp_path):
    """Every epoch that has the objective is reported, its checkpoint being safe, until the answer is True."""
    reported = []

    def report(epochs, logs):
        reported.append((epochs, logs["val_loss"], CheckpointStore(tmp_path).epochs()[-1]))
        return epochs == 4

    callback = kt_ext.TuningCallback("val_loss", directory=tmp_path, report=report)
    fit(model, callback, [3.0, None, 2.0, 5.0, 1.0])
    assert reported == [(1, 3.0, 1), (3, 2.0, 3), (4, 5.0, 4)]
    assert callback.stopped == "report"
    assert (callback.epochs_done, callback.best_epoch) == (4, 3)


def test_objective_may_be_a_function(model):
    callback = kt_ext.TuningCallback(lambda logs: abs(logs["val_loss"] - 2.0), patience=2)
    fit(model, callback, [0.0, 1.9, 4.0, 2.5, 2.0])
    assert (callback.epochs_done, callback.best_epoch) == (4, 2)


def test_report_and_logs_are_plain_numbers(model):
    seen = {}
    callback = kt_ext.TuningCallback("loss", report=lambda epochs, logs: bool(seen.update(logs)))
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[callback])
    assert {type(value) for value in seen.values()} == {float}


# Going on


def plateau():
    return keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=2, min_delta=0.5)


def train(directory, stop_after=None, epochs=6):
    """Train up to ``epochs`` in all, or die after ``stop_after``; returns callback and state."""
    model = build()
    beside = plateau()

    def die(done, logs):
        if done == stop_after:
            raise KeyboardInterrupt
        return False

    callback = kt_ext.TuningCallback("val_loss", directory=directory, beside=[beside], report=die, patience=6)
    done = callback.restore(model)
    model.fit(
        X, Y, epochs=epochs, initial_epoch=done, validation_data=(X, Y), shuffle=False, verbose=0,
        callbacks=[beside, callback],
    )  # fmt: skip
    return callback, get_state(model)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return train(tmp_path_factory.mktemp("unbroken"))


@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_going_on_after_an_interruption(unbroken, tmp_path, epoch):
    """Dropout, Adam's moments, the plateau's counters and our own: all go on as if nothing had happened."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop_after=epoch)
    callback, state = train(tmp_path)
    expected, expected_state = unbroken
    assert len(callback.logs) == 6
    for mine, theirs in zip(callback.logs, expected.logs, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-6)
    assert len({logs["learning_rate"] for logs in callback.logs}) > 1  # the plateau had something to do
    assert (callback.best, callback.best_epoch) == (pytest.approx(expected.best, rel=1e-6), expected.best_epoch)
    for name in state:
        np.testing.assert_allclose(state[name], expected_state[name], rtol=1e-5, atol=1e-6)


def test_patience_counts_on(model, tmp_path):
    first = kt_ext.TuningCallback("val_loss", directory=tmp_path, patience=3)
    fit(model, first, [1.0, 2.0, 2.0])
    second = kt_ext.TuningCallback("val_loss", directory=tmp_path, patience=3)
    assert second.restore(model) == 3
    fit(model, second, [1.0, 2.0, 2.0, 2.0, 2.0], initial_epoch=3)
    assert (second.epochs_done, second.best_epoch, second.stopped) == (4, 1, "patience")


def test_best_of_an_earlier_session_is_put_back(model, tmp_path):
    says = fit(model, kt_ext.TuningCallback("val_loss", directory=tmp_path), [1.0, 2.0, 2.0])
    second = kt_ext.TuningCallback("val_loss", directory=tmp_path, restore_best=True)
    done = second.restore(model)
    fit(model, second, [1.0, 2.0, 2.0, 2.0], initial_epoch=done)
    assert same_state(get_state(model), says.states[0])


def test_a_training_that_is_complete(tmp_path):
    _, state = train(tmp_path, epochs=2)
    again, state_again = train(tmp_path, epochs=2)
    assert again.epochs_done == 2 and same_state(state, state_again)


def test_restore_at_most(model, tmp_path):
    says = fit(model, kt_ext.TuningCallback("val_loss", directory=tmp_path), [3.0, 2.0, 1.0])
    callback = kt_ext.TuningCallback("val_loss", directory=tmp_path)
    assert callback.restore(model, at_most=2) == 2
    assert same_state(get_state(model), says.states[1])
    assert (callback.epochs_done, callback.best, len(callback.logs)) == (2, 2.0, 2)


def test_restore_without_a_checkpoint(model, tmp_path):
    assert kt_ext.TuningCallback("val_loss", directory=tmp_path).restore(model) == 0
    assert kt_ext.TuningCallback("val_loss").restore(model) == 0


def test_initial_epoch_forgotten(model, tmp_path):
    fit(model, kt_ext.TuningCallback("val_loss", directory=tmp_path), [3.0, 2.0])
    callback = kt_ext.TuningCallback("val_loss", directory=tmp_path)
    callback.restore(model)
    with pytest.raises(EpochOutOfOrder, match=r"initial_epoch=0: must be 2, .*pass initial_epoch on"):
        fit(model, callback, [3.0, 2.0, 1.0])


def test_changed_settings_of_a_callback_hold(model, tmp_path):
    """Counters are restored; what the user sets otherwise when going on is not."""
    first = keras.callbacks.EarlyStopping("val_loss", patience=3)
    callback = kt_ext.TuningCallback("val_loss", directory=tmp_path, beside=[first])
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[Says([1.0, 2.0, 2.0]), first, callback])
    second = keras.callbacks.EarlyStopping("val_loss", patience=5)
    callback = kt_ext.TuningCallback("val_loss", directory=tmp_path, beside=[second])
    done = callback.restore(model)
    model.fit(
        X, Y, epochs=9, initial_epoch=done, verbose=0, callbacks=[Says([1.0] + 8 * [2.0]), second, callback]
    )  # fmt: skip
    assert (second.patience, second.wait, callback.epochs_done) == (5, 5, 6)


def test_a_model_without_an_input_shape(tmp_path):
    def build_later():
        keras.utils.set_random_seed(5)
        model = keras.Sequential([keras.layers.Dense(2), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    first = build_later()
    first.fit(X, Y, verbose=0, callbacks=[kt_ext.TuningCallback("loss", directory=tmp_path)])
    second = build_later()
    assert kt_ext.TuningCallback("loss", directory=tmp_path).restore(second) == 1
    assert same_state(get_state(second), get_state(first))


CRASH = """
import os, sys
sys.path[:0] = sys.argv[3:]
import training.test_callback as t

directory, stop_after = sys.argv[1], int(sys.argv[2])
if stop_after:
    def report(done, logs):
        if done == stop_after:
            os._exit(9)  # no clean-up whatever
        return False
    model, beside = t.build(), t.plateau()
    callback = t.kt_ext.TuningCallback("val_loss", directory=directory, beside=[beside], report=report, patience=6)
    model.fit(t.X, t.Y, epochs=6, validation_data=(t.X, t.Y), shuffle=False, verbose=0, callbacks=[beside, callback])
callback, _ = t.train(directory)
print(callback.logs[-1]["val_loss"].hex())
"""


@pytest.mark.slow
def test_going_on_after_a_crash(unbroken, tmp_path):
    tests = Path(__file__).parents[1]
    paths = [str(tests), str(tests.parent)]
    command = [sys.executable, "-c", CRASH, str(tmp_path)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    assert subprocess.run([*command, "3", *paths], env=environment, check=False).returncode == 9
    assert CheckpointStore(tmp_path).epochs()[-1] == 3
    done = subprocess.run([*command, "0", *paths], env=environment, check=True, capture_output=True, text=True)
    expected = unbroken[0].logs[-1]["val_loss"]
    assert float.fromhex(done.stdout.splitlines()[-1]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.tensorflow
def test_tf_data(tmp_path):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16).repeat()
    callback = kt_ext.TuningCallback("loss", patience=50, restore_best=True, directory=tmp_path)
    model = build()
    model.fit(dataset, epochs=3, steps_per_epoch=2, verbose=0, callbacks=[callback])
    assert callback.epochs_done == 3
    assert CheckpointStore(tmp_path).epochs()[-1] == 3


def test_a_worker_that_lost_its_trial_leaves_the_checkpoints_of_who_is_further_on(tmp_path: Path) -> None:
    ahead = CheckpointStore(tmp_path)
    for epoch in (8, 9):
        ahead.save(epoch, {"weight": np.zeros(1, "float32")}, {"logs": []})
    model = build()
    callback = kt_ext.TuningCallback("val_loss", directory=str(tmp_path))
    callback.save(model, 5)
    assert CheckpointStore(tmp_path).epochs() == [5, 8, 9]
