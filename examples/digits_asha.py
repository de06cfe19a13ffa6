"""A real search in about a minute: ASHA over a small CNN on scikit-learn's handwritten digits.

    python examples/digits_asha.py

Stop it with Ctrl-C, or kill it, and start it again: it goes on where it was. ``--new`` begins anew.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import keras_tuner
import numpy as np
from sklearn.datasets import load_digits

import kt_ext


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A CNN of 17,000 parameters; nothing in it knows of kt_ext."""
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(hp.Float("dropout", 0.05, 0.5)),
            keras.layers.Dense(24, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.AdamW(
            hp.Float("learning_rate", 1e-4, 1e-1, sampling="log"),
            weight_decay=hp.Float("weight_decay", 1e-5, 1e-1, sampling="log"),
        ),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Training, validation and test data: 1,078, 359 and 360 images of 8 x 8 pixels."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype("float32").reshape(-1, 8, 8, 1)
    train, validation, test = np.split(np.random.default_rng(0).permutation(len(images)), [1078, 1437])
    return (images[train], labels[train]), (images[validation], labels[validation]), (images[test], labels[test])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", default="runs")
    parser.add_argument("--max-epochs", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--new", action="store_true", help="begin anew instead of going on")
    args = parser.parse_args()

    (x, y), validation, test = digits()
    tuner = kt_ext.ASHATuner(
        build,
        objective="val_accuracy",
        max_epochs=args.max_epochs,
        seed=args.seed,
        directory=args.directory,
        project_name="digits_asha",
        overwrite=args.new,
    )
    tuner.search(x, y, validation_data=validation, batch_size=64)
    model = tuner.get_best_models()[0]
    accuracy = model.evaluate(*test, verbose=0, return_dict=True)["accuracy"]
    print(f"The best model on the test images: accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
