"""Strategies of architecture search on tables of trained networks.

    KT_EXT_NAS_TABLES=FOLDER python benchmarks/nas_tables.py evolution local_search --seeds 50 --trials 200

FOLDER holds nb201.csv.gz (NAS-Bench-201, Dong and Yang, 2020: CIFAR-10, 200 epochs) and nb_macro.csv.gz
(NAS-Bench-Macro, Su et al., 2021: the first of three runs takes the part of validation, the mean of the others that of
the test).

For each strategy the test accuracy of the architecture that is best by validation: mean and standard deviation over
seeds after half of the trials and after all of them; how far from random search, in standard errors; CPU seconds of one
search. The pure core alone, one worker, no network twice. The hyperparameters of the strategies were chosen on these
two tables: others must judge them.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.space import Parameter, Space
from kt_ext.nas.make import make_strategy
from kt_ext.nas.searcher import ArchitectureSearcher
from kt_ext.nas.space import AbstractArchitectureSpace
from kt_ext.nas.spaces.presets import NB201_OPS, nb201, nb_macro

STRATEGIES = ("random", "evolution", "local_search", "predictor", "bayesian")


class Table(NamedTuple):
    """A space, and of each architecture by its text what is searched and what is scored, both in percent."""

    space: AbstractArchitectureSpace
    results: dict[str, tuple[float, float]]


def load_nb201(folder: Path) -> Table:
    """The file's codes hold an operation for each edge 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2."""
    space, results = nb201(), {}
    names = [gene.name for gene in space.genes.parameters]
    for row in _rows(folder / "nb201.csv.gz"):
        arch = space.repair({name: NB201_OPS[int(op)].name for name, op in zip(names, row["code"], strict=True)})
        results[str(arch)] = (float(row["cifar10_val_200"]), float(row["cifar10_test_200"]))
    return Table(space, results)


def load_nb_macro(folder: Path) -> Table:
    results = {}
    for row in _rows(folder / "nb_macro.csv.gz"):
        results[row["arch"]] = (float(row["acc_seed0"]), (float(row["acc_seed1"]) + float(row["acc_seed2"])) / 2)
    return Table(nb_macro(), results)


TABLES: dict[str, Callable[[Path], Table]] = {"nb201": load_nb201, "nb_macro": load_nb_macro}


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))


def search(table: Table, strategy: str, seed: int, trials: int) -> np.ndarray:
    """After each trial the score of the architecture that is best by what is searched, shape (trials,)."""
    searcher = ArchitectureSearcher(table.space, make_strategy(strategy, seed, trials), trials)
    genes = table.space.genes.parameters
    space = Space(Parameter(f"{table.space.name}/{gene.name}", gene.domain) for gene in genes)
    history, random = History(), EventRandom(seed)
    best, scores = (-np.inf, np.nan), []
    for number in range(trials):
        values = searcher.propose(history, space, random.at(number))
        accuracy, score = table.results[str(table.space.architecture(values))]
        history.start(number, values)
        history.record(Observation(number, 1, -accuracy))
        history.end(number)
        best = max(best, (accuracy, score))
        scores.append(best[1])
    return np.array(scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("strategies", nargs="*", default=STRATEGIES)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--trials", type=int, default=200)
    arguments = parser.parse_args()
    folder, trials = Path(os.environ["KT_EXT_NAS_TABLES"]), arguments.trials
    print(f"{arguments.seeds} seeds; after {trials // 2} and {trials} trials")
    for name in arguments.tables:
        table = TABLES[name](folder)
        chance = None
        for strategy in dict.fromkeys(["random", *arguments.strategies]):
            begun = time.process_time()
            scores = np.array([search(table, strategy, seed, trials) for seed in range(arguments.seeds)])
            seconds = (time.process_time() - begun) / arguments.seeds
            half, end = scores[:, trials // 2 - 1], scores[:, -1]
            chance = end if chance is None else chance
            error = np.hypot(end.std(), chance.std()) / np.sqrt(len(end))
            means = f"{half.mean():.3f} +- {half.std():.2f}  {end.mean():.3f} +- {end.std():.2f}"
            beyond = f"{(end.mean() - chance.mean()) / error:+.1f} errors from random"
            print(f"{name:9} {strategy:13} {means}  {beyond:24} {seconds:.2f} s", flush=True)


if __name__ == "__main__":
    main()
