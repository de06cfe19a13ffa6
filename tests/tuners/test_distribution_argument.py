"""``distribution_strategy``: a strategy, or a function that makes one."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, ClassVar

import keras
import pytest

import kt_ext
from imports import ROOT
from kt_ext.training.distribution import make_strategy
from tuners.searches import build, learning_rates

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


SEARCH = """
import sys, tensorflow as tf
from tuners.searches import data
from tuners.test_distribution_argument import Seen, tuner_of
made = []
def make():
    made.append(tf.distribute.OneDeviceStrategy("CPU:0"))
    return made[-1]
tuner = tuner_of(make, {"directory": sys.argv[1], "project_name": "p"})
tuner.search(**data(), batch_size=50, callbacks=[Seen()], verbose=0)
tuner.get_best_models()
assert Seen.strategies == [made[0]] * 2
assert len(made) == 1
"""


@pytest.mark.slow
@on_tensorflow
def test_trials_and_best_models_have_the_strategy_that_the_function_made(tmp_path):
    # A process of its own: TensorFlow once crashed here, deep in a long test run, when it let go of a dataset.
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    subprocess.run([sys.executable, "-c", SEARCH, str(tmp_path)], env=environment, check=True)


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
