"""Which tuner finds the best model in the same number of epochs, on scikit-learn's digits.

    python benchmarks/which_tuner.py --seeds 0 1 2 3 4 --epochs 160

A small CNN with seven hyperparameters: learning rate and L2 factor (logarithmic), dropout, filters, activation and
optimizer (unordered), and momentum, which SGD alone has. 600 images to train on; the others are halved into a
validation part, by which the searches choose, and a test part, which is seen once, by the chosen model. Each seed also
draws the split, so methods are compared in pairs. All train ``--epochs`` epochs in total, at most ``--max-epochs`` in
one trial; peers without such a budget are stopped by a callback in the middle of their last trial. Every run is a
process of its own.

Printed for each run: the best validation accuracy, the test accuracy of that model, epochs trained, trials started,
CPU seconds of the process; for each method the mean and its standard error, and the paired differences to the first.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).parents[1]
METHODS = ("auto", "bohb", "asha", "keras_tuner hyperband", "optuna tpe+halving", "optuna tpe+hyperband")
BATCH_SIZE, FACTOR = 32, 3


def build(hp: Any) -> Any:
    """The model that all methods search."""
    import keras

    activation = hp.Choice("activation", ["relu", "tanh", "elu"], ordered=False)
    l2 = keras.regularizers.L2(hp.Float("l2", 1e-6, 1e-1, sampling="log"))
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(hp.Int("filters", 8, 32, step=8), 3, padding="same", activation=activation),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dropout(hp.Float("dropout", 0.05, 0.7)),
            keras.layers.Dense(32, activation=activation, kernel_regularizer=l2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    rate = hp.Float("learning_rate", 1e-5, 1e-1, sampling="log")
    name = hp.Choice("optimizer", ["sgd", "adam", "rmsprop"], ordered=False)
    if name == "sgd":
        with hp.conditional_scope("optimizer", ["sgd"]):
            optimizer = keras.optimizers.SGD(rate, momentum=hp.Float("momentum", 0.1, 0.99))
    else:
        optimizer = keras.optimizers.Adam(rate) if name == "adam" else keras.optimizers.RMSprop(rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def suggested(trial: Any) -> dict[str, Any]:
    """The same space for Optuna."""
    values = {
        "activation": trial.suggest_categorical("activation", ["relu", "tanh", "elu"]),
        "filters": trial.suggest_int("filters", 8, 32, step=8),
        "dropout": trial.suggest_float("dropout", 0.05, 0.7),
        "l2": trial.suggest_float("l2", 1e-6, 1e-1, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True),
        "optimizer": trial.suggest_categorical("optimizer", ["sgd", "adam", "rmsprop"]),
    }
    if values["optimizer"] == "sgd":
        values["momentum"] = trial.suggest_float("momentum", 0.1, 0.99)
    return values


def data(seed: int) -> list[tuple[Any, Any]]:
    """Training, validation and test part: 600, 598 and 599 images."""
    import numpy as np
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32").reshape(-1, 8, 8, 1)
    return [(x[part], y[part]) for part in np.split(np.random.default_rng(seed).permutation(len(x)), [600, 1198])]


def run_kt_ext(method: str, seed: int, epochs: int, max_epochs: int, directory: str) -> dict[str, Any]:
    """One search by a tuner of kt_ext."""
    import kt_ext

    (x, y), validation, test = data(seed)
    where = {"directory": directory, "seed": seed}
    if method == "auto":
        tuner = kt_ext.AutoTuner(build, "val_accuracy", max_epochs, budget=epochs, **where)
    else:
        kind = {"bohb": kt_ext.BOHBTuner, "asha": kt_ext.ASHATuner}[method]
        tuner = kind(
            build, "val_accuracy", max_epochs, factor=FACTOR, max_trials=epochs, max_total_epochs=epochs, **where
        )
    tuner.search(x, y, validation_data=validation, batch_size=BATCH_SIZE, verbose=0)
    model = tuner.get_best_models()[0]
    trained, trials = tuner.oracle.search.history.total_epochs, len(tuner.oracle.trials)
    return {**accuracies(model, validation, test), "epochs": trained, "trials": trials}


def run_keras_tuner(seed: int, epochs: int, max_epochs: int, directory: str) -> dict[str, Any]:
    """One search by Keras Tuner's Hyperband, its table repeated until the epochs are used up."""
    import keras
    import keras_tuner

    class Budget(keras.callbacks.Callback):
        left = epochs

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.left -= 1
            self.model.stop_training = self.left == 0

        def __deepcopy__(self, memo: Any) -> Budget:  # Keras Tuner copies callbacks for each trial
            return self

    class Hyperband(keras_tuner.Hyperband):
        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            if not budget.left:
                self.oracle.max_trials = len(self.oracle.start_order)

    (x, y), validation, test = data(seed)
    budget = Budget()
    tuner = Hyperband(
        build,
        "val_accuracy",
        max_epochs=max_epochs,
        factor=FACTOR,
        hyperband_iterations=1000,
        seed=seed + 1,  # 0 would be none
        directory=directory,
    )
    tuner.search(x, y, validation_data=validation, batch_size=BATCH_SIZE, verbose=0, callbacks=[budget])
    model = tuner.get_best_models()[0]
    return {**accuracies(model, validation, test), "epochs": epochs - budget.left, "trials": len(tuner.oracle.trials)}


def run_optuna(method: str, seed: int, epochs: int, max_epochs: int) -> dict[str, Any]:
    """One search by Optuna's TPE with a pruner that is asked after every epoch."""
    import keras
    import keras_tuner
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    (x, y), validation, test = data(seed)
    left, best, weights, best_values = epochs, -math.inf, None, {}

    class Report(keras.callbacks.Callback):
        value = -math.inf
        pruned = False

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            nonlocal left, best, weights, best_values
            left -= 1
            self.value = max(self.value, logs["val_accuracy"])
            if self.value > best:
                best, weights, best_values = self.value, self.model.get_weights(), values
            trial.report(logs["val_accuracy"], epoch + 1)
            self.pruned = trial.should_prune()
            self.model.stop_training = self.pruned or left == 0

    if method.endswith("hyperband"):
        pruner = optuna.pruners.HyperbandPruner(1, max_epochs, FACTOR)
    else:
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=FACTOR)
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    keras.utils.set_random_seed(seed)
    while left:
        trial = study.ask()
        values, report = suggested(trial), Report()
        keras.backend.clear_session()  # as the tuners do from trial to trial
        model = build(with_values(keras_tuner.HyperParameters(), values))
        model.fit(
            x,
            y,
            validation_data=validation,
            batch_size=BATCH_SIZE,
            epochs=max_epochs,
            verbose=0,
            callbacks=[report],
        )
        if report.pruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, report.value)
    model = build(with_values(keras_tuner.HyperParameters(), best_values))
    model.set_weights(weights)
    return {**accuracies(model, validation, test), "epochs": epochs - left, "trials": len(study.trials)}


def with_values(hp: Any, values: dict[str, Any]) -> Any:
    """Hyperparameters that already have these values when ``build`` asks for them."""
    hp.values = dict(values)
    return hp


def accuracies(model: Any, validation: tuple[Any, Any], test: tuple[Any, Any]) -> dict[str, float]:
    """On the validation and the test part."""
    return {
        name: model.evaluate(*part, verbose=0, return_dict=True)["accuracy"]
        for name, part in (("validation", validation), ("test", test))
    }


def search(method: str, seed: int, epochs: int, max_epochs: int, directory: str) -> dict[str, Any]:
    """One search in this process."""
    if method.startswith("optuna"):
        return run_optuna(method, seed, epochs, max_epochs)
    if method.startswith("keras_tuner"):
        return run_keras_tuner(seed, epochs, max_epochs, directory)
    return run_kt_ext(method, seed, epochs, max_epochs, directory)


def in_process(*call: Any) -> dict[str, Any]:
    """A search in a process of its own; its result with the CPU seconds of that process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, __file__, "--call", json.dumps(call)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout.splitlines()[-1]), "cpu": cpu}


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """The mean and its standard error; NaN of a single value."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, default=160, help="of all trials of a search together")
    parser.add_argument("--max-epochs", type=int, default=16, help="of one trial")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS[:5]))
    parser.add_argument("--call", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.call:
        print(json.dumps(search(*json.loads(args.call))))
        return
    runs: dict[str, list[dict[str, Any]]] = {method: [] for method in args.methods}
    print(f"{'':24}{'seed':>4} {'validation':>10} {'test':>7} {'epochs':>6} {'trials':>6} {'CPU s':>6}", flush=True)
    for seed in args.seeds:
        for method in args.methods:
            with tempfile.TemporaryDirectory() as directory:
                run = in_process(method, seed, args.epochs, args.max_epochs, directory)
            runs[method].append(run)
            print(f"{method:24}{seed:4} {run['validation']:10.4f} {run['test']:7.4f} {run['epochs']:6} "
                  f"{run['trials']:6} {run['cpu']:6.0f}", flush=True)  # fmt: skip
    print("\nmean (standard error)")
    for method, done in runs.items():
        cells = [mean_and_error([run[name] for run in done]) for name in ("validation", "test", "cpu")]
        said = [f"{name} {m:.4f} ({e:.4f})" for name, (m, e) in zip(("validation", "test"), cells, strict=False)]
        print(f"{method:24}{', '.join(said)}, CPU s {cells[2][0]:.0f} ({cells[2][1]:.0f})")
    first, *others = args.methods
    print(f"\n{first} minus each, paired by seed: mean (standard error), better : equal : worse")
    for method in others:
        said = []
        for name in ("validation", "test"):
            gains = [a[name] - b[name] for a, b in zip(runs[first], runs[method], strict=True)]
            mean, error = mean_and_error(gains)
            won, lost = sum(gain > 1e-9 for gain in gains), sum(gain < -1e-9 for gain in gains)
            said.append(f"{name} {mean:+.4f} ({error:.4f}), {won} : {len(gains) - won - lost} : {lost}")
        print(f"{method:24}{'   '.join(said)}")


if __name__ == "__main__":
    main()
