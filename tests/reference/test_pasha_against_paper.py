"""The fast PASHA has the ranking, the noise and the decisions of the paper's transcription, on a thousand seeds."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from contract.driving import drive
from kt_ext.schedulers import PASHA
from kt_ext.schedulers.ranking import CrossingNoise, SoftRanking
from reference.pasha_algorithm import PaperPASHA, noise, same_soft_ranking
from reference.test_asha_against_paper import first_difference, random_case


def random_values(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Half of the time few different ones, so that ties abound."""
    return rng.integers(6, size=shape).astype(float) if rng.random() < 0.5 else rng.random(shape)


@pytest.mark.parametrize("hundred", range(10))
def test_soft_ranking(hundred):
    outcomes: Counter[bool] = Counter()
    for seed in range(100 * hundred, 100 * hundred + 100):
        rng = np.random.default_rng(seed)
        trials = int(rng.integers(1, 12))
        below = random_values(rng, (trials,))
        above = below + rng.normal(0, 0.2, trials) if rng.random() < 0.5 else random_values(rng, (trials,))
        above[rng.random(trials) < 0.05] = math.inf
        epsilon = float(rng.choice([0.0, 0.3, 1.0, 2.0]))
        ranking = SoftRanking()
        for trial in range(trials):
            ranking.add(below[trial], above[trial])
            those = range(trial + 1)
            slow = same_soft_ranking({t: below[t] for t in those}, {t: above[t] for t in those}, epsilon)
            assert ranking.holds(epsilon) == slow, (seed, trial)
            outcomes[slow] += trial > 0
    assert min(outcomes.values()) > 50


@pytest.mark.parametrize("hundred", range(10))
def test_noise(hundred):
    estimates = []
    for seed in range(100 * hundred, 100 * hundred + 100):
        rng = np.random.default_rng(seed)
        curves = random_values(rng, (int(rng.integers(1, 7)), int(rng.integers(1, 7)))).tolist()
        quantile = float(rng.choice([0.0, 0.5, 0.9, 1.0]))
        fast = CrossingNoise(quantile)
        for trial, curve in enumerate(curves):
            fast.add(curve)
            slow = noise(curves[: trial + 1], quantile)
            assert (fast.epsilon is None) == (slow is None), (seed, trial)
            if slow is not None:
                assert math.isclose(fast.epsilon, slow), (seed, trial)
                estimates.append(slow)
    assert len(set(estimates)) > 30


@pytest.mark.parametrize("hundred", range(10))
def test_same_decisions_as_the_paper(hundred):
    tops: Counter[int] = Counter()
    finished = noisy = 0
    for seed in range(100 * hundred, 100 * hundred + 100):
        arguments, events = random_case(seed)
        del arguments["brackets"]
        rng = np.random.default_rng([seed, 3])
        arguments |= {"finish": int(rng.integers(3)), "noise_quantile": float(rng.choice([0.5, 0.9]))}
        paper, fast = PaperPASHA(**arguments), PASHA(**arguments)
        calls = drive(paper, seed, **events)
        assert first_difference(calls, fast, seed) is None, (seed, arguments, events)
        assert fast.top_epochs == paper.epochs[0][paper.K]
        assert math.isclose(fast.epsilon, paper.epsilon)
        tops[paper.K] += 1
        finished += len(paper.finishers)
        noisy += paper.epsilon > 0
    assert min(tops[1], tops[2], tops[3]) >= 3 and finished > 10 and noisy > 5
