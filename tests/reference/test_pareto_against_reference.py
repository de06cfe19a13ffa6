"""The fast Pareto ranks against the definition, on random reports with ties, NaN and infinities."""

from __future__ import annotations

import math

import keras_tuner
import numpy as np
import pytest
from keras_tuner.src.engine.objective import create_objective

from kt_ext.core.pareto import dominated_by
from kt_ext.oracles.multi_objective import ParetoRanks
from kt_ext.oracles.objective import ObjectiveReader
from reference import pareto_domination as reference

NAMES = ("a", "b", "c")


@pytest.mark.parametrize("seed", range(60))
def test_ranks_judged_epochs_and_front(seed):
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 4))
    directions = [str(d) for d in rng.choice(["min", "max"], width)]
    objective = create_objective([keras_tuner.Objective(n, d) for n, d in zip(NAMES, directions, strict=False)])
    reader = ObjectiveReader(objective, pareto=True)
    ranks = ParetoRanks()
    by_epoch: dict[int, list] = {}
    of_trial: dict[int, dict[int, tuple[float, ...]]] = {}
    given: dict[int, dict[int, float]] = {}
    for _ in range(80):
        number = int(rng.integers(0, 12))
        epoch = len(of_trial.get(number, {})) + 1
        values = rng.integers(0, 5, width).astype(float)
        values[rng.random(width) < 0.04] = rng.choice([math.nan, math.inf, -math.inf])
        minimised = tuple(-v if d == "max" else v for v, d in zip(values, directions, strict=True))
        vector = reader.vector(dict(zip(NAMES, values.tolist(), strict=False)))
        assert vector == reference.worst_if_useless(minimised)
        rank = ranks.rank(epoch, vector)
        assert rank == reference.rank(minimised, by_epoch.get(epoch, []))
        assert rank == math.inf or 0 < rank < 1
        ranks.note(number, epoch, vector, rank)
        by_epoch.setdefault(epoch, []).append(minimised)
        of_trial.setdefault(number, {})[epoch] = minimised
        given.setdefault(number, {})[epoch] = rank
    best = {}
    for number, epochs in of_trial.items():
        expected = reference.judged_epoch(epochs, given[number])
        found = ranks.judged(number)
        assert (found.epoch if found else None) == expected
        if found is not None:
            assert (found.rank, found.point) == (given[number][expected], epochs[expected])
            best[number] = epochs[expected]
            useful = [reference.worst_if_useless(point) for point in epochs.values()]
            assert not any(reference.dominates(other, found.point) for other in useful)
    numbers = list(best)
    by = ranks.dominators([*numbers, 99])
    assert [numbers[n] for n in reference.front(list(best.values()))] == [n for n in numbers if by[n] == 0]
    assert list(by.values()) == dominated_by(np.array(list(best.values()))).tolist()
