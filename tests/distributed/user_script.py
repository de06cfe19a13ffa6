"""What a user of many machines has: one script, started on each; the environment says which is the chief.

    python user_script.py DIRECTORY asha|bohb|fifo|pbt

Each process writes ``ID.jsonl``, a line for each thing that it does. In all but ``fifo`` mode ``worker0`` starts
alone and pauses after three segments, so that the first trial that is resumed is resumed on ``worker1``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).parents[2]))

import keras
import keras_tuner
from sklearn.datasets import load_digits

import kt_ext

ME = os.environ.get("KERASTUNER_TUNER_ID", "alone")
directory = Path()


class HyperModel(keras_tuner.HyperModel):
    """Booleans and conditions, which Keras Tuner's messages reorder."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = keras.Sequential([keras.layers.Input((64,))])
        kind = hp.Choice("kind", ["plain", "deep"])
        with hp.conditional_scope("kind", ["deep"]):
            if kind == "deep":
                model.add(keras.layers.Dense(hp.Int("units", 16, 32, step=16), activation="relu"))
                model.add(keras.layers.Dropout(hp.Float("dropout", 0.05, 0.5)))
        bias, beta = hp.Boolean("bias"), 0.9
        with hp.conditional_scope("bias", [True]):
            if bias:
                beta = hp.Float("beta", 0.5, 0.99)
        model.add(keras.layers.Dense(10, activation="softmax", use_bias=bias))
        rate = hp.Choice("rate", [0.003, 0.01, 0.03])
        model.compile(keras.optimizers.Adam(rate, beta_1=beta), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model


class LateHyperModel(HyperModel):
    """A condition that first appears while a worker trains: child and parent arrive at the chief in the wrong order."""

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, x: Any, y: Any, **kwargs: Any) -> Any:
        scaling = hp.Choice("scaling", ["some", "none"])
        with hp.conditional_scope("scaling", ["some"]):
            if scaling == "some":
                x = x * hp.Float("factor", 0.5, 2.0)
        return model.fit(x, y, **kwargs)


def note(**what: Any) -> None:
    """Write down what this process does."""
    with open(directory / f"{ME}.jsonl", "a") as file:
        file.write(json.dumps(what) + "\n")


class Watched:
    """What a tuner of the user's does beside: here it writes down what happens."""

    segments = 0

    def pre_create_trial(self) -> None:
        note(did="ask")

    def on_epoch_end(self, trial: Any, model: keras.Model, epoch: int, logs: Any = None) -> None:
        iterations = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
        note(did="epoch", trial=int(trial.trial_id), epoch=epoch + 1, steps=iterations, loss=float(logs["loss"]))

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)  # type: ignore[misc]
        self.segments += 1
        if self.segments == 3 and ME == "worker0":
            (directory / "three-segments").touch()
            wait_for(directory / "resumed")
        if self.segments == 1 and ME == "worker1":
            (directory / "resumed").touch()


class ASHATuner(Watched, kt_ext.ASHATuner):
    def on_search_begin(self) -> None:
        if ME == "worker1":
            wait_for(directory / "three-segments")


class BOHBTuner(Watched, kt_ext.BOHBTuner):
    def on_search_begin(self) -> None:
        if ME == "worker1":
            wait_for(directory / "three-segments")


class PBTTuner(Watched, kt_ext.PBTTuner):
    """Writes down the learning rate at each step, and what the chief says of the best trial."""

    def on_search_begin(self) -> None:
        if ME == "worker1":
            wait_for(directory / "three-segments")

    def on_batch_end(self, trial: Any, model: keras.Model, batch: int, logs: Any = None) -> None:
        rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        note(did="step", trial=int(trial.trial_id), batch=batch, rate=rate)

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        best = self.oracle.get_best_trials(1)[0]
        note(did="best", trial=int(best.trial_id), schedule=best.hyperparameters.values["kt_ext/schedule"])


class PBTModel(keras_tuner.HyperModel):
    """The number of units shapes the model's variables; the learning rate may change while it trains."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = keras.Sequential([keras.layers.Input((64,))])
        model.add(keras.layers.Dense(hp.Choice("units", [8, 16]), activation="relu"))
        model.add(keras.layers.Dense(10, activation="softmax"))
        rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        return model


class SchedulerTuner(Watched, kt_ext.SchedulerTuner):
    pass


def wait_for(path: Path) -> None:
    """Until another process has made the file."""
    while not path.exists():
        time.sleep(0.02)


def tuner_of(kind: str, **where: Any) -> Any:
    """The same tuner in every process."""
    if kind == "asha":
        return ASHATuner(HyperModel(), "val_loss", max_epochs=9, max_trials=9, seed=0, **where)
    if kind == "bohb":
        return BOHBTuner(HyperModel(), "val_loss", max_epochs=4, factor=2, max_trials=16, seed=0, **where)
    if kind == "pbt":
        return PBTTuner(
            PBTModel(), "val_loss", population_size=4, max_epochs=8, perturbation_interval=2, quantile_fraction=0.5,
            synchronous=True, seed=0, **where,
        )  # fmt: skip
    scheduler = kt_ext.schedulers.FIFO(max_trials=6, max_epochs=2)
    return SchedulerTuner(LateHyperModel(), scheduler, "random", "val_loss", seed=0, executions_per_trial=2, **where)


def data() -> tuple[Any, Any]:
    """Training and validation data: 200 and 100 images as vectors, and their digits."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32")
    return (x[:200], y[:200]), (x[200:300], y[200:300])


def main() -> None:
    global directory
    directory = Path(sys.argv[1])
    (x, y), validation_data = data()
    tuner = tuner_of(sys.argv[2], directory=str(directory), project_name="search", overwrite=True)
    tuner.search(x, y, validation_data=validation_data, batch_size=50)


if __name__ == "__main__":
    main()
