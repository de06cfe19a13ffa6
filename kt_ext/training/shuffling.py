"""Datasets whose order is a function of (seed, epoch): TensorFlow's input pipeline, and one for every backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np


class Order(NamedTuple):
    """The order of ``samples`` samples in the epochs ``first`` to ``last`` - 1, counted from 0."""

    seed: int
    samples: int
    batch_size: int
    first: int
    last: int

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return math.ceil(self.samples / self.batch_size)


def tf_pipeline(arrays: Any, samples: int, batch_size: int) -> Callable[[Order], Any]:
    """Makes a ``tf.data.Dataset`` of the batches of all epochs of an order with these ``samples`` and ``batch_size``.

    The arrays are tensors. The pipeline is traced once: a trace costs 80 ms of CPU, a dataset from it 2.
    """
    import tensorflow as tf

    options = _options()
    in_full_batches = samples // batch_size * batch_size

    def dataset(seed: Any, first: Any, last: Any) -> Any:
        def batches_of(epoch: Any) -> Any:
            # The algorithm is named, for "auto_select" may choose another on another device.
            indices = tf.range(samples, dtype=tf.int64)
            indices = tf.random.experimental.stateless_shuffle(indices, tf.stack([seed, epoch]), alg="philox")
            full = tf.reshape(indices[:in_full_batches], (-1, batch_size))
            batches = tf.data.Dataset.from_tensor_slices(full)
            if in_full_batches < samples:
                batches = batches.concatenate(tf.data.Dataset.from_tensors(indices[in_full_batches:]))
            return batches

        def gather(indices: Any) -> Any:
            return keras.tree.map_structure(lambda array: tf.gather(array, indices), arrays)

        with tf.device("CPU:0"):
            indices = tf.data.Dataset.range(first, last).flat_map(batches_of)
            return indices.map(gather, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    traced = tf.function(dataset, input_signature=[tf.TensorSpec((), tf.int64)] * 3, autograph=False)

    def dataset_of(order: Order) -> Any:
        numbers = (tf.constant(number, tf.int64) for number in (order.seed, order.first, order.last))
        return traced(*numbers).with_options(options)  # options set inside would not be seen by a strategy

    return dataset_of


def tf_in_order(arrays: Any, samples: int, batch_size: int) -> Any:
    """A ``tf.data.Dataset`` of the batches of these tensors in their order; the last may be smaller."""
    import tensorflow as tf

    def batch(step: Any) -> Any:
        rows = slice(step * batch_size, (step + 1) * batch_size)
        return keras.tree.map_structure(lambda array: array[rows], arrays)

    with tf.device("CPU:0"):
        steps = tf.data.Dataset.range(math.ceil(samples / batch_size))
        dataset = steps.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    return dataset.with_options(_options())


def _options() -> Any:
    """As Keras: rewriting the graph costs more than it gains, and shards are made of the batches."""
    import tensorflow as tf

    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options


class ShuffledBatches(keras.utils.PyDataset):
    """Batches of numpy arrays, shuffled in each epoch, for every backend.

    Args:
        arrays: a tuple of nests of arrays with the samples in the first dimension.
        order: seed, batch size and epochs.
        in_one: give the batches of all epochs one after the other; if not, of the epoch that ``begin_epoch`` named.
    """

    def __init__(self, arrays: Any, order: Order, in_one: bool) -> None:
        super().__init__()
        self._arrays = arrays
        self._order = order
        self._epoch = order.first
        self._epochs = order.last - order.first if in_one else 1
        self._shuffled: tuple[int, np.ndarray] = (-1, np.empty(0))

    def begin_epoch(self, epoch: int) -> None:
        """The next iteration is that of ``epoch``."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._epochs * self._order.steps

    def __getitem__(self, index: int) -> Any:
        done, step = divmod(index, self._order.steps)
        epoch = self._epoch + done
        shuffled_epoch, shuffled = self._shuffled  # one read and one write: TensorFlow calls from threads of its own
        if shuffled_epoch != epoch:
            shuffled = np.random.default_rng([self._order.seed, epoch]).permutation(self._order.samples)
            self._shuffled = epoch, shuffled
        start = step * self._order.batch_size
        rows = shuffled[start : start + self._order.batch_size]
        return keras.tree.map_structure(lambda array: array[rows], self._arrays)
