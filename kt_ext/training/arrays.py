"""Arrays as Keras takes them: numpy, tensors, pandas and nests of them, as ``(x, y, sample_weight)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

Data = tuple[Any, Any, Any]  # x, y and sample_weight; y and sample_weight may be None


def is_array(leaf: Any) -> bool:
    """Whether rows can be gathered from it; sparse and ragged tensors offer no dense array, or are marked as sparse."""
    dense = hasattr(leaf, "__array__") and not getattr(leaf, "is_sparse", False)
    return dense and len(getattr(leaf, "shape", ())) > 0


def rows(data: Data, which: slice) -> Data:
    """These rows of each array; None stays None."""

    def cut(leaf: Any) -> Any:
        return None if leaf is None else getattr(leaf, "iloc", leaf)[which]

    return keras.tree.map_structure(cut, data)


def packed(data: Data) -> tuple[Any, ...]:
    """As Keras, which takes no notice of weights without targets."""
    x, y, sample_weight = data
    if y is None:
        return (x,)
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def labels(y: Any) -> np.ndarray:
    """Class numbers from class numbers, shape (n,) or (n, 1), or from one-hot rows, as Keras reads them."""
    numbers = to_numpy(y)
    if numbers.ndim > 1:
        numbers = numbers.squeeze(-1) if numbers.shape[-1] == 1 else numbers.argmax(-1)
    return np.round(numbers).astype("int32")


def with_weights(data: Data, class_weight: Mapping[int, float] | None) -> Data:
    """The weights of classes as weights of samples; the weights of samples for each of several outputs."""
    x, y, sample_weight = data
    if class_weight is not None:
        classes, class_of = np.unique(labels(y), return_inverse=True)
        weights = [class_weight.get(int(number), 1.0) for number in classes]
        sample_weight = np.array(weights, keras.config.floatx())[class_of]
    elif sample_weight is not None and keras.tree.is_nested(y) and not keras.tree.is_nested(sample_weight):
        sample_weight = keras.tree.map_structure(lambda _: sample_weight, y)
    return x, y, sample_weight


def weighs_outputs(y: Any, sample_weight: Any) -> bool:
    """Whether these are weights for the several outputs ``y``: one array for each, or one number for each sample."""
    if not keras.tree.is_nested(sample_weight):
        return len(sample_weight.shape) == 1 or tuple(sample_weight.shape[1:]) == (1,)
    return structure(y) == structure(sample_weight)


def structure(nest: Any) -> Any:
    """The nest with None for each leaf. Keras's own comparison takes notice of the leaves' types before version 3.8."""
    return keras.tree.map_structure(lambda _: None, nest)


def to_numpy(leaf: Any) -> np.ndarray:
    """As Keras: floats in ``floatx``, and a pandas Series as a column."""
    if hasattr(leaf, "iloc"):
        array = leaf.to_numpy()
        array = array[:, np.newaxis] if array.ndim == 1 else array
    else:
        array = leaf if isinstance(leaf, np.ndarray) else keras.ops.convert_to_numpy(leaf)
    return array.astype(keras.config.floatx(), copy=False) if _is_float(array) else array


def to_tensor(leaf: Any) -> Any:
    """In the memory of the host, from where the input pipeline gathers."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        if not tf.is_tensor(leaf):
            return tf.convert_to_tensor(to_numpy(leaf))
        return tf.cast(leaf, keras.config.floatx()) if _is_float(leaf) else tf.identity(leaf)


def _is_float(array: Any) -> bool:
    return array.dtype.name.startswith(("float", "bfloat"))
