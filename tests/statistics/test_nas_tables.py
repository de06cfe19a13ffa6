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

#: A search by a model takes seconds, by the others a tenth of one.
SEEDS = {"predictor": 16, "bayesian": 8}
SLOW, NIGHTLY = pytest.mark.slow, pytest.mark.nightly


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


@SLOW
def test_the_tables_are_whole() -> None:
    """Every architecture has a row; the best of NAS-Bench-201 by validation is its best by test, too."""
    nb201, macro = table("nb201"), table("nb_macro")
    assert (len(nb201.results), len(macro.results)) == (15_625, 6_561)
    assert max(nb201.results.values())[1] == max(test for _, test in nb201.results.values())
    assert round(max(nb201.results.values())[1], 2) == 94.37


# strategy, table, after 100 trials, after 200
BARS = [
    pytest.param("evolution", "nb201", 94.10, 94.27, marks=SLOW),
    pytest.param("evolution", "nb_macro", None, 93.03, marks=SLOW),
    pytest.param("local_search", "nb201", 94.20, 94.33, marks=SLOW),
    pytest.param("local_search", "nb_macro", None, 92.95, marks=SLOW),
    pytest.param("predictor", "nb201", 94.20, 94.28, marks=SLOW),
    pytest.param("predictor", "nb_macro", None, 93.04, marks=SLOW),
    pytest.param("bayesian", "nb201", 94.20, 94.28, marks=NIGHTLY),
    pytest.param("bayesian", "nb_macro", None, 93.04, marks=NIGHTLY),
]


@pytest.mark.parametrize(("strategy", "name", "half", "end"), BARS)
def test_the_best_by_validation(strategy: str, name: str, half: float | None, end: float) -> None:
    """Its mean reaches the bars, and is above random search's by three standard errors."""
    found = scores(name, strategy)
    for trials, bar in ((100, half), (200, end)):
        if bar is not None:
            reached = found[:, trials - 1]
            assert reached.mean() >= bar - 2 * reached.std() / np.sqrt(len(reached))
    last, chance = found[:, -1], scores(name, "random")[:, -1]
    error = np.hypot(last.std() / np.sqrt(len(last)), chance.std() / np.sqrt(len(chance)))
    assert last.mean() > chance.mean() + 3 * error
