"""Fewer examples and lower resolution: which rows are kept, what is resized, what stays as it was."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from kt_ext.training.subset import drawn, fewer, smaller, smaller_shape

N = 40
X = np.arange(N * 2, dtype="float32").reshape(N, 2)
Y = np.repeat([0, 1, 2, 3], [20, 12, 6, 2])
XV, YV = np.zeros((3, 2)), np.zeros(3)


def rows_of(x: np.ndarray) -> np.ndarray:
    return (x[:, 0] / 2).astype(int)


@pytest.mark.parametrize("seed", range(20))
def test_each_class_keeps_its_share(seed: int) -> None:
    (x, y), kwargs = fewer((X, Y), {"validation_data": (XV, YV), "epochs": 3}, 0.5, seed)
    kept = rows_of(x)
    assert (np.diff(kept) > 0).all()
    assert (y == Y[kept]).all()
    assert np.bincount(y).tolist() == [10, 6, 3, 1]
    assert kwargs["epochs"] == 3
    assert kwargs["validation_data"][0] is XV


def test_same_examples_for_the_same_seed_by_position_or_name() -> None:
    (first, _), _ = fewer((X, Y), {}, 0.3, 7)
    args, kwargs = fewer((), {"x": X, "y": Y}, 0.3, 7)
    assert args == ()
    assert (kwargs["x"] == first).all()
    assert len(first) == 12
    others = {tuple(rows_of(fewer((X, Y), {}, 0.3, seed)[0][0])) for seed in range(10)}
    assert len(others) == 10


def test_every_example_has_the_same_chance() -> None:
    counts = sum(np.bincount(drawn(20, 0.25, seed), minlength=20) for seed in range(2000))
    assert counts.sum() == 2000 * 5
    assert np.abs(counts - 500).max() < 5 * np.sqrt(500 * 0.75)


def test_nests_and_weights_are_cut_alike() -> None:
    x = {"a": X, "b": [X[:, :1], (X[:, 1:],)]}
    (cut,), kwargs = fewer((x,), {"y": (X[:, 0], Y), "sample_weight": np.arange(N)}, 0.25, 0)
    kept = rows_of(cut["a"])
    assert len(kept) == 10
    assert (cut["b"][1][0] == X[kept, 1:]).all()
    assert (kwargs["y"][1] == Y[kept]).all()
    assert (kwargs["sample_weight"] == kept).all()


def test_what_validation_split_holds_out_stays() -> None:
    (x, y), kwargs = fewer((X, Y), {"validation_split": 0.25, "sample_weight": np.arange(N)}, 0.5, 0)
    assert len(x) == 15
    assert rows_of(x).max() < 30
    assert (y == Y[rows_of(x)]).all()
    xv, yv, weights = kwargs["validation_data"]
    assert rows_of(xv).tolist() == weights.tolist() == list(range(30, 40))
    assert (yv == Y[30:]).all()
    assert kwargs["validation_split"] == 0.0


def test_one_example_is_left_and_a_share_of_one_changes_nothing() -> None:
    (x, _), _ = fewer((X, Y), {}, 1e-6, 0)
    assert len(x) == 1
    (same, _), _ = fewer((X, Y), {}, 1, 0)
    assert same is X


def test_images_and_validation_images_are_resized() -> None:
    ramp = np.tile(np.arange(8, dtype="uint8")[:, None, None], (1, 8, 1))
    images = np.stack([ramp, ramp + 100])
    args, kwargs = smaller((images, [0, 1]), {"validation_data": (images[:1], [0], [1.0])}, 0.5)
    assert args[0].shape == (2, 4, 4, 1)
    assert args[0].dtype == np.float32
    assert args[1] == [0, 1]
    # halved with antialiasing, in the middle each row is the mean of its neighbours
    assert np.allclose(args[0][0, 1:3, 0, 0], [2.5, 4.5])
    assert np.allclose(args[0][1], args[0][0] + 100, atol=1e-3)
    xv, yv, weights = kwargs["validation_data"]
    assert np.allclose(xv, args[0][:1], atol=1e-4)
    assert (yv, weights) == ([0], [1.0])


def test_series_in_a_nest_and_more_than_are_resized_at_once() -> None:
    series = np.random.default_rng(0).normal(size=(2050, 9, 3))
    _, kwargs = smaller((), {"x": {"s": series}, "validation_split": 0.1}, 1 / 3)
    assert kwargs["x"]["s"].shape == (2050, 3, 3)
    assert kwargs["validation_split"] == 0.1
    alone = smaller((series[-1:],), {}, 1 / 3)[0][0]
    assert np.allclose(kwargs["x"]["s"][-1:], alone, atol=1e-6)


def test_smaller_shape() -> None:
    assert smaller_shape((32, 24, 3), 0.5) == (16, 12, 3)
    assert smaller_shape((100, 6), 0.25) == (25, 6)
    assert smaller_shape((2, 2, 1), 0.1) == (1, 1, 1)
    assert smaller_shape((20,), 1.0) == (20,)


class Batches(keras.utils.PyDataset):
    def __getitem__(self, index: int) -> Any:
        return X, Y

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fewer((Batches(),), {}, 0.5, 0), "x of type Batches: must be an array"),
        (lambda: fewer(((pair for pair in [(X, Y)]),), {}, 0.5, 0), "x of type generator: must be an array"),
        (lambda: smaller((Batches(),), {}, 0.5), "x of type Batches: must be an array"),
        (
            lambda: smaller((np.zeros((2, 4, 4, 1)),), {"validation_data": Batches()}, 0.5),
            "validation_data of type Batches",
        ),
        (lambda: fewer((X, Y[:5]), {}, 0.5, 0), "same number of examples, not [5, 40]"),
        (lambda: fewer((X, Y), {}, 0.0, 0), "share=0.0: must be in (0, 1]"),
        (lambda: fewer((), {"y": Y}, 0.5, 0), "x: must be given as an array"),
        (lambda: smaller((X,), {}, 0.5), "an example of shape (2,): a lower resolution needs"),
        (lambda: smaller_shape((4, 4, 4, 1), 0.5), "leave resolution at 1"),
    ],
)
def test_what_is_refused(call: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        call()
    assert said in str(raised.value)


@pytest.mark.tensorflow
def test_a_tf_dataset_is_refused_with_the_remedy() -> None:
    import tensorflow as tf

    with pytest.raises(TypeError, match="convert it"):
        fewer((tf.data.Dataset.from_tensor_slices((X, Y)),), {}, 0.5, 0)
