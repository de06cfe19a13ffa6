"""Population based training against as many constant learning rates, on digits with wrong labels.

    python benchmarks/pbt_noisy_labels.py --seeds 10

An MLP (64-128-10, SGD with momentum) on scikit-learn's digits, of whose training labels 20 % are wrong. Both searches
train 8 members for 20 epochs and begin with the same 8 rates (the same seed); one changes them. Each seed also draws
the split of the data and the wrong labels. Printed: validation and test loss of the epoch with the best validation
loss.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import keras_tuner
import numpy as np
from sklearn.datasets import load_digits

import kt_ext

MEMBERS, MAX_EPOCHS, WRONG = 8, 20, 0.2


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """The learning rate alone is searched."""
    hidden = keras.layers.Dense(128, activation="relu")
    model = keras.Sequential([keras.layers.Input((64,)), hidden, keras.layers.Dense(10)])
    rate = hp.Float("learning_rate", 1e-4, 1.0, sampling="log")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss)
    return model


def data(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training (wrong labels in it), validation and test data: 1,078, 359 and 360 images."""
    rng = np.random.default_rng(seed)
    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32")
    parts = [(x[p], y[p].copy()) for p in np.split(rng.permutation(len(x)), [1078, 1437])]
    labels = parts[0][1]
    wrong = rng.random(len(labels)) < WRONG
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, wrong.sum())) % 10
    return parts


def losses(tuner: Any, seed: int) -> tuple[float, float]:
    """Validation and test loss of the best epoch."""
    (x, y), validation, test = data(seed)
    tuner.search(x, y, validation_data=validation, batch_size=64, verbose=0)
    model = tuner.get_best_models()[0]
    return model.evaluate(*validation, verbose=0), model.evaluate(*test, verbose=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    rows = []
    print("seed   constant: validation, test   PBT: validation, test")
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as directory:
            fifo = kt_ext.schedulers.FIFO(MEMBERS, MAX_EPOCHS)
            where = {"directory": directory, "seed": seed}
            constant = kt_ext.SchedulerTuner(build, fifo, objective="val_loss", project_name="constant", **where)
            pbt = kt_ext.PBTTuner(build, "val_loss", MEMBERS, MAX_EPOCHS, project_name="pbt", **where)
            rows.append([*losses(constant, seed), *losses(pbt, seed)])
        print(f"{seed:4}   {rows[-1][0]:10.4f} {rows[-1][1]:10.4f} {rows[-1][2]:14.4f} {rows[-1][3]:10.4f}", flush=True)
    table = np.array(rows)
    for name, column in (("validation", 0), ("test", 1)):
        difference = table[:, column + 2] - table[:, column]
        error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else float("nan")
        print(
            f"{name}: constant {table[:, column].mean():.4f}, PBT {table[:, column + 2].mean():.4f}; "
            f"PBT minus constant {difference.mean():+.4f}, standard error {error:.4f}, "
            f"PBT better on {(difference < 0).sum()} of {len(difference)} seeds"
        )


if __name__ == "__main__":
    main()
