"""Oracles on learning curves of LCBench: how far from the best after 10, 30 and 100 % of a budget, and at what cost.

    pip install onnxruntime optuna
    python benchmarks/lcbench.py DIRECTORY --methods auto "keras_tuner hyperband" --seeds 0 1 2 3 4 [--fold]

LCBench (Zimmer, Lindauer, Hutter, 2021) is 2,000 neural networks on each of 35 tasks; YAHPO Gym (Pfisterer et al.,
2022) predicts their curves for any values of seven hyperparameters. DIRECTORY holds its files model.onnx and
encoding.json, from https://github.com/slds-lmu/yahpo_data, lcbench.

Every oracle is driven through Keras Tuner's protocol by ``--workers`` simulated workers; an epoch takes one second of
the simulated clock, a resumed trial pays no epoch twice. Regret is (best known - best seen) / (best known - worst),
where best and worst are the ends of 20,000 random configurations of the task; it may be negative. With ``--fold`` each
hyperparameter's position u on its scale becomes tri(2 u + shift): nature's optima lie in corners, folded ones inside.
The mean is over tasks, its standard error over seeds. Nothing was chosen on the tasks that are the default here.
"""

from __future__ import annotations

import argparse
import heapq
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np

import kt_ext

EPOCHS, FULL_TRAININGS, MARKS = 52, 100, (0.1, 0.3, 1.0)
# name: low, high, integer, logarithmic; in the order of the model's inputs
SPACE = {
    "batch_size": (16, 512, True, True),
    "learning_rate": (1e-4, 1e-1, False, True),
    "momentum": (0.1, 0.99, False, False),
    "weight_decay": (1e-5, 1e-1, False, False),
    "num_layers": (1, 5, True, False),
    "max_units": (64, 1024, True, True),
    "max_dropout": (0.0, 1.0, False, False),
}
CHOSEN_ON = ["168868", "167152", "167181", "189865", "167184", "189909", "189862", "189873", "168331", "189354"]


class Task:
    """The learning curves of one task; ``fold`` is the seed of the shifts, None for none."""

    def __init__(self, session: Any, code: int, task: str, fold: int | None) -> None:
        self._session, self._code = session, code
        self._curves: dict[tuple[float, ...], np.ndarray] = {}
        self._shift = None if fold is None else np.random.default_rng([fold, int(task)]).uniform(0, 2, len(SPACE))
        finals = self._predict(_at(np.random.default_rng(int(task)).random((20_000, len(SPACE)))), [EPOCHS])
        self.best, self.worst = float(finals.max()), float(finals.min())

    def curve(self, values: dict[str, float]) -> np.ndarray:
        """Validation accuracy in percent after each epoch, shape (52,)."""
        key = tuple(float(values[name]) for name in SPACE)
        if key not in self._curves:
            rows = np.array([key])
            if self._shift is not None:
                z = (2 * _units(rows) + self._shift) % 2.0
                rows = _at(1 - np.abs(1 - z))
            self._curves[key] = self._predict(rows, range(1, EPOCHS + 1))[0]
        return self._curves[key]

    def regret(self, accuracy: float) -> float:
        return (self.best - accuracy) / (self.best - self.worst)

    def _predict(self, rows: np.ndarray, epochs: Any) -> np.ndarray:
        epochs = np.asarray(list(epochs))
        inputs = np.empty((len(rows), len(epochs), 1 + len(SPACE)), np.float32)
        inputs[:, :, 0], inputs[:, :, 1:] = epochs, rows[:, None, :]
        flat = inputs.reshape(-1, inputs.shape[-1])
        found = self._session.run(None, {"x_cat": np.full((len(flat), 1), self._code, np.int32), "x_cont": flat})[0]
        return np.clip(found[:, 1].astype(float), 0, 100).reshape(len(rows), len(epochs))


def _ends() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low, high, integer, log = (np.array(column, float) for column in zip(*SPACE.values(), strict=True))
    return np.where(integer, low - 0.5, low), np.where(integer, high + 0.5, high), log.astype(bool)


def _units(rows: np.ndarray) -> np.ndarray:
    low, high, log = _ends()
    safe = np.where(log, low, 1.0)
    return np.where(log, np.log(rows / safe) / np.log(np.where(log, high / safe, 2.0)), (rows - low) / (high - low))


def _at(units: np.ndarray) -> np.ndarray:
    low, high, log = _ends()
    rows = np.where(log, low * np.where(log, high / np.where(log, low, 1.0), 1.0) ** units, low + units * (high - low))
    integer = np.array([spec[2] for spec in SPACE.values()])
    given = np.array([spec[:2] for spec in SPACE.values()], float)
    return np.clip(np.where(integer, np.rint(rows), rows), given[:, 0], given[:, 1])


def hyperparameters() -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    for name, (low, high, integer, log) in SPACE.items():
        (hp.Int if integer else hp.Float)(name, low, high, sampling="log" if log else "linear")
    return hp


def simulate(oracle: Any, task: Task, workers: int, budget: int) -> tuple[list[float], int, float]:
    """Regret at each mark, trials started, and CPU seconds of the oracle."""
    best, at_mark, epochs, cpu = -np.inf, [], 0, 0.0
    free, heap = list(range(workers)), []

    def timed(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        nonlocal cpu
        started = time.process_time()
        answer = call(*args, **kwargs)
        cpu += time.process_time() - started
        return answer

    over = False
    while len(at_mark) < len(MARKS):
        waiting = []
        for worker in free:
            trial = None if over else timed(oracle.create_trial, f"worker-{worker}")
            if trial is None or trial.status != "RUNNING":
                over = over or trial is None or trial.status == "STOPPED"
                waiting.append(worker)
                continue
            values = trial.hyperparameters.values
            first = int(values.get("tuner/initial_epoch", 0)) + 1
            heapq.heappush(heap, (float(heap[0][0] if heap else 0) + 1, worker, trial, first))
        free = waiting
        if not heap:
            break
        now, worker, trial, epoch = heapq.heappop(heap)
        accuracy = float(task.curve(trial.hyperparameters.values)[epoch - 1])
        epochs, best = epochs + 1, max(best, accuracy)
        if epochs >= MARKS[len(at_mark)] * budget:
            at_mark.append(task.regret(best))
        told = timed(oracle.update_trial, trial.trial_id, {"val_accuracy": accuracy}, step=epoch)
        if told.status == "STOPPED" or epoch >= int(trial.hyperparameters.values.get("tuner/epochs", EPOCHS)):
            trial.status = "COMPLETED"
            timed(oracle.end_trial, trial)
            free.append(worker)
        else:
            heapq.heappush(heap, (now + 1, worker, trial, epoch + 1))
    return at_mark + [task.regret(best)] * (len(MARKS) - len(at_mark)), len(oracle.trials), cpu


def _objective() -> keras_tuner.Objective:
    return keras_tuner.Objective("val_accuracy", "max")


def _optuna_tpe(hp: Any, seed: int) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    searcher = kt_ext.searchers.OptunaSearcher(optuna.samplers.TPESampler())
    return kt_ext.oracles.BayesianOracle(_objective(), EPOCHS, 10**6, searcher=searcher, hyperparameters=hp, seed=seed)


def _ours(name: str, **kwargs: Any) -> Callable[[Any, int], Any]:
    return lambda hp, seed: getattr(kt_ext.oracles, name)(
        _objective(), max_epochs=EPOCHS, hyperparameters=hp, seed=seed, **kwargs
    )


METHODS: dict[str, Callable[[Any, int], Any]] = {
    "auto": _ours("AutoOracle", budget=FULL_TRAININGS * EPOCHS),
    "bohb": _ours("BOHBOracle", max_trials=10**6),
    "hyperband": _ours("HyperbandOracle", max_trials=10**6),
    "asha": _ours("ASHAOracle", max_trials=10**6),
    "bayesian gp": _ours("BayesianOracle", max_trials=10**6),
    "bayesian tpe": _ours("BayesianOracle", max_trials=10**6, searcher="tpe"),
    "bayesian forest": _ours("BayesianOracle", max_trials=10**6, searcher="forest"),
    "optuna tpe": _optuna_tpe,
    "keras_tuner hyperband": lambda hp, seed: keras_tuner.oracles.HyperbandOracle(
        _objective(), max_epochs=EPOCHS, factor=3, hyperband_iterations=100, hyperparameters=hp, seed=seed
    ),
    "keras_tuner random": lambda hp, seed: keras_tuner.oracles.RandomSearchOracle(
        _objective(), max_trials=10**6, hyperparameters=hp, seed=seed
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--tasks", nargs="+", help="OpenML tasks; else six of which nothing was chosen")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--fold", action="store_true")
    arguments = parser.parse_args()

    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(arguments.directory / "model.onnx"), options)
    codes = json.loads((arguments.directory / "encoding.json").read_text())["OpenML_task_id"]
    known = [task for task in codes if task.isdigit()]
    tasks = arguments.tasks or [task for task in known if task not in CHOSEN_ON][::4][:6]
    print(f"tasks {' '.join(tasks)}; {'folded' if arguments.fold else 'natural'}; {arguments.workers} workers")
    for method in arguments.methods:
        table = np.empty((len(tasks), len(arguments.seeds), len(MARKS)))
        trials, cpu = [], []
        for i, name in enumerate(tasks):
            for j, seed in enumerate(arguments.seeds):
                task = Task(session, codes[name], name, 1000 + seed if arguments.fold else None)
                # Keras Tuner draws value k of seed s from Random(s + k): spread, or near seeds repeat each other.
                oracle = METHODS[method](hyperparameters(), (seed * 100 + known.index(name)) * 10_007 + 1)
                with tempfile.TemporaryDirectory() as directory:
                    oracle._set_project_dir(directory, "search")
                    oracle.verbose = 0
                    table[i, j], started, seconds = simulate(oracle, task, arguments.workers, FULL_TRAININGS * EPOCHS)
                trials.append(started)
                cpu.append(seconds)
        mean, per_seed = table.mean((0, 1)), table.mean(0)
        error = per_seed.std(0, ddof=1) / len(per_seed) ** 0.5 if len(per_seed) > 1 else np.full(len(MARKS), np.nan)
        cells = " | ".join(f"{m:.3f} ± {e:.3f}" for m, e in zip(mean, error, strict=True))
        print(f"| {method} | {cells} | {np.mean(trials):.0f} | {np.mean(cpu):.1f} |", flush=True)


if __name__ == "__main__":
    main()
