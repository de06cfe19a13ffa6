"""CPU cost of an oracle without any training: 8 hyperparameters, 10 reports a trial, journal on.

    python benchmarks/oracle_cost.py --trials 10000

Prints milliseconds of CPU per trial over the whole search and over its first and last tenth, with the time spent
waiting for the disk apart, beside keras-tuner's RandomSearch oracle and, where Optuna is installed, its journal storage
(fewer trials: their cost grows with the number).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras_tuner
import numpy as np

import kt_ext

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")


def space() -> keras_tuner.HyperParameters:
    """Eight hyperparameters of all kinds."""
    hp = keras_tuner.HyperParameters()
    hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    hp.Float("weight_decay", 1e-6, 1e-2, sampling="log")
    hp.Float("dropout", 0.0, 0.5)
    hp.Float("momentum", 0.8, 0.99)
    hp.Int("units", 16, 256, step=16)
    hp.Int("layers", 1, 5)
    hp.Choice("activation", ["relu", "tanh", "gelu"])
    hp.Boolean("batch_norm")
    return hp


def drive(oracle: Any, trials: int, reports: int, seed: int) -> list[float]:
    """Run ``trials`` trials of ``reports`` epochs; CPU milliseconds of each."""
    rng = np.random.default_rng(seed)
    milliseconds = []
    for _ in range(trials):
        noise = rng.normal(size=(reports, len(METRICS)))
        begin = time.process_time()
        trial = oracle.create_trial("tuner0")
        if trial.status == "STOPPED":
            break
        for epoch in range(1, reports + 1):
            answer = oracle.update_trial(
                trial.trial_id, dict(zip(METRICS, noise[epoch - 1].tolist(), strict=True)), step=epoch
            )
            if answer.status == "STOPPED":
                break
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        milliseconds.append(1e3 * (time.process_time() - begin))
    return milliseconds


def show(name: str, milliseconds: list[float], sync_seconds: float = 0.0) -> None:
    tenth = max(1, len(milliseconds) // 10)
    first, last = np.mean(milliseconds[:tenth]), np.mean(milliseconds[-tenth:])
    wait = f"  waiting for the disk {1e3 * sync_seconds / len(milliseconds):.2f} ms" if sync_seconds else ""
    print(
        f"{name:42} {len(milliseconds):6} trials  {np.mean(milliseconds):7.3f} ms CPU a trial   "
        f"first tenth {first:.3f}  last tenth {last:.3f}  ratio {last / first:.2f}{wait}",
        flush=True,
    )


def drive_optuna(directory: str, trials: int, reports: int, seed: int) -> list[float]:
    """The same space and reports in an Optuna study on its journal storage; CPU milliseconds of each trial."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = optuna.storages.journal.JournalFileBackend(f"{directory}/optuna.log")
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(file),
        sampler=optuna.samplers.RandomSampler(seed=seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(reduction_factor=2),
        direction="maximize",
    )
    rng = np.random.default_rng(seed)
    milliseconds = []
    for _ in range(trials):
        values = rng.normal(size=reports).tolist()
        begin = time.process_time()
        trial = study.ask()
        for name, low, high in (("learning_rate", 1e-4, 1e-1), ("weight_decay", 1e-6, 1e-2)):
            trial.suggest_float(name, low, high, log=True)
        trial.suggest_float("dropout", 0.0, 0.5)
        trial.suggest_float("momentum", 0.8, 0.99)
        trial.suggest_int("units", 16, 256, step=16)
        trial.suggest_int("layers", 1, 5)
        trial.suggest_categorical("activation", ["relu", "tanh", "gelu"])
        trial.suggest_categorical("batch_norm", [False, True])
        for epoch, value in enumerate(values, start=1):
            trial.report(value, epoch)
            if trial.should_prune():
                break
        study.tell(trial, value)
        milliseconds.append(1e3 * (time.process_time() - begin))
    return milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--peer-trials", type=int, default=1_000)
    parser.add_argument("--reports", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    objective = keras_tuner.Objective("val_accuracy", "max")
    fifo = kt_ext.schedulers.FIFO(args.trials, args.reports)
    asha = kt_ext.schedulers.ASHA(args.reports, factor=2, max_trials=args.trials, variant="stopping")
    with tempfile.TemporaryDirectory() as directory:
        for name, scheduler in (("kt_ext FIFO, random", fifo), ("kt_ext ASHA stopping, random", asha)):

            def oracle(name: str = name, scheduler: Any = scheduler) -> kt_ext.oracles.SchedulerOracle:
                made = kt_ext.oracles.SchedulerOracle(scheduler, "random", objective, hyperparameters=space(), seed=0)
                made._set_project_dir(directory, name.replace(" ", "_"))
                made.verbose = 0
                return made

            first = oracle()
            milliseconds = drive(first, args.trials, args.reports, args.seed)
            show(name, milliseconds, first.files.sync_seconds)
            first.finish()
            again = oracle()
            begin = time.process_time()
            again.reload()
            print(f"{'':42} taking over {len(again.trials)} trials: {time.process_time() - begin:.2f} s CPU")
        random_search = keras_tuner.oracles.RandomSearchOracle(
            objective, max_trials=args.peer_trials, hyperparameters=space(), seed=1
        )
        random_search._set_project_dir(directory, "peer")
        random_search.verbose = 0
        show("keras_tuner RandomSearch", drive(random_search, args.peer_trials, args.reports, args.seed))
        if importlib.util.find_spec("optuna"):
            show("optuna random + halving, journal", drive_optuna(directory, args.peer_trials, args.reports, args.seed))


if __name__ == "__main__":
    main()
