"""The Gaussian process: believing itself, the fit of its hyperparameters, and draws of them."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.searchers.gaussian_process import Kernel, Posterior, fit, negative_log_density, prior, sample

ONE = np.array([0])


def wave(n: int, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A sine of the first of two inputs, standardised."""
    rng = np.random.default_rng(seed)
    inputs = rng.random((n, 2))
    targets = np.sin(7 * inputs[:, 0]) + noise * rng.standard_normal(n)
    return inputs, (targets - targets.mean()) / targets.std()


def thetas(kernels: list[Kernel]) -> np.ndarray:
    return np.array([np.log([*kernel.length_scales, kernel.signal, kernel.noise]) for kernel in kernels])


def test_believing_keeps_the_mean_and_shrinks_the_deviation_nearby():
    inputs, targets = wave(20)
    before = Posterior(Kernel(np.array([0.3, 1.0]), 1.0, 1e-3), np.array([0, 1]), inputs, targets)
    pending, elsewhere = np.array([[0.5, 2.0]]), np.array([[0.5, -2.0]])
    after = before.believing(pending)
    at = np.concatenate([pending, elsewhere])
    np.testing.assert_allclose(after.predict(at)[0], before.predict(at)[0], rtol=1e-6)
    was, now = before.predict(at)[1], after.predict(at)[1]
    assert now[0] == pytest.approx(np.sqrt(1e-3), rel=0.01)  # one observation of this noise
    assert was[0] > 0.5
    assert now[1] == pytest.approx(was[1], rel=0.05)


def test_believing_twice_is_believing_both():
    inputs, targets = wave(8)
    before = Posterior(Kernel(np.array([0.3, 1.0]), 1.0, 1e-3), np.array([0, 1]), inputs, targets)
    pending, at = np.random.default_rng(1).random((3, 2)), np.random.default_rng(2).random((5, 2))
    at_once, in_turn = before.believing(pending), before.believing(pending[:2]).believing(pending[2:])
    np.testing.assert_allclose(at_once.predict(at), in_turn.predict(at), rtol=1e-6)


def test_the_fit_finds_which_input_matters_and_how_noisy_targets_are():
    kernel = fit(*wave(80, noise=0.2), np.array([0, 1]))
    assert kernel.length_scales[0] < 0.7 < 2 < kernel.length_scales[1]
    assert kernel.noise == pytest.approx(0.2**2 / (0.5 + 0.2**2), rel=0.4)
    assert fit(*wave(80), np.array([0, 1])).noise < 1e-3


def test_inputs_of_a_group_share_their_length_scale():
    assert fit(*wave(30), np.array([0, 0])).length_scales.shape == (1,)


def test_the_fit_is_a_summit():
    inputs, targets = wave(25, noise=0.3)
    mean, std = prior(np.array([0, 1]))
    squares = [(inputs[:, None, place] - inputs[:, place]) ** 2 for place in range(2)]

    def density(theta: np.ndarray) -> float:
        return negative_log_density(theta, squares, targets, mean, std)[0]

    (best,) = thetas([fit(inputs, targets, np.array([0, 1]), max_iterations=200)])
    steps = 0.05 * np.concatenate([np.eye(4), -np.eye(4)])
    assert all(density(best) < density(best + step) for step in steps)


def test_without_observations_that_differ_the_fit_is_defined():
    kernel = fit(np.full((5, 1), 0.5), np.zeros(5), ONE)
    mean, std = Posterior(kernel, ONE, np.full((5, 1), 0.5), np.zeros(5)).predict(np.array([[0.1], [0.5]]))
    assert mean.tolist() == [0.0, 0.0] and (std > 0).all()


def test_draws_have_the_moments_of_the_posterior():
    """Slice sampling against importance sampling from the prior, on eight observations of one input."""
    inputs, targets = wave(8, noise=0.02)
    inputs = inputs[:, :1]
    mean, std = prior(ONE)
    squares = [(inputs - inputs.T) ** 2]

    proposed = mean + std * np.random.default_rng(0).standard_normal((8000, 3))
    proposed = proposed[(proposed[:, 2] < np.log(0.5)) & (np.abs(proposed[:, :2]) < 4).all(axis=1)]
    logs = np.array([-negative_log_density(theta, squares, targets, mean, std)[0] for theta in proposed])
    logs += 0.5 * (((proposed - mean) / std) ** 2).sum(axis=1)  # the likelihood alone
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    expected_mean = weights @ proposed
    expected_std = np.sqrt(weights @ (proposed - expected_mean) ** 2)
    assert 1 / (weights**2).sum() > 300  # effective draws
    assert abs(expected_mean[0] - mean[0]) > 0.3  # the observations do say something

    drawn = thetas(sample(fit(inputs, targets, ONE), inputs, targets, ONE, 1500))
    np.testing.assert_allclose(drawn.mean(axis=0), expected_mean, atol=0.2)
    np.testing.assert_allclose(drawn.std(axis=0), expected_std, rtol=0.15)


def test_draws_are_a_function_of_the_seed():
    inputs, targets = wave(10)
    best = fit(inputs, targets, np.array([0, 1]))
    drawn = [thetas(sample(best, inputs, targets, np.array([0, 1]), 2, seed)) for seed in (0, 0, 1)]
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).all()


@pytest.mark.parametrize("bound", [-4.0, 5.0])
def test_a_start_at_a_bound_stays_inside(bound):
    inputs, targets = wave(10)
    start = Kernel(np.exp([bound, bound]), float(np.exp(4.0)), 1e-6)
    drawn = thetas(sample(start, inputs, targets, np.array([0, 1]), 20))
    assert (drawn[:, :2] >= -4 - 1e-9).all() and (drawn[:, :2] <= 5 + 1e-9).all()
    assert (drawn[:, 2] <= 4 + 1e-9).all() and (drawn[:, 3] >= np.log(1e-6) - 1e-9).all()
