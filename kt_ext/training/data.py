"""Shuffling that can be resumed: the order of the samples in an epoch is a function of (seed, epoch) alone.

``model.fit(x, y)`` shuffles arrays by global state: on TensorFlow the order is either new in each process or, after
``keras.utils.set_random_seed``, the same in every epoch; on JAX and PyTorch it depends on what drew before. So a
trial that is paused after three epochs and resumed sees other batches than one that ran through. Here one ``fit`` of
nine epochs and two of three and six give the same batches.

The order differs between backends: TensorFlow draws it inside its input pipeline by ``stateless_shuffle``, the others
by ``numpy.random.default_rng([seed, epoch])``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from kt_ext.training.arrays import (
    Data,
    is_array,
    labels,
    packed,
    rows,
    to_numpy,
    to_tensor,
    weighs_outputs,
    with_weights,
)
from kt_ext.training.shuffling import Order, ShuffledBatches, tf_in_order, tf_pipeline

_FIT_PARAMETERS = (
    *("x", "y", "batch_size", "epochs", "verbose", "callbacks", "validation_split", "validation_data", "shuffle"),
    *("class_weight", "sample_weight", "initial_epoch", "steps_per_epoch"),
    *("validation_steps", "validation_batch_size", "validation_freq"),
)
_DATA = ("x", "y", "sample_weight")
# What goes into the dataset.
_REPLACED = ("y", "sample_weight", "class_weight", "batch_size", "validation_split")
_KERAS_BATCH_SIZE = 32
_LARGEST_SEED = 2**63 - 1


def resumable_fit_arguments(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    seed: int,
    initial_epoch: int,
    epochs: int,
    steps_per_execution: int = 1,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments that train the same as ``model.fit(*args, **kwargs)``, from one epoch to another, in a resumable order.

    Arrays that Keras would shuffle (numpy, tensors, pandas, nests of them) become a dataset, after ``validation_split``
    and ``class_weight`` were applied to them as Keras does. Everything else (``tf.data``, ``PyDataset``, generators,
    sparse or ragged tensors, ``shuffle=False`` or ``"batch"``, ``steps_per_epoch``), and what Keras refuses, is
    handed on as it is: then the order is the user's.

    Args:
        args, kwargs: the arguments of ``keras.Model.fit``.
        seed: 0 to 2**63 - 1; the order of epoch e is that of (seed, e).
        initial_epoch: epochs done before; takes the place of the user's.
        epochs: train up to this epoch; takes the place of the user's.
        steps_per_execution: that of the compiled model. If it does not divide the steps of an epoch, the data are
            gathered in Python, and a callback is added that tells them the epoch.

    Raises:
        ValueError: ``seed``, ``initial_epoch``, ``epochs`` or ``steps_per_execution`` is out of range.
        TypeError: an argument was given twice, or there are too many.
    """
    return ResumableData().fit_arguments(
        args, kwargs, seed=seed, initial_epoch=initial_epoch, epochs=epochs, steps_per_execution=steps_per_execution
    )


class ResumableData:
    """``resumable_fit_arguments`` for many fits on the same arrays: converted once, kept for the next.

    A search calls ``fit`` for each segment of each trial. Here the arrays are copied into tensors once, where Keras
    does it in each ``fit``, and the input pipeline is traced once for each batch size. The arrays must not change
    meanwhile.
    """

    def __init__(self) -> None:
        self._prepared: _Prepared | None = None
        self._validation: _Validation | None = None

    def fit_arguments(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        seed: int,
        initial_epoch: int,
        epochs: int,
        steps_per_execution: int = 1,
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """As ``resumable_fit_arguments``."""
        if not 0 <= seed <= _LARGEST_SEED:
            raise ValueError(f"seed={seed}: must be an integer from 0 to 2**63 - 1")
        if not 0 <= initial_epoch <= epochs:
            raise ValueError(f"initial_epoch={initial_epoch}: must be from 0 to epochs={epochs}")
        if steps_per_execution < 1:
            raise ValueError(f"steps_per_execution={steps_per_execution}: must be >= 1, that of the compiled model")
        fit = {**_by_name(args, kwargs), "initial_epoch": initial_epoch, "epochs": epochs}
        if initial_epoch < epochs and _shuffles_arrays(fit):
            fit = self._with_dataset(fit, seed, steps_per_execution)
        return ((fit.pop("x"),) if "x" in fit else ()), fit

    def _with_dataset(self, fit: dict[str, Any], seed: int, steps_per_execution: int) -> dict[str, Any]:
        data = fit.get("x"), fit.get("y"), fit.get("sample_weight")
        changed: dict[str, Any] = {name: value for name, value in fit.items() if name not in _REPLACED}
        if fit.get("batch_size") and not fit.get("validation_batch_size"):
            changed["validation_batch_size"] = fit["batch_size"]
        samples = _training_samples(fit)
        order = Order(seed, samples, fit.get("batch_size") or _KERAS_BATCH_SIZE, fit["initial_epoch"], fit["epochs"])
        # One iterator gives the batches of all epochs. A call of the compiled step that takes several must not reach
        # into the next epoch; where it would, the iterator ends with the epoch, and must be told which one it is.
        in_one = order.steps % steps_per_execution == 0
        on_tensorflow = in_one and keras.backend.backend() == "tensorflow"
        prepared = self._prepare(data, samples, fit.get("class_weight"), on_tensorflow)
        changed["shuffle"] = False
        if _is_split(fit):
            changed["validation_data"] = prepared.held_out
        if on_tensorflow:
            changed["x"] = prepared.tf_dataset(order)
            self._validate_from_dataset(changed)
        else:
            changed["x"] = batches = ShuffledBatches(prepared.arrays, order, in_one)
        if in_one:
            changed["steps_per_epoch"] = order.steps
        else:
            changed["callbacks"] = _with_callback(fit.get("callbacks"), batches.begin_epoch)
        return changed

    def _validate_from_dataset(self, fit: dict[str, Any]) -> None:
        """Put a dataset in the place of validation arrays: Keras would convert and trace them in each fit."""
        data = fit.get("validation_data")
        leaves = keras.tree.flatten(data)
        if not isinstance(data, (tuple, list)) or fit.get("validation_steps") is not None:
            return
        if not all(leaf is not None and is_array(leaf) for leaf in leaves):
            return
        if len({int(leaf.shape[0]) for leaf in leaves}) != 1 or not leaves[0].shape[0]:
            return
        batch_size = fit.pop("validation_batch_size", None) or _KERAS_BATCH_SIZE
        made_of = keras.tree.map_structure(id, data), batch_size
        if self._validation is None or self._validation.made_of != made_of:
            self._validation = None
            tensors = keras.tree.lists_to_tuples(keras.tree.map_structure(to_tensor, tuple(data)))
            self._validation = _Validation(made_of, data, tf_in_order(tensors, int(leaves[0].shape[0]), batch_size))
        fit["validation_data"] = self._validation.dataset

    def _prepare(self, data: Data, samples: int, class_weight: Any, on_tensorflow: bool) -> _Prepared:
        weights = None if class_weight is None else dict(class_weight)
        made_of = (keras.tree.map_structure(id, data), samples, weights, on_tensorflow)
        if self._prepared is None or self._prepared.made_of != made_of:
            self._prepared = None  # so that the memory of the last is free before the next is made
            used = packed(with_weights(rows(data, slice(samples)), class_weight))
            arrays = keras.tree.map_structure(to_tensor if on_tensorflow else to_numpy, used)
            held_out = packed(rows(data, slice(samples, None)))
            self._prepared = _Prepared(made_of, data, keras.tree.lists_to_tuples(arrays), held_out)
        return self._prepared


@dataclass
class _Prepared:
    """What does not change from one ``fit`` to the next.

    Attributes:
        made_of: identifies the originals and what was done to them; ``originals`` keeps their ids from being reused.
        arrays: the training data as a tuple of x, or x and y, or x, y and sample_weight.
        held_out: the rest of the data, which ``validation_split`` validates on.
        tf_pipelines: by batch size.
    """

    made_of: Any
    originals: Any
    arrays: Any
    held_out: Any
    tf_pipelines: dict[int, Callable[[Order], Any]] = field(default_factory=dict)

    def tf_dataset(self, order: Order) -> Any:
        if order.batch_size not in self.tf_pipelines:
            self.tf_pipelines[order.batch_size] = tf_pipeline(self.arrays, order.samples, order.batch_size)
        return self.tf_pipelines[order.batch_size](order)


@dataclass(frozen=True)
class _Validation:
    """Validation data as a dataset; ``made_of`` and ``originals`` as above."""

    made_of: Any
    originals: Any
    dataset: Any


def _by_name(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    if len(args) > len(_FIT_PARAMETERS):
        raise TypeError(f"fit takes at most {len(_FIT_PARAMETERS)} positional arguments, {len(args)} were given")
    given = dict(zip(_FIT_PARAMETERS, args, strict=False))
    if twice := given.keys() & kwargs.keys():
        raise TypeError(f"fit got {sorted(twice)} both by position and by name")
    return {**given, **kwargs}


def _shuffles_arrays(fit: Mapping[str, Any]) -> bool:
    """Whether Keras would shuffle these arrays, and accepts them: what it refuses is left for it to refuse."""
    shuffle = fit.get("shuffle", True)
    if not shuffle or shuffle == "batch" or fit.get("steps_per_epoch") is not None or fit.get("x") is None:
        return False
    given = [fit[name] for name in _DATA if fit.get(name) is not None]
    leaves = keras.tree.flatten(given)
    if not all(map(is_array, leaves)) or len({int(leaf.shape[0]) for leaf in leaves}) != 1:
        return False
    samples = _training_samples(fit)
    if samples == 0 or (_is_split(fit) and samples >= int(leaves[0].shape[0])):
        return False
    y, sample_weight, class_weight = (fit.get(name) for name in ("y", "sample_weight", "class_weight"))
    if class_weight is not None:
        return sample_weight is None and y is not None and not keras.tree.is_nested(y) and labels(y).ndim == 1
    if sample_weight is not None and keras.tree.is_nested(y):
        return weighs_outputs(y, sample_weight)
    return True


def _is_split(fit: Mapping[str, Any]) -> bool:
    return bool(fit.get("validation_split")) and fit.get("validation_data") is None


def _training_samples(fit: Mapping[str, Any]) -> int:
    """How many samples are left to train on; Keras validates on the last ones, and rounds in this way."""
    samples = int(keras.tree.flatten(fit["x"])[0].shape[0])
    return math.floor(samples * (1.0 - fit["validation_split"])) if _is_split(fit) else samples


def _with_callback(callbacks: Any, begin_epoch: Callable[[int], None]) -> Any:
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begin_epoch(epoch))
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.callbacks.append(callback)  # CallbackList.append came and went
        return callbacks
    return [*keras.tree.flatten(callbacks or []), callback]
