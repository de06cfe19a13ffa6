"""Folds of x and y: everybody is held out once, classes are divided evenly, the same in every process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kt_ext.training.folds import check_folds, fold_arguments, fold_of_samples

X = np.arange(40.0).reshape(20, 2)
Y = np.array([0] * 12 + [1] * 5 + [2] * 3)


def test_sizes_differ_by_one_at_most_and_the_seed_decides():
    fold = fold_of_samples(23, 5, seed=3)
    assert sorted(np.bincount(fold)) == [4, 4, 5, 5, 5]
    assert fold.tolist() == fold_of_samples(23, 5, seed=3).tolist()
    assert fold.tolist() != fold_of_samples(23, 5, seed=4).tolist()
    assert fold_of_samples(6, 3, seed=0).tolist() == [2, 0, 1, 1, 2, 0]


def test_classes_are_divided_evenly():
    for seed in range(10):
        fold = fold_of_samples(20, 4, seed, Y)
        assert np.bincount(fold).tolist() == [5, 5, 5, 5]
        for label, count in ((0, 12), (1, 5), (2, 3)):
            sizes = np.bincount(fold[label == Y], minlength=4)
            assert sizes.sum() == count and sizes.max() - sizes.min() <= 1


def held_out(fold: int, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    args, kwargs = fold_arguments(args, kwargs, fold=fold, folds=4, seed=1)
    return args, kwargs


def test_every_sample_is_held_out_once_and_trained_on_otherwise():
    seen = []
    for fold in range(4):
        (x, y), kwargs = held_out(fold, X, Y, batch_size=5)
        x_out, y_out = kwargs["validation_data"]
        assert kwargs["batch_size"] == 5
        assert len(x) == len(y) == 15 and len(x_out) == len(y_out) == 5
        assert sorted(np.concatenate([x[:, 0], x_out[:, 0]])) == X[:, 0].tolist()
        assert all(Y[int(row[0]) // 2] == label for row, label in zip(x, y, strict=True))
        assert np.bincount(y_out, minlength=3)[0] == 3  # stratified
        seen += x_out[:, 0].tolist()
    assert sorted(seen) == X[:, 0].tolist()


def test_by_name_with_weights_and_nests():
    weights = np.arange(20.0)
    args, kwargs = held_out(2, x={"a": X, "b": X + 1}, y=Y[:, np.newaxis], sample_weight=weights)
    assert args == ()
    x_out, y_out, w_out = kwargs["validation_data"]
    assert (x_out["a"][:, 0] == 2 * w_out).all() and (x_out["b"] == x_out["a"] + 1).all()
    assert (kwargs["x"]["a"][:, 0] == 2 * kwargs["sample_weight"]).all()
    assert y_out.shape == (5, 1) and np.bincount(y_out[:, 0], minlength=3)[0] == 3


def test_floats_are_not_stratified():
    _, kwargs = held_out(0, X, np.arange(20.0))
    expected = np.flatnonzero(fold_of_samples(20, 4, 1) == 0)
    assert kwargs["validation_data"][1].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "message"),
    [
        ((X, Y), {"validation_data": (X, Y)}, ValueError, "validation_data: must not be given with instances='folds'"),
        ((X, Y), {"validation_split": 0.2}, ValueError, "validation_split: must not be given"),
        ((X,), {}, ValueError, "x, y: must be given with instances='folds', as arrays"),
        ((iter([X]), Y), {}, TypeError, "x of type list_iterator: must be an array"),
        ((X, Y[:5]), {}, ValueError, r"the same number of samples, not \[5, 20\]"),
        ((X[:3], Y[:3]), {}, ValueError, "3 samples cannot be divided into 4 folds; lower max_instances"),
    ],
)
def test_wrong_data(args, kwargs, error, message):
    with pytest.raises(error, match=message):
        check_folds(args, kwargs, 4)
