"""Elitist iterated racing, slowly: one race after the other, one step after the other, by scipy's tests.

López-Ibáñez et al. (2016), "The irace package", sections 2 and 3; the number of new configurations of each race is
given, instances come in the same order in each race, and the last race goes on to the last instance.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import stats


def iterated_race(
    result: Callable[[int, int], float],
    *,
    max_instances: int,
    max_trials: int,
    first_test: int,
    each_test: int,
    test: str,
    level: float,
    min_survivors: int,
    trials_per_race: int,
) -> tuple[list[tuple[int, int]], list[int]]:
    """All experiments (trial, instance) in order, and who survives the last race.

    Args:
        result: of a trial on an instance (from 1), finite, without ties.
    """
    experiments: list[tuple[int, int]] = []
    known: dict[int, dict[int, float]] = {}

    def evaluate(trial: int, instance: int) -> None:
        if instance not in known.setdefault(trial, {}):
            known[trial][instance] = result(trial, instance)
            experiments.append((trial, instance))

    elites: list[int] = []
    started = 0
    while True:
        new = list(range(started, min(started + trials_per_race, max_trials)))
        started += len(new)
        is_last = started == max_trials
        seen = {elite: len(known[elite]) for elite in elites}
        alive = [*elites, *new]
        step = first_test
        while True:
            for trial in alive:
                for instance in range(1, step + 1):
                    evaluate(trial, instance)
            rows = [[known[trial][i] for trial in alive] for i in range(1, step + 1)]
            worse = {alive[place] for place in _worse(np.array(rows), test, level)}
            alive = [trial for trial in alive if trial not in worse or seen.get(trial, 0) > step]
            if step == max_instances or (not is_last and len(alive) <= min_survivors):
                break
            step = min(step + each_test, max_instances)
            seen = {trial: count for trial, count in seen.items() if count >= step}
        if is_last:
            return experiments, alive
        rows = [[known[trial][i] for trial in alive] for i in range(1, step + 1)]
        ranks = stats.rankdata(rows, axis=1).mean(axis=0)
        elites = [alive[place] for place in np.argsort(ranks, kind="stable")[:min_survivors]]
        elites.sort()


def _worse(results: np.ndarray, test: str, level: float) -> list[int]:
    """Places of the configurations that a test drops; results of shape (instances, configurations)."""
    n, k = results.shape
    if k == 1:
        return []
    if test == "t":
        best = int(results.mean(axis=0).argmin())
        others = [j for j in range(k) if j != best]
        return [j for j in others if stats.ttest_rel(results[:, best], results[:, j], alternative="less")[1] < level]
    if k == 2:
        if stats.wilcoxon(results[:, 0], results[:, 1], method="exact").pvalue >= level:
            return []
        return [int(stats.rankdata(results, axis=1).sum(axis=0).argmax())]
    if stats.friedmanchisquare(*results.T).pvalue >= level:
        return []
    ranks = stats.rankdata(results, axis=1)
    sums, freedom = ranks.sum(axis=0), (n - 1) * (k - 1)
    spread = math.sqrt(max(0.0, 2 * (n * (ranks**2).sum() - (sums**2).sum()) / freedom))
    critical = stats.t.ppf(1 - level / 2, freedom) * spread
    return [j for j in range(k) if sums[j] - sums.min() > critical]
