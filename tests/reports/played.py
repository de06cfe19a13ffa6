"""Small searches of every kind, played without training, each epoch a second long; their journals are real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras_tuner

from kt_ext.oracles import SchedulerOracle
from kt_ext.schedulers import FIFO, PASHA, MedianRule
from oracles.oracle_driving import LOSS, Workers, asha, branching_space, by_values, placed, small_space
from oracles.population_driving import Population, pbt

TWO = [LOSS, keras_tuner.Objective("accuracy", "max")]
# (loss, accuracy) of four trials at epochs 1, 2, 3: tests/oracles/test_pareto.py says what becomes of them
CURVES = {
    "0": [(3.0, 0.3), (2.0, 0.5), (1.0, 0.6)],
    "1": [(2.0, 0.4), (2.5, 0.7), (9.0, 0.1)],
    "2": [(4.0, 0.2), (3.0, 0.3), (2.0, 0.5)],
    "3": [(5.0, 0.1), (float("nan"), 0.99), (4.0, 0.9)],
}


class Clock:
    """The clock of the oracles' searches, which goes on when told to. Use as a context with pytest's monkeypatch."""

    def __init__(self, monkeypatch: Any) -> None:
        self.now = 1000.0
        monkeypatch.setattr("kt_ext.oracles.clock.time", SimpleNamespace(monotonic=lambda: self.now))
        # a kill of the machine, which nobody plays here, loses more; tests take less time
        monkeypatch.setattr("kt_ext.core.journal._sync_data", lambda fd: None)
        monkeypatch.setattr("kt_ext.core.durable.os.fsync", lambda fd: None)

    def timed(self, curve: Callable[..., Any]) -> Callable[..., Any]:
        """The curve, a second for each epoch."""

        def slow(trial: Any, epoch: int) -> Any:
            self.now += 1.0
            return curve(trial, epoch)

        return slow


def maximised(trial: Any, epoch: int) -> dict[str, float]:
    """Accuracies that grow with the epoch, the best of trial 3; trial 1 crashes in its second epoch."""
    if trial.trial_id == "1" and epoch == 2:
        return ValueError("out of\nmemory")  # type: ignore[return-value]
    return {"accuracy": 0.5 - abs(int(trial.trial_id) - 3) / 10 + epoch / 100, "loss": 1.0}


def by_curves(trial: Any, epoch: int) -> dict[str, float]:
    loss, accuracy = CURVES[trial.trial_id][epoch - 1]
    return {"loss": loss, "accuracy": accuracy}


def played(oracle: Any, curve: Callable[..., Any], clock: Clock, workers: int = 1) -> Any:
    Workers(oracle, clock.timed(curve), workers).run()
    oracle.finish()
    return oracle


def asha_promotion(directory: Path, clock: Clock) -> Any:
    return played(asha(directory, hyperparameters=branching_space()), by_values, clock, workers=2)


def asha_stopping(directory: Path, clock: Clock) -> Any:
    return played(asha(directory, variant="stopping"), by_values, clock)


def asha_decisive(directory: Path, clock: Clock) -> Any:
    return played(asha(directory, variant="decisive"), by_values, clock, workers=2)


def asha_cut_short(directory: Path, clock: Clock) -> Any:
    return played(asha(directory, max_total_epochs=10), by_values, clock, workers=2)


def pasha(directory: Path, clock: Clock) -> Any:
    oracle = SchedulerOracle(PASHA(9, max_trials=9), objective=LOSS, seed=3, hyperparameters=small_space())
    return played(placed(oracle, directory), by_values, clock)


def median(directory: Path, clock: Clock) -> Any:
    rule = MedianRule(FIFO(9, 4), warmup_epochs=1, min_trials=3)
    oracle = SchedulerOracle(rule, objective=LOSS, seed=3, hyperparameters=small_space())
    return played(placed(oracle, directory), by_values, clock)


def failing(directory: Path, clock: Clock) -> Any:
    objective = keras_tuner.Objective("accuracy", "max")
    oracle = SchedulerOracle(FIFO(4, 3), objective=objective, seed=3, hyperparameters=small_space())
    return played(placed(oracle, directory), maximised, clock)


def pareto(directory: Path, clock: Clock) -> Any:
    oracle = SchedulerOracle(FIFO(4, 3), objective=TWO, multi_objective="pareto", seed=3, hyperparameters=small_space())
    return played(placed(oracle, directory), by_curves, clock)


def summed(directory: Path, clock: Clock) -> Any:
    oracle = SchedulerOracle(FIFO(4, 3), objective=TWO, seed=3, hyperparameters=small_space())
    return played(placed(oracle, directory), by_curves, clock)


def population(directory: Path, clock: Clock) -> Any:
    oracle = pbt(directory, population_size=6)
    Population(oracle, 2).run()
    oracle.finish()
    return oracle


SEARCHES: dict[str, Callable[[Path, Clock], Any]] = {
    made.__name__: made
    for made in (
        asha_promotion,
        asha_stopping,
        asha_decisive,
        asha_cut_short,
        pasha,
        median,
        failing,
        pareto,
        summed,
        population,
    )
}
