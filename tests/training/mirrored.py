"""Run by the tests in a process of its own: two logical CPUs must be made before TensorFlow starts."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras  # noqa: E402

from kt_ext.training.live import install  # noqa: E402
from kt_ext.training.pool import ModelPool  # noqa: E402
from kt_ext.training.state import get_state, set_state  # noqa: E402

UNITS = 1000
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def build(rate: float, weight_decay: float) -> keras.Model:
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input((UNITS,)),
                keras.layers.Dropout(rate),
                keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros"),
            ]
        )
        model.compile(keras.optimizers.SGD(1.0, weight_decay=weight_decay), "mae")
    return model


def local(variable: keras.Variable) -> list[np.ndarray]:
    return [np.ravel(one.numpy()) for one in strategy.experimental_local_results(variable.value)]


def step(model: keras.Model, value: float) -> None:
    x, y = np.full((2, UNITS), value, "float32"), np.full((2, 1), 0.5, "float32")
    model.fit(x, y, batch_size=2, verbose=0)


def check_rate(model: keras.Model, rate: float) -> None:
    """The kernel, of zeros, moves by the mean of what the two replicas made of ones."""
    set_state(model, {**get_state(model), "model/0001/sequential/dense/kernel": np.zeros((UNITS, 1), "float32")})
    step(model, 1.0)
    one, other = local(model.layers[1].kernel)
    np.testing.assert_array_equal(one, other)
    scale = 1 / (1 - rate)
    distance = np.abs(one[:, None] - np.array([0.0, scale / 2, scale])).min(axis=1)
    assert distance.max() < 1e-5, (rate, np.unique(one))
    assert abs((one == 0).mean() - rate) < 0.5 * rate  # rate, or rate squared if the replicas drop different ones


def check_decay(model: keras.Model, weight_decay: float) -> None:
    before = local(model.layers[1].kernel)
    step(model, 0.0)
    for one, other in zip(before, local(model.layers[1].kernel), strict=True):
        np.testing.assert_allclose(other, one * (1 - weight_decay), rtol=1e-6)


model = build(0.5, 0.0)
live = install(model)
check_rate(model, 0.5)
train_function = model.train_function
live.set({"layers.0.rate": 0.75})
check_rate(model, 0.75)
live.set({"optimizer.weight_decay": 0.25})
check_decay(model, 0.25)
live.set({"optimizer.learning_rate": 0.5})
check_decay(model, 0.125)
assert model.train_function is train_function

# the other slots of a training step
with strategy.scope():
    penalised = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(
                1, use_bias=False, kernel_initializer="ones", kernel_regularizer=keras.regularizers.L2(0.5)
            ),
        ]
    )
    penalised.compile(keras.optimizers.SGD(0.25, momentum=0.5, clipnorm=100.0), "mae")
live_penalty = install(penalised)
weight, velocity = 1.0, 0.0
for momentum, l2, clipnorm in ((0.5, 0.5, 100.0), (0.75, 0.5, 100.0), (0.75, 0.25, 100.0), (0.25, 1.0, 0.125)):
    names = ("optimizer.momentum", "layers.0.kernel_regularizer.l2", "optimizer.clipnorm")
    live_penalty.set(dict(zip(names, (momentum, l2, clipnorm), strict=True)))
    penalised.fit(np.zeros((2, 1), "float32"), np.zeros((2, 1), "float32"), batch_size=2, verbose=0)
    gradient = 2 * l2 * weight
    velocity = momentum * velocity - 0.25 * np.sign(gradient) * min(abs(gradient), clipnorm)
    weight += velocity
    for one in local(penalised.layers[0].kernel):
        np.testing.assert_allclose(one, weight, rtol=1e-6)

# the whole state reaches every replica of another model
other = build(0.5, 0.0)
set_state(other, get_state(model))
for one, two in zip(
    model.variables + model.optimizer.variables, other.variables + other.optimizer.variables, strict=True
):
    for mine, theirs in zip(local(one), local(two), strict=True):
        np.testing.assert_array_equal(mine, theirs)

# and a pooled model trains as a fresh one
pool = ModelPool()
first = pool.acquire(build(0.5, 0.0))
step(first.model, 1.0)
pool.release(first)
keras.utils.set_random_seed(1)
fresh = build(0.25, 0.5)
keras.utils.set_random_seed(1)
second = pool.acquire(build(0.25, 0.5))
assert second.reused and second.model is first.model
for _ in range(3):
    step(fresh, 1.0)
    step(second.model, 1.0)
for mine, theirs in zip(local(fresh.layers[1].kernel), local(second.model.layers[1].kernel), strict=True):
    np.testing.assert_array_equal(mine, theirs)
print("ok")
