"""``distribution_strategy``: a strategy, or a function that makes one."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import pytest

import kt_ext
from kt_ext.training.distribution import make_strategy
from tuners.searches import build, data, learning_rates

TENSORFLOW = keras.backend.backend() == "tensorflow"
if TENSORFLOW:
    import tensorflow as tf

on_tensorflow = pytest.mark.tensorflow


def tuner_of(strategy: Any, project: dict[str, str]) -> kt_ext.ASHATuner:
    return kt_ext.ASHATuner(
        build,
        "val_loss",
        max_epochs=1,
        max_trials=2,
        searcher=learning_rates(0.01, 0.02),
        distribution_strategy=strategy,
        **project,
    )


class Seen(keras.callbacks.Callback):
    """The strategy of each trial's model; a search copies its callbacks."""

    strategies: ClassVar[list[Any]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.strategies.append(self.model.distribute_strategy)


@on_tensorflow
def test_a_function_is_called_once(project):
    made = []

    def make() -> Any:
        made.append(tf.distribute.OneDeviceStrategy("CPU:0"))
        return made[-1]

    tuner = tuner_of(make, project)
    assert len(made) == 1
    assert tuner.distribution_strategy is made[0]
    Seen.strategies.clear()
    tuner.search(**data(), batch_size=50, callbacks=[Seen()], verbose=0)
    tuner.get_best_models()
    assert Seen.strategies == [made[0]] * 2
    assert len(made) == 1


@on_tensorflow
def test_a_strategy_or_its_class():
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    assert make_strategy(strategy) is strategy
    assert type(make_strategy(tf.distribute.MirroredStrategy)) is tf.distribute.MirroredStrategy


def test_none(project):
    assert tuner_of(None, project).distribution_strategy is None


@on_tensorflow
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("mirrored", "distribution_strategy='mirrored': must be a tf.distribute.Strategy or a function that makes one"),
        (lambda: 3, r"distribution_strategy=<function .*: made 3, which must be a tf.distribute.Strategy or"),
        (lambda: None, "made None, which must be a tf.distribute.Strategy"),
        (lambda devices: devices, "a function must take no arguments: missing a required argument: 'devices'"),
    ],
)
def test_something_else_is_refused(wrong, message, project):
    with pytest.raises(TypeError, match=message):
        tuner_of(wrong, project)


@on_tensorflow
def test_an_error_of_the_function_is_its_own(project):
    def make() -> Any:
        raise TypeError("no such device")

    with pytest.raises(TypeError, match=r"^no such device$"):
        tuner_of(make, project)


@pytest.mark.jax
def test_jax_has_its_own_way(project):
    distribution = keras.distribution.DataParallel(devices=["cpu:0"])
    for wrong in (distribution, lambda: distribution):
        with pytest.raises(ValueError, match=r"distribution_strategy=.*call keras.distribution.set_distribution\("):
            tuner_of(wrong, project)
    assert keras.distribution.distribution() is None
