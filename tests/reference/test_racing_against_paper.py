"""One worker's race is the paper's, on random configurations, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kt_ext.core.simulate import simulate
from kt_ext.schedulers import Racing
from reference.irace_race import iterated_race


def settings(rng: np.random.Generator) -> dict[str, Any]:
    max_instances = int(rng.integers(2, 11))
    return {
        "max_instances": max_instances,
        "max_trials": int(rng.integers(1, 40)),
        "first_test": int(rng.integers(2, max_instances + 1)),
        "each_test": int(rng.integers(1, 4)),
        "test": str(rng.choice(["friedman", "t"])),
        "min_survivors": int(rng.integers(1, 5)),
        "trials_per_race": int(rng.integers(1, 15)),
    }


@pytest.mark.parametrize("block", range(5))
def test_the_same_experiments_and_the_same_survivors(block):
    ended_early = 0
    for seed in range(40 * block, 40 * block + 40):
        rng = np.random.default_rng(seed)
        chosen = settings(rng)
        level = float(rng.choice([0.05, 0.2]))
        table = rng.normal(size=(chosen["max_trials"], 1)) + rng.normal(size=(chosen["max_trials"], 10))

        def result(trial: int, instance: int, table: np.ndarray = table) -> float:
            return float(table[trial, instance - 1])

        asked: list[tuple[int, int]] = []

        def noted(trial: int, instance: int, asked: Any = asked, result: Any = result) -> float:
            asked.append((trial, instance))
            return result(trial, instance)

        experiments, survivors = iterated_race(result, level=level, **chosen)
        scheduler = Racing(confidence=1 - level, **chosen)
        simulation = simulate(scheduler, noted, workers=1)
        assert simulation.finished
        assert asked == experiments, (seed, chosen)
        assert [trial for trial, _ in scheduler.state()["results"]] == survivors, (seed, chosen)
        ended_early += len(experiments) < chosen["max_trials"] * chosen["max_instances"]
    assert ended_early > 20
