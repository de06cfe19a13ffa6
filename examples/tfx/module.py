"""What a TFX pipeline runs: ``tuner_fn`` searches with a population, ``run_fn`` trains along the schedule it found.

Both read the examples that CsvExampleGen made of ``pipeline.py``'s table: thirteen numbers and a class for each wine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import tensorflow as tf

import kt_ext
from kt_ext.integrations.tfx import tuner_fn_result
from kt_ext.training import live

COLUMNS = [f"x{i}" for i in range(13)]
LABEL, CLASSES, BATCH = "label", 3, 16


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A network with one hidden layer; nothing in it knows of TFX or of kt_ext."""
    model = keras.Sequential(
        [
            keras.layers.Input((len(COLUMNS),)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dropout(hp.Float("dropout", 0.05, 0.5)),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.AdamW(hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def dataset(patterns: Sequence[str]) -> tf.data.Dataset:
    """The examples in files of these patterns, in batches, for ever."""
    features = {name: tf.io.FixedLenFeature([], tf.float32) for name in COLUMNS}
    features[LABEL] = tf.io.FixedLenFeature([], tf.int64)

    def parsed(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        columns = tf.io.parse_example(records, features)
        return tf.stack([columns[name] for name in COLUMNS], axis=1), columns[LABEL]

    files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))
    return tf.data.TFRecordDataset(files, "GZIP").shuffle(200, seed=0).batch(BATCH).map(parsed).repeat()


def fit_arguments(fn_args: Any) -> dict[str, Any]:
    """What ``search`` and ``fit`` take."""
    return {
        "x": dataset(fn_args.train_files),
        "steps_per_epoch": fn_args.train_steps,
        "validation_data": dataset(fn_args.eval_files),
        "validation_steps": fn_args.eval_steps,
    }


def tuner_fn(fn_args: Any) -> Any:
    """For the Tuner component."""
    config = fn_args.custom_config or {}
    tuner = kt_ext.PBTTuner(
        build,
        objective="val_loss",
        population_size=config.get("population_size", 4),
        max_epochs=config.get("max_epochs", 6),
        seed=0,
        # The Google Cloud executor makes this process the chief or a worker, by Keras Tuner's variables.
        executor="auto" if "KERASTUNER_ORACLE_IP" in os.environ else "serial",
        directory=config.get("directory", fn_args.working_dir),
        checkpoint_directory=config.get("checkpoint_directory"),
        project_name="population",
    )
    return tuner_fn_result(tuner, fit_arguments(fn_args))


class Rates(keras.callbacks.Callback):
    """The learning rate that each epoch's steps were given."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.rates.append(live.values(self.model)["optimizer.learning_rate"])


def run_fn(fn_args: Any) -> None:
    """For the Trainer component."""
    hp = keras_tuner.HyperParameters.from_config(fn_args.hyperparameters)
    schedule = kt_ext.schedule_from(hp)
    keras.utils.set_random_seed(schedule.seed)
    model, rates = build(kt_ext.hyperparameters(schedule.values)), Rates()
    replay = kt_ext.ScheduleReplay(schedule, build=build)
    model.fit(**fit_arguments(fn_args), epochs=schedule.epochs, callbacks=[replay, rates], verbose=2)
    model.export(fn_args.serving_model_dir)
    # For who wants to see that the schedule was followed: what the steps were given.
    followed = {"epochs": schedule.epochs, "learning_rates": rates.rates}
    Path(fn_args.model_run_dir).mkdir(parents=True, exist_ok=True)
    (Path(fn_args.model_run_dir) / "followed.json").write_text(json.dumps(followed))
