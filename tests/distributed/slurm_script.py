"""What a user of Slurm has: one script, in which nothing says who is the chief.

    python slurm_script.py DIRECTORY [DIES [returns]]

Each process appends to ``ID.jsonl`` a line for each epoch that it has trained. The worker DIES is killed at the
beginning of its third epoch, once; with ``returns`` the others wait until it is there again.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import keras_tuner
from sklearn.datasets import load_digits

import kt_ext

EPOCH_SECONDS = 0.2  # so that no worker is done before the others have come
DIRECTORY = Path(sys.argv[1])
DIED, RETURNED = DIRECTORY / "died", DIRECTORY / "returned"
DIES = sys.argv[2] if sys.argv[2:] else None


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    model = keras.Sequential([keras.layers.Input((64,))])
    model.add(keras.layers.Dense(hp.Int("units", 16, 32, step=16), activation="relu"))
    model.add(keras.layers.Dense(10, activation="softmax"))
    rate = hp.Float("rate", 0.003, 0.03, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    return model


class Tuner(kt_ext.ASHATuner):
    """Writes down what it trains."""

    epochs_begun = 0

    def on_search_begin(self) -> None:
        if DIED.exists() and os.environ["KERASTUNER_TUNER_ID"] == DIES:
            RETURNED.touch()

    def on_epoch_begin(self, trial: Any, model: keras.Model, epoch: int, logs: Any = None) -> None:
        self.epochs_begun += 1
        if os.environ["KERASTUNER_TUNER_ID"] == DIES and self.epochs_begun == 3 and not DIED.exists():
            DIED.write_text(f"{trial.trial_id} {epoch + 1}")
            os.kill(os.getpid(), signal.SIGKILL)
        while "returns" in sys.argv and DIED.exists() and not RETURNED.exists():
            time.sleep(EPOCH_SECONDS)
        time.sleep(EPOCH_SECONDS)

    def on_epoch_end(self, trial: Any, model: keras.Model, epoch: int, logs: Any = None) -> None:
        restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        note = {"trial": int(trial.trial_id), "epoch": epoch + 1, "pid": os.getpid(), "restarts": restarts}
        with open(DIRECTORY / f"{os.environ['KERASTUNER_TUNER_ID']}.jsonl", "a") as file:
            file.write(json.dumps(note) + "\n")


def main() -> None:
    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32")
    tuner = Tuner(
        build, "val_loss", max_epochs=9, max_trials=9, seed=0, lease_seconds=5.0, heartbeat_seconds=1.0,
        directory=DIRECTORY, project_name="search", overwrite=True,
    )  # fmt: skip
    tuner.search(x[:200], y[:200], validation_data=(x[200:300], y[200:300]), batch_size=50)
    if os.environ["KERASTUNER_TUNER_ID"] == "chief":  # the only one that has the results when all is over
        print("found", tuner.oracle.get_best_trials()[0].score)


if __name__ == "__main__":
    main()
