"""The fast densities of the TPE searcher against the formulas, on random conditional spaces."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kt_ext.core.space import Space
from kt_ext.searchers.axis import axis_of
from kt_ext.searchers.parzen import Parzen
from kt_ext.searchers.tpe import cells
from random_spaces import random_space
from reference.tpe_formulas import density, expected_improvement, prior


def parzen(space: Space, points: list[dict], prior_weight: float, bandwidth: float) -> Parzen:
    axes = [axis_of(parameter.domain) for parameter in space.parameters]
    units = np.array([space.encode(point) for point in points]).reshape(len(points), len(axes))
    coordinates = [axis.coordinates(units[:, place]) for place, axis in enumerate(axes)]
    return Parzen(axes, np.array(coordinates).reshape(len(axes), len(points)).T, prior_weight, bandwidth)


def absolute(estimate: Parzen, space: Space, configurations: list[dict]) -> np.ndarray:
    """Densities (or masses) of the configurations, shape (m,), from those relative to the prior."""
    low, high = np.moveaxis(np.array([cells(space, estimate.axes, values) for values in configurations]), 2, 0)
    of_prior = [math.prod(prior(p.domain, v[p.name]) for p in space.active(v)) for v in configurations]
    return np.exp(estimate.log_density(low, high)) * of_prior


@pytest.mark.parametrize("hundred", range(10))
def test_a_hundred_cases(hundred):
    conditional = False
    for seed in range(100 * hundred, 100 * hundred + 100):
        rng = np.random.default_rng([seed, 7])
        space = random_space(rng, n_parameters=int(rng.integers(1, 7)), continuous=0.4)
        good = [space.sample(rng) for _ in range(int(rng.integers(0, 5)))]
        bad = [space.sample(rng) for _ in range(int(rng.integers(1, 9)))]
        candidates = [space.sample(rng) for _ in range(6)]
        prior_weight, bandwidth = float(rng.uniform(0.1, 2.0)), float(rng.choice([0.005, 0.1, 0.2, 1.0]))
        ours, expected = [], []
        for points in (good, bad):
            estimate = parzen(space, points, prior_weight, bandwidth)
            ours.append(absolute(estimate, space, candidates))
            expected.append([density(space, values, points, prior_weight, bandwidth) for values in candidates])
        np.testing.assert_allclose(ours, expected, rtol=1e-9)
        improvement = [expected_improvement(l, g, 0.15) for l, g in zip(*expected, strict=True)]  # noqa: E741
        assert improvement[int(np.argmax(ours[0] / ours[1]))] == pytest.approx(max(improvement), rel=1e-9)
        conditional |= any(parameter.conditions for parameter in space.parameters)
    assert conditional


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 20))])
def test_masses_sum_to_one_and_draws_follow_them(seed):
    """In a finite space, over all of its configurations and in every branch."""
    rng = np.random.default_rng([seed, 8])
    space = random_space(rng, n_parameters=4)
    estimate = parzen(space, [space.sample(rng) for _ in range(5)], prior_weight=0.5, bandwidth=0.2)
    assert space.size is not None
    everything = [space.enumeration.at(number) for number in range(space.size)]
    masses = absolute(estimate, space, everything)
    assert masses.sum() == pytest.approx(1.0, abs=1e-9)

    n = 20_000
    seen = np.zeros(space.size)
    for row in estimate.draw(rng, n):
        units = [axis.unit(coordinate) for axis, coordinate in zip(estimate.axes, row, strict=True)]
        seen[space.enumeration.index(space.decode(np.array(units)))] += 1
    deviations = np.abs(seen - n * masses) / np.sqrt(n * masses * (1 - masses) + 1)
    assert deviations.max() < 5.5


def test_continuous_draws_follow_the_density():
    """The mean of 1 / relative density over the draws is the volume of the unit cube."""
    rng = np.random.default_rng(0)
    space = random_space(rng, n_parameters=3, continuous=1.0)
    estimate = parzen(space, [space.sample(rng) for _ in range(4)], prior_weight=1.0, bandwidth=0.1)
    drawn = estimate.draw(rng, 20_000)
    inverse = np.exp(-estimate.log_density(drawn, drawn))
    assert abs(inverse.mean() - 1.0) < 5 * inverse.std() / math.sqrt(len(inverse))
