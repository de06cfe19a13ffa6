"""Cross-validation: the arguments of ``fit`` for one fold of its arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kt_ext.training.arrays import is_array

_POSITIONS = ("x", "y")  # the first of keras.Model.fit
_DATA = ("x", "y", "sample_weight")


def fold_of_samples(samples: int, folds: int, seed: int, labels: np.ndarray | None = None) -> np.ndarray:
    """The fold in which each sample is held out, shape (samples,), from 0 to ``folds - 1``.

    Drawn at random; the sizes of the folds differ by one sample at most, and with ``labels`` so does, from fold to
    fold, the number of samples of each class.

    Args:
        samples: how many there are.
        folds: how many folds, >= 2.
        seed: integer >= 0.
        labels: shape (samples,); None does not stratify.
    """
    order = np.random.default_rng([seed, folds]).permutation(samples)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(samples, dtype=int)
    fold[order] = np.arange(samples) % folds
    return fold


def check_folds(args: tuple[Any, ...], kwargs: Mapping[str, Any], folds: int) -> None:
    """Raises ValueError or TypeError unless the arguments of ``fit`` hold arrays that can be divided into ``folds``."""
    for name in ("validation_data", "validation_split"):
        if kwargs.get(name) is not None:
            raise ValueError(
                f"{name}: must not be given with instances='folds', each of which holds out samples of x and y; "
                "leave it out, or use instances='seeds'"
            )
    data = _data(args, kwargs)
    if data.get("x") is None or data.get("y") is None:
        raise ValueError("x, y: must be given with instances='folds', as arrays; or use instances='seeds'")
    for name, value in data.items():
        for leaf in keras.tree.flatten(value):
            if not is_array(leaf):
                raise TypeError(
                    f"{name} of type {type(leaf).__name__}: must be an array or a nest of arrays with "
                    "instances='folds'; convert it, or use instances='seeds'"
                )
    sizes = {int(leaf.shape[0]) for value in data.values() for leaf in keras.tree.flatten(value)}
    if len(sizes) > 1:
        raise ValueError(f"x, y: must have the same number of samples, not {sorted(sizes)}")
    if min(sizes) < folds:
        raise ValueError(f"x, y: {min(sizes)} samples cannot be divided into {folds} folds; lower max_instances")


def fold_arguments(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], *, fold: int, folds: int, seed: int
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of ``fit`` that train on all folds but one and validate on that.

    Integer class numbers as ``y`` are stratified.

    Args:
        args, kwargs: of ``keras.Model.fit``, with arrays as x, y and sample_weight.
        fold: the one to validate on, from 0 to ``folds - 1``.
        folds: how many there are.
        seed: of the division, integer >= 0.

    Raises:
        TypeError, ValueError: see ``check_folds``.
    """
    check_folds(args, kwargs, folds)
    data = _data(args, kwargs)
    samples = int(keras.tree.flatten(data["x"])[0].shape[0])
    is_held_out = fold_of_samples(samples, folds, seed, _labels(data["y"])) == fold
    training, held_out = (
        {name: keras.tree.map_structure(lambda leaf: _rows(leaf, which), value) for name, value in data.items()}  # noqa: B023
        for which in (np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out))
    )
    positional = [training[name] for name in _POSITIONS[: len(args)]]
    named = {**kwargs, **{name: value for name, value in training.items() if name in kwargs}}
    return (*positional, *args[2:]), {**named, "validation_data": tuple(held_out.values())}


def _data(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    given = {**dict(zip(_POSITIONS, args, strict=False)), **kwargs}
    return {name: given[name] for name in _DATA if given.get(name) is not None}


def _labels(y: Any) -> np.ndarray | None:
    if keras.tree.is_nested(y):
        return None
    numbers = np.asarray(y)
    if numbers.dtype.kind not in "biu" or numbers.size != len(numbers):
        return None
    return numbers.reshape(-1)


def _rows(leaf: Any, which: np.ndarray) -> Any:
    return leaf.iloc[which] if hasattr(leaf, "iloc") else np.asarray(leaf)[which]
