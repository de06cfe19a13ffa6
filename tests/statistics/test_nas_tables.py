"""Strategies on tables of trained networks reach what they aim at; benchmarks/nas_tables.py prints the figures.

A mean over these seeds may be below its bar by two of its standard errors.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks import nas_tables

pytestmark = pytest.mark.slow
#: A search by a model takes seconds, by the others a tenth of one.
SEEDS = {"predictor": 16, "bayesian": 8}


@cache
def table(name: str) -> nas_tables.Table:
    folder = os.environ.get("KT_EXT_NAS_TABLES")
    if not folder:
        pytest.skip("KT_EXT_NAS_TABLES is not set: it names the folder with nb201.csv.gz and nb_macro.csv.gz")
    return nas_tables.TABLES[name](Path(folder))


@cache
def scores(name: str, strategy: str) -> np.ndarray:
    """After each of 200 trials, shape (n_seeds, 200)."""
    return np.array([nas_tables.search(table(name), strategy, seed, 200) for seed in range(SEEDS.get(strategy, 50))])


def test_the_tables_are_whole() -> None:
    """Every architecture has a row; the best of NAS-Bench-201 by validation is its best by test, too."""
    nb201, macro = table("nb201"), table("nb_macro")
    assert (len(nb201.results), len(macro.results)) == (15_625, 6_561)
    assert max(nb201.results.values())[1] == max(test for _, test in nb201.results.values())
    assert round(max(nb201.results.values())[1], 2) == 94.37


# strategy, table, after 100 trials, after 200
BARS = [
    ("evolution", "nb201", 94.10, 94.27),
    ("evolution", "nb_macro", None, 93.03),
    ("local_search", "nb201", 94.20, 94.33),
    ("local_search", "nb_macro", None, 92.95),
    ("predictor", "nb201", 94.20, 94.28),
    ("predictor", "nb_macro", None, 93.04),
    ("bayesian", "nb201", 94.20, 94.28),
    ("bayesian", "nb_macro", None, 93.04),
]


@pytest.mark.parametrize(("strategy", "name", "half", "end"), BARS)
def test_the_mean_of_the_best_by_validation(strategy: str, name: str, half: float | None, end: float) -> None:
    found = scores(name, strategy)
    for trials, bar in ((100, half), (200, end)):
        if bar is not None:
            reached = found[:, trials - 1]
            assert reached.mean() >= bar - 2 * reached.std() / np.sqrt(len(reached))


@pytest.mark.parametrize(("strategy", "name"), [(strategy, name) for strategy, name, _, _ in BARS])
def test_better_than_random_search_by_three_standard_errors(strategy: str, name: str) -> None:
    found, chance = scores(name, strategy)[:, -1], scores(name, "random")[:, -1]
    error = np.hypot(found.std() / np.sqrt(len(found)), chance.std() / np.sqrt(len(chance)))
    assert found.mean() > chance.mean() + 3 * error
