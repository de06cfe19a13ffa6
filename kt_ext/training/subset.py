"""The data of ``fit`` at lower fidelity: fewer training examples, or images and series of lower resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kt_ext.training.arrays import is_array

#: Where keras.Model.fit takes its data, by position.
_POSITIONS = {"x": 0, "y": 1, "validation_split": 6, "validation_data": 7, "sample_weight": 10}
_TRAINING = ("x", "y", "sample_weight")
#: How many images are resized at once, so that little memory is needed beside the data's own.
_AT_ONCE = 1024

Fit = tuple[tuple[Any, ...], dict[str, Any]]


def fewer(fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any], share: float, seed: int) -> Fit:
    """The arguments of ``fit`` with a random subset of the training examples.

    The same examples for the same seed. Where ``y`` is one row of integers, each class keeps its share to one example.
    What validates stays: the last examples under ``validation_split``, too, which are then given as
    ``validation_data``.

    Args:
        fit_args, fit_kwargs: of ``keras.Model.fit``; x, y and sample_weight are arrays or nests of arrays.
        share: of the examples, in (0, 1]; at least one is kept.
        seed: integer >= 0.

    Raises:
        TypeError: the data are no arrays.
        ValueError: the share is out of range, or arrays differ in the number of examples.
    """
    _check_share(share)
    if share == 1:
        return tuple(fit_args), dict(fit_kwargs)
    data = _arrays(fit_args, fit_kwargs, _TRAINING, "fewer examples")
    sizes = {int(leaf.shape[0]) for value in data.values() for leaf in keras.tree.flatten(value)}
    if len(sizes) != 1:
        raise ValueError(f"x, y: must have the same number of examples, not {sorted(sizes)}")
    total = sizes.pop()
    given = _given(fit_args, fit_kwargs)
    split = given.get("validation_split") or 0.0
    held_out = split > 0 and given.get("validation_data") is None
    samples = int(total * (1.0 - split)) if held_out else total  # as Keras rounds
    kept = drawn(samples, share, seed, _classes(data.get("y"), samples))
    changed = {name: _at(value, kept) for name, value in data.items()}
    if held_out:
        rest = np.arange(samples, total)
        changed["validation_data"] = tuple(_at(value, rest) for value in data.values())
        changed["validation_split"] = 0.0
    return _replaced(fit_args, fit_kwargs, changed)


def drawn(samples: int, share: float, seed: int, classes: np.ndarray | None = None) -> np.ndarray:
    """Ascending indices of a random share of ``samples``, at least one; of each class its share, to one example.

    Args:
        samples: how many there are.
        share: in (0, 1].
        seed: integer >= 0.
        classes: shape (samples,); None does not stratify.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(samples)
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
    count = max(1, round(share * samples))
    places = ((np.arange(count) + rng.random()) * samples / count).astype(int)
    return np.sort(order[places])


def smaller(fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any], share: float) -> Fit:
    """The arguments of ``fit`` with the images and series of x and of validation_data's x at a lower resolution.

    Bilinear with antialiasing. Values keep their range and become float32.

    Args:
        fit_args, fit_kwargs: of ``keras.Model.fit``; x is an array, or a nest of them, of shape (n, rows, columns,
            channels) or (n, steps, channels).
        share: of the rows and columns, or of the steps, in (0, 1].

    Raises:
        TypeError: x is no array.
        ValueError: the share is out of range, or an array is neither images nor series.
    """
    _check_share(share)
    if share == 1:
        return tuple(fit_args), dict(fit_kwargs)
    x = _arrays(fit_args, fit_kwargs, ("x",), "a lower resolution")["x"]

    def resize(leaf: Any) -> np.ndarray:
        return resized(leaf, share)

    changed: dict[str, Any] = {"x": keras.tree.map_structure(resize, x)}
    validation = _given(fit_args, fit_kwargs).get("validation_data")
    if validation is not None:
        if not isinstance(validation, (tuple, list)):
            raise TypeError(_no_arrays("validation_data", validation, "a lower resolution"))
        _check_arrays("validation_data", validation[0], "a lower resolution")
        changed["validation_data"] = (keras.tree.map_structure(resize, validation[0]), *validation[1:])
    return _replaced(fit_args, fit_kwargs, changed)


def smaller_shape(input_shape: Sequence[int], share: float) -> tuple[int, ...]:
    """The shape of one example after ``smaller``: (rows, columns, channels) or (steps, channels), each >= 1.

    Raises ValueError for any other shape, or a share out of (0, 1].
    """
    _check_share(share)
    shape = tuple(int(size) for size in input_shape)
    if share == 1:
        return shape
    if len(shape) not in (2, 3):
        raise ValueError(
            f"an example of shape {shape}: a lower resolution needs (rows, columns, channels) or (steps, channels); "
            "leave resolution at 1"
        )
    return (*(max(1, round(size * share)) for size in shape[:-1]), shape[-1])


def resized(examples: Any, share: float) -> np.ndarray:
    """Images or series, shape (n, ..., channels), at a lower resolution, float32. Raises as ``smaller_shape``."""
    size = smaller_shape(examples.shape[1:], share)[:-1]
    is_series = len(size) == 1
    pieces = []
    for start in range(0, len(examples), _AT_ONCE):
        piece = np.asarray(examples[start : start + _AT_ONCE]).astype("float32")
        piece = keras.ops.image.resize(
            piece[:, :, np.newaxis] if is_series else piece,
            (*size, 1) if is_series else size,
            interpolation="bilinear",
            antialias=True,
            data_format="channels_last",
        )
        piece = keras.ops.convert_to_numpy(piece)
        pieces.append(piece[:, :, 0] if is_series else piece)
    return np.concatenate(pieces)


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise ValueError(f"share={share!r}: must be in (0, 1]; 1 leaves the data as they are")


def _given(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    by_position = {name: args[place] for name, place in _POSITIONS.items() if place < len(args)}
    return {**by_position, **kwargs}


def _replaced(args: Sequence[Any], kwargs: Mapping[str, Any], changed: Mapping[str, Any]) -> Fit:
    """The same call with other values, each where it was given."""
    positional, named = list(args), dict(kwargs)
    for name, value in changed.items():
        if _POSITIONS[name] < len(positional):
            positional[_POSITIONS[name]] = value
        else:
            named[name] = value
    return tuple(positional), named


def _arrays(args: Sequence[Any], kwargs: Mapping[str, Any], names: Sequence[str], purpose: str) -> dict[str, Any]:
    given = _given(args, kwargs)
    data = {name: given[name] for name in names if given.get(name) is not None}
    if "x" not in data:
        raise TypeError(f"x: must be given as an array for {purpose}; or use estimator='full'")
    for name, value in data.items():
        _check_arrays(name, value, purpose)
    return data


def _check_arrays(name: str, value: Any, purpose: str) -> None:
    for leaf in keras.tree.flatten(value):
        if not is_array(leaf):
            raise TypeError(_no_arrays(name, leaf, purpose))


def _no_arrays(name: str, value: Any, purpose: str) -> str:
    return (
        f"{name} of type {type(value).__name__}: must be an array or a nest of arrays for {purpose}; convert it (a "
        "tf.data.Dataset by list(dataset.as_numpy_iterator())), or lower filters, cells or epochs instead"
    )


def _classes(y: Any, samples: int) -> np.ndarray | None:
    """Class numbers of the first ``samples``, or None where ``y`` is not one row of integers."""
    if y is None or keras.tree.is_nested(y):
        return None
    numbers = np.asarray(y)
    if numbers.dtype.kind not in "biu" or numbers.size != len(numbers):
        return None
    return numbers.reshape(-1)[:samples]


def _at(value: Any, which: np.ndarray) -> Any:
    def take(leaf: Any) -> Any:
        return leaf.iloc[which] if hasattr(leaf, "iloc") else np.asarray(leaf)[which]

    return keras.tree.map_structure(take, value)
