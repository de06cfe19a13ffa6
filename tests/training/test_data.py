from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_version import KERAS
from kt_ext.training.arrays import structure
from kt_ext.training.data import ResumableData, resumable_fit_arguments
from kt_ext.training.shuffling import ShuffledBatches

ROOT = Path(__file__).parents[2]
SAMPLES = 23  # batches of 5, 5, 5, 5 and 3
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
LONG_EXECUTION = pytest.mark.skipif(
    ON_TENSORFLOW and KERAS < (3, 7),
    reason="Keras before 3.7 cannot fit with more steps_per_execution than an epoch has",
)

x = np.arange(SAMPLES * 2, dtype="float32").reshape(SAMPLES, 2)
y = np.arange(SAMPLES)


def resumable(*args: Any, seed: int = 7, first: int = 0, last: int = 9, spe: int = 1, **kwargs: Any):
    return resumable_fit_arguments(args, kwargs, seed=seed, initial_epoch=first, epochs=last, steps_per_execution=spe)


def batches(args: tuple, kwargs: dict) -> list:
    """All batches of a dataset, as numpy."""
    return [keras.tree.map_structure(keras.ops.convert_to_numpy, batch) for batch in args[0]]


def validation_arrays(fit: dict) -> list[np.ndarray]:
    """The validation data as whole arrays: on TensorFlow they are a dataset of batches."""
    if not ON_TENSORFLOW:
        return [np.asarray(array) for array in fit["validation_data"]]
    return [np.concatenate(parts) for parts in zip(*fit["validation_data"].as_numpy_iterator(), strict=True)]


def validation_batch_sizes(fit: dict) -> list[int]:
    return [len(batch[1]) for batch in fit["validation_data"].as_numpy_iterator()]


def orders(*args: Any, **kwargs: Any) -> list[list[list[int]]]:
    """For each epoch its batches, each as the targets in it; the targets are the numbers of the samples."""
    args, fit = resumable(*args, **kwargs)
    targets = [batch[1].tolist() for batch in batches(args, fit)]
    steps = fit["steps_per_epoch"]
    assert len(targets) == steps * (fit["epochs"] - fit["initial_epoch"])
    return [targets[start : start + steps] for start in range(0, len(targets), steps)]


TENSORFLOW_7_0_AND_7_5 = [
    [22, 9, 2, 15, 19, 14, 12, 5, 1, 18, 3, 6, 11, 16, 4, 20, 8, 10, 7, 17, 21, 13, 0],
    [8, 20, 14, 16, 4, 6, 19, 17, 12, 1, 9, 10, 2, 3, 11, 0, 5, 18, 13, 7, 22, 21, 15],
]


class Recorder(keras.Model):
    """Trains nothing, and records the targets that each step really got."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = self.add_weight(shape=(4000,), initializer="zeros", trainable=False, name="seen")
        self.count = self.add_weight(shape=(), initializer="zeros", dtype="int32", trainable=False, name="count")
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, inputs):
        return inputs[:, :1] * self.scale

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        size = keras.ops.shape(y)[0]
        values = keras.ops.concatenate([keras.ops.cast(y, "float32"), keras.ops.full((1,), -1.0)])
        self.seen.assign(keras.ops.slice_update(self.seen.value, (self.count.value,), values))
        self.count.assign(self.count.value + size + 1)
        return keras.ops.mean(y_pred) * 0.0

    def recorded(self) -> list[list[int]]:
        flat = keras.ops.convert_to_numpy(self.seen.value)[: int(self.count.value)].astype(int).tolist()
        return [list(group) for end, group in itertools.groupby(flat, lambda value: value == -1) if not end]


def recorder(**compile_arguments: Any) -> Recorder:
    model = Recorder()
    model.compile("sgd", **compile_arguments)
    return model


def fitted(model: keras.Model, *args: Any, **kwargs: Any) -> keras.callbacks.History:
    args, kwargs = resumable(*args, **kwargs)
    return model.fit(*args, **kwargs, verbose=0)


def test_nine_epochs_are_three_and_six():
    whole = orders(x, y, batch_size=5)
    assert orders(x, y, batch_size=5, last=3) + orders(x, y, batch_size=5, first=3) == whole
    assert orders(x, y, batch_size=5, first=8) == whole[8:]


def test_every_sample_once_per_epoch_and_the_last_batch_is_smaller():
    for epoch in orders(x, y, batch_size=5):
        assert [len(batch) for batch in epoch] == [5, 5, 5, 5, 3]
        assert sorted(itertools.chain(*epoch)) == y.tolist()


@pytest.mark.parametrize("batch_size", [1, 22, 23, 24, None])
def test_any_batch_size(batch_size):
    for epoch in orders(x, y, batch_size=batch_size, last=2):
        assert [len(batch) for batch in epoch] == {1: [1] * 23, 22: [22, 1]}.get(batch_size, [23])
        assert sorted(itertools.chain(*epoch)) == y.tolist()


def test_each_epoch_and_each_seed_has_its_own_order():
    seen = [str(epoch) for seed in (0, 1, 2**63 - 1) for epoch in orders(x, y, batch_size=5, seed=seed)]
    assert len(set(seen)) == 3 * 9
    assert orders(x, y, seed=0) == orders(x, y, seed=0)


def test_the_order_is_this_one_on_every_run():
    """The promise of resuming in another process, next week: other numbers here break every search on a disk."""
    expected = {
        True: TENSORFLOW_7_0_AND_7_5,
        False: [np.random.default_rng([7, epoch]).permutation(SAMPLES).tolist() for epoch in (0, 5)],
    }[ON_TENSORFLOW]
    assert [orders(x, y, first=epoch, last=epoch + 1) for epoch in (0, 5)] == [[[one]] for one in expected]


def test_rows_stay_together():
    fit = resumable(x, y, sample_weight=y / 2, batch_size=5, last=2)
    for inputs, targets, weights in batches(*fit):
        assert inputs.tolist() == x[targets].tolist()
        assert weights.dtype == np.float32
        assert weights.tolist() == (targets / 2).tolist()


@pytest.mark.parametrize("spe", [1, 2, 5, pytest.param(32, marks=LONG_EXECUTION)])
def test_training_sees_this_order_in_one_fit_or_two(spe):
    model = recorder(steps_per_execution=spe)
    fitted(model, x, y, batch_size=5, last=4, spe=spe)
    whole = model.recorded()
    assert [len(batch) for batch in whole] == [5, 5, 5, 5, 3] * 4
    assert all(sorted(itertools.chain(*whole[at : at + 5])) == y.tolist() for at in range(0, 20, 5))
    assert len({str(whole[at : at + 5]) for at in range(0, 20, 5)}) == 4

    resumed = recorder(steps_per_execution=spe)
    fitted(resumed, x, y, batch_size=5, last=1, spe=spe)
    fitted(resumed, x, y, batch_size=5, first=1, last=4, spe=spe)
    assert resumed.recorded() == whole
    if spe in (1, 5):
        assert [whole[at : at + 5] for at in range(0, 20, 5)] == orders(x, y, batch_size=5, last=4)


@pytest.mark.parametrize("given", [None, [], keras.callbacks.Callback(), [keras.callbacks.Callback()]])
def test_callbacks_of_the_user_stay_where_one_is_added(given):
    _, fit = resumable(x, y, batch_size=5, callbacks=given, spe=2)
    assert fit["callbacks"][:-1] == ([given] if isinstance(given, keras.callbacks.Callback) else given or [])
    assert "steps_per_epoch" not in fit
    assert resumable(x, y, batch_size=5, callbacks=given)[1]["callbacks"] is given


def test_a_callback_list_of_the_user_is_extended():
    _, fit = resumable(x, y, batch_size=5, callbacks=keras.callbacks.CallbackList([]), spe=2)
    assert [type(callback) for callback in fit["callbacks"].callbacks] == [keras.callbacks.LambdaCallback]


NESTS = {
    "dict": lambda: ({"a": x, "b": {"c": x[:, 0]}}, {"out": y}),
    "list": lambda: ([x, x[:, :1]], [y, y]),
    "tuple": lambda: ((x, x[:, :1]), (y, [y])),
    "backend tensors": lambda: (keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)),
    "no targets": lambda: (x, None),
    "one input in a list": lambda: ([x], None),
}


@pytest.mark.parametrize("nest", NESTS)
def test_nests_keep_their_structure(nest):
    inputs, targets = NESTS[nest]()
    whole = batches(*resumable(inputs, targets, batch_size=5, last=1))
    given = (inputs,) if targets is None else (inputs, targets)
    assert structure(whole[0]) == structure(keras.tree.lists_to_tuples(given))
    rows = np.concatenate([keras.tree.flatten(batch)[0][:, 0] for batch in whole]).astype(int) // 2
    assert sorted(rows) == y.tolist()
    for at, leaf in enumerate(keras.tree.flatten(given)):
        got = np.concatenate([keras.tree.flatten(batch)[at] for batch in whole])
        assert np.array_equal(got, keras.ops.convert_to_numpy(leaf)[rows])


@pytest.mark.parametrize("frame", ["DataFrame", "Series"])
def test_pandas_as_keras_takes_it(frame):
    pandas = pytest.importorskip("pandas")
    inputs, targets = pandas.DataFrame({"a": x[:, 0].astype("float64"), "b": y}), pandas.Series(y, index=y + 100)
    given = inputs if frame == "DataFrame" else inputs["a"]
    first, columns = batches(*resumable(given, targets, validation_split=0.1, last=1))[0]
    assert first.dtype == np.float32 and columns.shape == (20, 1)
    assert first.shape == ((20, 2) if frame == "DataFrame" else (20, 1))
    assert first[:, 0].tolist() == x[columns[:, 0], 0].tolist()


@pytest.mark.parametrize("dtype", ["float16", "float64", "float32", "int8", "uint8", "bool"])
def test_floats_become_floatx_and_others_stay(dtype):
    got = batches(*resumable(x.astype(dtype), y, last=1))[0][0]
    assert got.dtype == ("float32" if dtype.startswith("float") else dtype)


@pytest.mark.tensorflow
def test_text_comes_through():
    import tensorflow as tf

    texts = np.array([f"t{number}" for number in y], object)
    args, _ = resumable(texts, y, batch_size=5, last=1)
    for inputs, targets in args[0]:
        assert inputs.dtype == tf.string
        assert inputs.numpy().tolist() == [f"t{number}".encode() for number in targets.numpy()]


@pytest.mark.parametrize("split", [0.1, 0.25, 1 / 3, 0.5, 0.9])
def test_validation_split_is_that_of_keras(split):
    """Seen through the number of samples that an unshuffled Keras validates, and the targets that it trains on."""
    plain = recorder()
    plain.fit(x, y, batch_size=5, validation_split=split, shuffle=False, epochs=1, verbose=0)
    seen = list(itertools.chain(*plain.recorded()))  # first the batches to train on, then those to validate on
    _, fit = resumable(x, y, sample_weight=y * 1.0, batch_size=5, validation_split=split, last=1)
    args, without = resumable(x, y, batch_size=5, validation_split=split, last=1)
    training = sorted(itertools.chain(*(batch[1].tolist() for batch in batches(args, without))))
    inputs, targets = validation_arrays(without)
    validation = targets.tolist()
    assert training + validation == y.tolist()
    assert [sorted(seen[: len(training)]), seen[len(training) :]] == [training, validation]
    assert inputs.tolist() == x[validation].tolist()
    assert validation_arrays(fit)[2].tolist() == validation
    assert "validation_split" not in fit


def test_validation_data_of_the_user_win_over_a_split():
    data = (x, y)
    args, fit = resumable(x, y, validation_split=0.5, validation_data=data, last=1)
    assert [array.tolist() for array in validation_arrays(fit)] == [x.tolist(), y.tolist()]
    assert len(batches(args, fit)[0][1]) == SAMPLES


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"batch_size": 5}, 5),
        ({"batch_size": 5, "validation_batch_size": 3}, 3),
        ({"validation_batch_size": 3}, 3),
        ({}, None),
    ],
)
def test_validation_batch_size_stays_what_it_was(given, expected):
    _, fit = resumable(x, y, validation_data=(x, y), **given)
    if ON_TENSORFLOW:
        size = expected or 32
        assert validation_batch_sizes(fit) == [size] * (SAMPLES // size) + [SAMPLES % size]
        assert "validation_batch_size" not in fit
    else:
        assert fit.get("validation_batch_size") == expected
    assert "batch_size" not in fit


@pytest.mark.parametrize("targets", [y % 3, (y % 3)[:, None], np.eye(3)[y % 3], (y % 3).astype("float64")])
def test_class_weight_becomes_the_weights_that_keras_makes(targets):
    args, fit = resumable(x, targets, class_weight={0: 0.5, 2: 4.0}, batch_size=5, last=1)
    assert "class_weight" not in fit
    for inputs, _, weights in batches(args, fit):
        numbers = (inputs[:, 0] / 2).astype(int) % 3
        assert weights.dtype == np.float32
        assert weights.tolist() == [[0.5, 1.0, 4.0][number] for number in numbers]


def test_one_weight_per_sample_serves_all_outputs():
    for _, targets, weights in batches(*resumable(x, {"a": y, "b": y}, sample_weight=y * 1.0, batch_size=5, last=1)):
        assert weights["a"].tolist() == weights["b"].tolist() == targets["a"].tolist()


def dataset_of_the_user() -> Any:
    if ON_TENSORFLOW:
        import tensorflow as tf

        return tf.data.Dataset.from_tensors((x, y))
    return (batch for batch in [(x, y)])


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return x, y


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {"x": dataset_of_the_user()}),
        ((Batches(),), {}),
        (((batch for batch in [(x, y)]),), {"steps_per_epoch": 1}),
        ((x, y), {"shuffle": False}),
        ((x, y), {"shuffle": "batch"}),
        ((x, y), {"steps_per_epoch": 2}),
        # what Keras refuses, with its own words
        ((x, y[:-1]), {}),
        ((x, y), {"validation_split": 0.999}),
        ((x, y), {"validation_split": 1.0}),
        ((x, y), {"validation_split": -0.5}),
        ((x, y), {"class_weight": {0: 1.0}, "sample_weight": y}),
        ((x, [y, y]), {"class_weight": {0: 1.0}}),
        ((x, {"a": y, "b": y}), {"sample_weight": {"a": y}}),
        ((x, [y, y]), {"sample_weight": x}),
        ((x[:0], y[:0]), {}),
        (("text",), {}),
        (([[1.0, 2.0]], y), {}),
        (({"a": x, "b": None}, y), {}),
        ((), {}),
    ],
)
def test_everything_else_is_handed_on(args, kwargs):
    got, fit = resumable(*args, **kwargs, first=2, last=5, batch_size=4)
    names = ("x", "y")
    given = {**dict(zip(names, args, strict=False)), **kwargs, "batch_size": 4, "initial_epoch": 2, "epochs": 5}
    assert got == ((given.pop("x"),) if "x" in given else ()) or got[0] is args[0]
    given.pop("x", None)
    assert fit.keys() == given.keys()
    assert all(fit[name] is given[name] or fit[name] == given[name] for name in given)


def test_sparse_and_ragged_are_handed_on():
    sparse = pytest.importorskip("scipy.sparse").csr_matrix(x)
    assert resumable(sparse, y)[0][0] is sparse
    if ON_TENSORFLOW:
        import tensorflow as tf

        for given in (tf.sparse.from_dense(x), tf.ragged.constant([[1.0]] * SAMPLES)):
            assert resumable(given, y)[0][0] is given
    else:
        sparse = pytest.importorskip("jax.experimental.sparse").BCOO.fromdense(x)
        assert resumable(sparse, y)[0][0] is sparse


def test_no_epoch_left_changes_nothing():
    args, fit = resumable(x, y, first=4, last=4)
    assert args[0] is x
    assert fit == {"y": y, "initial_epoch": 4, "epochs": 4}


def test_positions_are_those_of_fit():
    callback = keras.callbacks.Callback()
    args, fit = resumable(x, y, 5, 99, 2, [callback], 0.0, (x, y), True, None, None, 98, None, 1, 3, 2)
    assert isinstance(args[0], ShuffledBatches) != ON_TENSORFLOW
    expected = {
        **{"epochs": 9, "verbose": 2, "callbacks": [callback], "shuffle": False, "initial_epoch": 0},
        **{"steps_per_epoch": 5, "validation_steps": 1, "validation_batch_size": 3, "validation_freq": 2},
    }
    assert fit.pop("validation_data")[0] is x
    assert fit == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**63}, "seed=9223372036854775808"),
        ({"first": -1}, "initial_epoch=-1"),
        ({"first": 10}, "initial_epoch=10: must be from 0 to epochs=9"),
        ({"spe": 0}, "steps_per_execution=0"),
    ],
)
def test_what_is_out_of_range_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        resumable(x, y, **changes)


def test_arguments_that_fit_would_refuse_are_refused():
    with pytest.raises(TypeError, match=r"\['y'\] both by position and by name"):
        resumable_fit_arguments((x, y), {"y": y}, seed=0, initial_epoch=0, epochs=1)
    with pytest.raises(TypeError, match="at most 16 positional arguments, 17 were given"):
        resumable_fit_arguments((None,) * 17, {}, seed=0, initial_epoch=0, epochs=1)


def linear_model() -> keras.Model:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(1e-5, momentum=0.9), "mse", weighted_metrics=["mae"])
    return model


@pytest.mark.parametrize("extra", [{}, {"sample_weight": y / 10}, {"class_weight": {3: 5.0, 4: 0.1}}])
def test_losses_are_those_of_keras_on_the_permuted_arrays(extra):
    got = fitted(linear_model(), x, y, batch_size=5, last=3, validation_split=0.2, **extra).history
    model, expected = linear_model(), []
    for epoch in orders(x, y, batch_size=5, last=3, validation_split=0.2):
        order = list(itertools.chain(*epoch))
        given = {name: value[order] if name == "sample_weight" else value for name, value in extra.items()}
        val = tuple(array[18:] for array in (x, y, *([extra["sample_weight"]] if "sample_weight" in extra else [])))
        logs = model.fit(x[order], y[order], batch_size=5, shuffle=False, verbose=0, validation_data=val, **given)
        expected.append({name: values[0] for name, values in logs.history.items()})
    assert set(got) == {"loss", "mae", "val_loss", "val_mae"}
    for name, values in got.items():
        np.testing.assert_allclose(values, [logs[name] for logs in expected], rtol=1e-5)


def test_the_same_arrays_are_converted_once(monkeypatch):
    from kt_ext.training import data

    converted = []
    for name in ("to_numpy", "to_tensor"):
        convert = getattr(data, name)
        monkeypatch.setattr(data, name, lambda leaf, convert=convert: converted.append(leaf) or convert(leaf))

    resumable_data, doubles = ResumableData(), x.astype("float64")

    def orders_of(*args: Any, first: int = 0, last: int = 2, seed: int = 7, **kwargs: Any) -> list:
        args, fit = resumable_data.fit_arguments(args, kwargs, seed=seed, initial_epoch=first, epochs=last)
        return [batch[1].tolist() for batch in batches(args, fit)]

    whole = orders_of(doubles, y, batch_size=5)
    assert whole[:5] == orders_of(doubles, y, batch_size=5, last=1)
    assert whole[5:] == orders_of(doubles, y, batch_size=5, first=1)
    assert [len(batch) for batch in orders_of(doubles, y, batch_size=7, last=1)] == [7, 7, 7, 2]
    assert orders_of(doubles, y, batch_size=5, seed=8) != whole
    assert len(converted) == 2

    assert len(orders_of(doubles, y, batch_size=5, validation_split=0.5)) == 6
    held_out = 2 if ON_TENSORFLOW else 0
    assert len(converted) == 4 + held_out
    assert orders_of(doubles.copy(), y + 1, batch_size=5, last=1) == [[n + 1 for n in batch] for batch in whole[:5]]
    assert len(converted) == 6 + held_out
    weighted = {0: 2.0}
    orders_of(doubles, y, class_weight=weighted)
    before = len(converted)
    weighted[0] = 3.0
    orders_of(doubles, y, class_weight=weighted)
    assert len(converted) == before + 3


DISTRIBUTED = """
import keras, numpy as np, tensorflow as tf
from kt_ext.training.data import resumable_fit_arguments

devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
x = np.arange(46, dtype="float32").reshape(23, 2)
y = np.arange(23)

def model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(1e-5, momentum=0.9), "mse")
    return model

def resumable(first, last):
    fit = dict(batch_size=6, validation_data=(x, y), verbose=0)
    return resumable_fit_arguments((x, y), fit, seed=7, initial_epoch=first, epochs=last)

def losses(history):
    return list(zip(history.history["loss"], history.history["val_loss"]))

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
    plain, resumed = model(), model()

expected = []
for epoch in range(3):
    args, _ = resumable(epoch, epoch + 1)
    order = np.concatenate([targets for _, targets in args[0]])
    history = plain.fit(x[order], y[order], batch_size=6, shuffle=False, validation_data=(x, y), verbose=0)
    expected += losses(history)

def ours(model, first, last):
    args, kwargs = resumable(first, last)
    return losses(model.fit(*args, **kwargs))

np.testing.assert_allclose(ours(resumed, 0, 1) + ours(resumed, 1, 3), expected, rtol=1e-5)
print("same", len(set(expected)))
"""


@pytest.mark.tensorflow
@pytest.mark.nightly
def test_two_replicas_have_the_losses_of_keras_in_the_same_order():
    """Not with several steps per execution: on two replicas Keras 3.15 itself fails then."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run([sys.executable, "-c", DISTRIBUTED], capture_output=True, text=True, env=environment)
    assert done.stdout == "same 3\n", done.stderr


@pytest.mark.tensorflow
def test_validation_data_are_converted_once_for_all_fits():
    data = ResumableData()
    fits = [
        data.fit_arguments((x, y), given, seed=s, initial_epoch=0, epochs=1)[1] for given in ARGUMENTS for s in (1, 2)
    ]
    first, again, other, other_again = (fit["validation_data"] for fit in fits)
    assert first is again
    assert other is other_again
    assert first is not other


ARGUMENTS = ({"validation_data": (x, y)}, {"validation_split": 0.5})


@pytest.mark.tensorflow
@pytest.mark.parametrize("given", [{"validation_steps": 1}, {"validation_data": None}])
def test_other_validation_data_stay_as_they_are(given):
    fit = {"validation_data": (x, y), **given}
    assert resumable(x, y, **fit)[1]["validation_data"] is fit["validation_data"]
