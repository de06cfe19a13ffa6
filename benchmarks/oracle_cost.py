"""CPU cost of an oracle without any training: 8 hyperparameters, 10 reports a trial, journal on.

    python benchmarks/oracle_cost.py --trials 10000

Prints milliseconds of CPU per trial over the whole search and over its first and last tenth, with the time spent waiting
for the disk apart, beside keras-tuner's RandomSearch oracle (fewer trials: its cost grows with their number).
"""

from __future__ import annotations

import argparse
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
            answer = oracle.update_trial(trial.trial_id, dict(zip(METRICS, noise[epoch - 1].tolist())), step=epoch)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--peer-trials", type=int, default=1_000)
    parser.add_argument("--reports", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    objective = keras_tuner.Objective("val_accuracy", "max")
    with tempfile.TemporaryDirectory() as directory:
        oracles = {
            "kt_ext FIFO, random": kt_ext.oracles.SchedulerOracle(
                kt_ext.schedulers.FIFO(args.trials, args.reports), "random", objective, hyperparameters=space(), seed=0
            ),
            "kt_ext ASHA stopping, random": kt_ext.oracles.ASHAOracle(
                objective, 10, factor=2, max_trials=args.trials, variant="stopping", hyperparameters=space(), seed=0
            ),
        }
        for number, (name, oracle) in enumerate(oracles.items()):
            oracle._set_project_dir(directory, f"kt_ext{number}")
            oracle.verbose = 0
            milliseconds = drive(oracle, args.trials, args.reports, args.seed)
            show(name, milliseconds, oracle.files.sync_seconds)
            begin = time.process_time()
            oracle.finish()
            finish = time.process_time() - begin
            again = type(oracle).__new__(type(oracle))
            again.__dict__.update(oracle.__dict__)
            begin = time.process_time()
            again.reload()
            print(
                f"{'':42} finish {finish:.2f} s CPU, reload of {len(again.trials)} trials {time.process_time() - begin:.2f} s"
            )
        peer = keras_tuner.oracles.RandomSearchOracle(
            objective, max_trials=args.peer_trials, hyperparameters=space(), seed=1
        )
        peer._set_project_dir(directory, "peer")
        peer.verbose = 0
        show("keras_tuner RandomSearch", drive(peer, args.peer_trials, args.reports, args.seed))


if __name__ == "__main__":
    main()
