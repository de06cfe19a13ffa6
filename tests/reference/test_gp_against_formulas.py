"""The Gaussian process against the textbook's formulas, and against scikit-learn's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from kt_ext.searchers.gaussian_process import Kernel, Posterior, negative_log_density, prior
from reference import gp_formulas

SEEDS = range(20)


class Case(NamedTuple):
    """Inputs and hyperparameters drawn at random; ``groups`` says which inputs share a length scale."""

    inputs: np.ndarray
    targets: np.ndarray
    groups: np.ndarray
    kernel: Kernel

    @property
    def theta(self) -> np.ndarray:
        return np.log([*self.kernel.length_scales, self.kernel.signal, self.kernel.noise])

    @property
    def squares(self) -> list[np.ndarray]:
        between = (self.inputs[:, None] - self.inputs) ** 2
        return [between[:, :, self.groups == group].sum(axis=2) for group in range(len(self.kernel.length_scales))]

    def log_prior(self) -> float:
        mean, std = prior(self.groups)
        return -0.5 * float((((self.theta - mean) / std) ** 2).sum())


def case(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    n, groups = int(rng.integers(1, 16)), np.array([[0], [0, 1], [0, 0, 1], [0, 1, 1, 1, 2]][seed % 4])
    kernel = Kernel(
        np.exp(rng.normal(-0.5, 0.7, groups.max() + 1)), float(np.exp(rng.normal())), float(np.exp(rng.normal(-5, 1)))
    )
    inputs = rng.random((n, len(groups)))
    inputs[n // 2 :, -1] = 0.5  # distances of 0 in one input
    return Case(inputs, rng.normal(size=n), groups, kernel)


@pytest.mark.parametrize("seed", SEEDS)
def test_mean_and_variance(seed):
    given = case(seed)
    at = np.concatenate([np.random.default_rng([seed, 1]).random((10, len(given.groups))), given.inputs[:1]])
    process = Posterior(given.kernel, given.groups, given.inputs, given.targets)
    mean, std = process.predict(at)
    scales = given.kernel.length_scales[given.groups]
    expected = gp_formulas.posterior(given.inputs, given.targets, at, scales, given.kernel.signal, given.kernel.noise)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(std**2, expected[1], rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(process.mean(at), expected[0], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_density_is_likelihood_times_prior(seed):
    given = case(seed)
    value, _ = negative_log_density(given.theta, given.squares, given.targets, *prior(given.groups))
    likelihood = gp_formulas.log_marginal_likelihood(
        given.inputs,
        given.targets,
        given.kernel.length_scales[given.groups],
        given.kernel.signal,
        given.kernel.noise,
    )
    constant = 0.5 * len(given.targets) * np.log(2 * np.pi)
    assert -value == pytest.approx(likelihood + constant + given.log_prior(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_is_that_of_finite_differences(seed):
    given = case(seed)
    arguments = (given.squares, given.targets, *prior(given.groups))
    _, gradient = negative_log_density(given.theta, *arguments)
    step, numeric = 1e-5, []
    for place in range(len(given.theta)):
        moved = step * np.eye(len(given.theta))[place]
        above, below = (negative_log_density(given.theta + sign * moved, *arguments)[0] for sign in (1, -1))
        numeric.append((above - below) / (2 * step))
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", [seed for seed in SEEDS if seed % 4 < 2])  # scikit-learn's inputs share no scale
def test_the_likelihood_and_its_gradient_are_those_of_scikit_learn(seed):
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    given = case(seed)
    matern = Matern(length_scale=given.kernel.length_scales, nu=2.5)
    kernel = ConstantKernel(given.kernel.signal) * matern + WhiteKernel(given.kernel.noise)
    theirs = GaussianProcessRegressor(kernel, alpha=0.0, optimizer=None).fit(given.inputs, given.targets)
    likelihood, slopes = theirs.log_marginal_likelihood(kernel.theta, eval_gradient=True)

    mean, std = prior(given.groups)
    value, gradient = negative_log_density(given.theta, given.squares, given.targets, mean, std)
    constant = 0.5 * len(given.targets) * np.log(2 * np.pi)
    assert -value - given.log_prior() == pytest.approx(likelihood + constant, rel=1e-9, abs=1e-9)
    scales = len(given.kernel.length_scales)
    reordered = np.concatenate([slopes[1 : 1 + scales], slopes[:1], slopes[-1:]])  # theirs: signal, scales, noise
    np.testing.assert_allclose((given.theta - mean) / std**2 - gradient, reordered, rtol=1e-6, atol=1e-8)
