"""Real searches small enough for a test: a model of eight units on 200 digits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pytest
from sklearn.datasets import load_digits

from kt_ext.core.history import History
from kt_ext.core.searcher import AbstractSearcher, SpaceExhausted

TENSORFLOW = keras.backend.backend() == "tensorflow"
ROOT = Path(__file__).parents[2]
#: TensorFlow traces a step twice if the first time makes variables, as that of a training step does.
ONE_TRAIN_TRACE = 2 if TENSORFLOW else 1


def data() -> dict[str, Any]:
    """What ``search`` takes: 200 digits to train on, 100 to validate."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype("float32")
    return {"x": images[:200], "y": labels[:200], "validation_data": (images[200:300], labels[200:300])}


def small_model(units: int = 8, dropout: float = 0.3, learning_rate: Any = 0.01, weight_decay: float = 1e-3):
    model = keras.Sequential(
        [
            keras.layers.Input((64,)),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Learning rate, weight decay and dropout: all models share one compiled step."""
    return small_model(
        learning_rate=hp.Float("learning_rate", 1e-4, 1e-1, sampling="log"),
        weight_decay=hp.Float("weight_decay", 1e-5, 1e-1, sampling="log"),
        dropout=hp.Float("dropout", 0.05, 0.5),
    )


class Listed(AbstractSearcher):
    """The values of the first trial, of the second, and so on; the first parameter's default elsewhere."""

    def __init__(self, *values: Mapping[str, Any]) -> None:
        self.values = values

    def propose(self, history: History, space: Any, rng: Any) -> dict[str, Any]:
        if len(history) >= len(self.values):
            raise SpaceExhausted(f"all {len(self.values)} are tried")
        return {**space.sample(rng), **self.values[len(history)]}


def learning_rates(*rates: float) -> Listed:
    return Listed(*({"learning_rate": rate, "weight_decay": 1e-3, "dropout": 0.3} for rate in rates))


def epochs_of(tuner: Any, trial_id: str = "0") -> dict[str, list[float]]:
    """Every metric of a trial, epoch by epoch."""
    metrics = tuner.oracle.trials[trial_id].metrics.metrics
    return {name: [o.value[0] for o in history.get_history()] for name, history in metrics.items()}


def all_epochs(tuner: Any) -> dict[str, dict[str, list[float]]]:
    return {trial_id: epochs_of(tuner, trial_id) for trial_id in tuner.oracle.trials}


def values_of(tuner: Any) -> dict[str, dict[str, Any]]:
    """The hyperparameters of every trial."""
    return {i: tuner.oracle.search.history.values(int(i)) for i in tuner.oracle.trials}


def assert_same_epochs(one: Any, other: Any) -> None:
    """Nested dicts of lists of numbers that agree to 1e-5."""
    assert one.keys() == other.keys()
    for key in one:
        if isinstance(one[key], dict):
            assert_same_epochs(one[key], other[key])
        else:
            assert one[key] == pytest.approx(other[key], rel=1e-5, abs=1e-5), key


class Counts:
    """Calls of ``build`` and traces of a model's steps."""

    def __init__(self) -> None:
        self.builds = self.train_steps = self.test_steps = 0

    def counted(self, function: Callable[[Any], keras.Model]) -> Callable[[Any], keras.Model]:
        def building(hp: keras_tuner.HyperParameters) -> keras.Model:
            self.builds += 1
            return function(hp)

        return building


@contextmanager
def counting() -> Iterator[Counts]:
    """A step's Python code runs when it is traced, and only then. Patched in the class, so it stays Keras's own."""
    counts = Counts()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("train_step", "test_step"):
            _count_calls(patch, counts, name)
        yield counts


def _count_calls(patch: pytest.MonkeyPatch, counts: Counts, name: str) -> None:
    original = getattr(keras.Model, name)

    def step(self: keras.Model, *args: Any) -> Any:
        setattr(counts, f"{name}s", getattr(counts, f"{name}s") + 1)
        return original(self, *args)

    patch.setattr(keras.Model, name, step)


def run_python(code: str, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, which finds ``kt_ext`` and this module."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), **environment},
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stderr[-3000:]
    return done
