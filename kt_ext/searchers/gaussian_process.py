"""Gaussian process regression with a Matern 5/2 kernel and one length scale for each input.

Rasmussen and Williams (2006), "Gaussian Processes for Machine Learning": Algorithm 2.1 for the prediction, equation 5.9
for the gradient of the marginal likelihood. Inputs may share a length scale, as the indicators of one choice do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

#: Log-normal prior of the length scales, for one input in a unit interval; the mean of the logarithm grows by half the
#: logarithm of the number of inputs, since distances grow so (Hvarfner, Hellsten, Nardi, 2024, arXiv:2402.02229).
LENGTH_SCALE_PRIOR = (-0.5, 1.0)
#: Log-normal prior of the noise variance of a standardised objective.
NOISE_PRIOR = (np.log(1e-3), 1.5)
#: Log-normal prior of the signal variance.
SIGNAL_PRIOR = (0.0, 1.0)
_BOUNDS = {"length_scale": (-4.0, 5.0), "signal": (-4.0, 4.0), "noise": (np.log(1e-6), np.log(0.5))}
_SQRT5 = np.sqrt(5.0)


@dataclass(frozen=True)
class Kernel:
    """The hyperparameters of the process.

    Attributes:
        length_scales: of each group of inputs, shape (n_groups,).
        signal: variance of the function.
        noise: variance of one observation around it.
    """

    length_scales: np.ndarray
    signal: float
    noise: float

    def scaled(self, inputs: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Inputs of shape (n, d) in units of their length scales."""
        return inputs / self.length_scales[groups]


def covariance(a: np.ndarray, b: np.ndarray, signal: float) -> np.ndarray:
    """Matern 5/2 between scaled inputs of shapes (n, d) and (m, d); shape (n, m)."""
    r = _distances(a, b)
    return signal * (1.0 + r + r * r / 3.0) * np.exp(-r)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """sqrt(5) times the Euclidean distances, shape (n, m)."""
    squared = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b) - 2.0 * (a @ b.T)
    return _SQRT5 * np.sqrt(np.maximum(squared, 0.0))


class Posterior:
    """The process given observations.

    Args:
        kernel: its hyperparameters.
        groups: which length scale belongs to each input, shape (d,).
        inputs: shape (n, d).
        targets: shape (n,), with mean about 0.
    """

    def __init__(self, kernel: Kernel, groups: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> None:
        self.kernel, self._groups = kernel, groups
        self._inputs = kernel.scaled(inputs, groups)
        matrix = covariance(self._inputs, self._inputs, kernel.signal)
        matrix[np.diag_indices_from(matrix)] += kernel.noise
        self._factor = cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
        self._targets, self._given = targets, inputs
        self._weights = cho_solve((self._factor, True), targets, check_finite=False)

    def believing(self, inputs: np.ndarray) -> Posterior:
        """The process if its own mean were observed at inputs of shape (m, d): as sure as it then would be."""
        return Posterior(
            self.kernel,
            self._groups,
            np.concatenate([self._given, inputs]),
            np.concatenate([self._targets, self.mean(inputs)]),
        )

    def predict(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the function, without noise, at inputs of shape (m, d); both of shape (m,)."""
        across = covariance(self._inputs, self.kernel.scaled(inputs, self._groups), self.kernel.signal)
        half = solve_triangular(self._factor, across, lower=True, check_finite=False)
        variance = self.kernel.signal - np.einsum("ij,ij->j", half, half)
        return self._weights @ across, np.sqrt(np.maximum(variance, 1e-12))

    def mean(self, inputs: np.ndarray) -> np.ndarray:
        """The mean alone, several times cheaper, shape (m,)."""
        return self._weights @ covariance(self._inputs, self.kernel.scaled(inputs, self._groups), self.kernel.signal)


def fit(inputs: np.ndarray, targets: np.ndarray, groups: np.ndarray, *, max_iterations: int = 40) -> Kernel:
    """The hyperparameters with the highest posterior density: marginal likelihood times the priors.

    Args:
        inputs: shape (n, d).
        targets: shape (n,), standardised.
        groups: which length scale belongs to each input, shape (d,).
        max_iterations: of L-BFGS.
    """
    prior_mean, prior_std = prior(groups)
    n_groups = len(prior_mean) - 2
    bounds = [_BOUNDS["length_scale"]] * n_groups + [_BOUNDS["signal"], _BOUNDS["noise"]]
    squares = [_group_squares(inputs[:, groups == group]) for group in range(n_groups)]
    found = minimize(
        lambda theta: negative_log_density(theta, squares, targets, prior_mean, prior_std),
        prior_mean,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": max_iterations},
    )
    return kernel_of(found.x)


def sample(
    start: Kernel, inputs: np.ndarray, targets: np.ndarray, groups: np.ndarray, n: int, seed: int = 0
) -> list[Kernel]:
    """``n`` draws of the hyperparameters from their posterior, by slice sampling one at a time (Neal, 2003).

    Args:
        start: where the chain begins, best at the highest density.
        inputs, targets, groups: as in ``fit``.
        n: how many; each is a sweep over all hyperparameters after the one before.
        seed: of the chain.
    """
    rng = np.random.default_rng(seed)
    prior_mean, prior_std = prior(groups)
    squares = [_group_squares(inputs[:, groups == group]) for group in range(len(prior_mean) - 2)]
    low, high = np.array([_BOUNDS["length_scale"]] * len(squares) + [_BOUNDS["signal"], _BOUNDS["noise"]]).T

    def log_density(theta: np.ndarray) -> float:
        if (theta < low).any() or (theta > high).any():
            return -np.inf
        return -negative_log_density(theta, squares, targets, prior_mean, prior_std)[0]

    # A start at a bound may lie an ulp beyond it once exp and log have been taken.
    theta = np.clip(np.log(np.concatenate([start.length_scales, [start.signal, start.noise]])), low, high)
    density = log_density(theta)
    kernels = []
    for _ in range(n):
        for place in range(len(theta)):
            level = density + np.log(rng.random())
            left = theta[place] - rng.random()  # a window of width 1 around it
            right = left + 1.0
            while True:
                moved = theta.copy()
                moved[place] = left + (right - left) * rng.random()
                density = log_density(moved)
                if density >= level:
                    theta = moved
                    break
                if moved[place] < theta[place]:
                    left = moved[place]
                else:
                    right = moved[place]
        kernels.append(kernel_of(theta))
    return kernels


def kernel_of(theta: np.ndarray) -> Kernel:
    """From logarithms: length scales, signal, noise; shape (n_groups + 2,)."""
    return Kernel(np.exp(theta[:-2]), float(np.exp(theta[-2])), float(np.exp(theta[-1])))


def prior(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of the logarithms, shape (n_groups + 2,)."""
    n_groups = int(groups.max()) + 1 if len(groups) else 0
    mean = np.full(n_groups + 2, LENGTH_SCALE_PRIOR[0] + 0.5 * np.log(max(n_groups, 1)))
    std = np.full(n_groups + 2, LENGTH_SCALE_PRIOR[1])
    mean[-2:], std[-2:] = (SIGNAL_PRIOR[0], NOISE_PRIOR[0]), (SIGNAL_PRIOR[1], NOISE_PRIOR[1])
    return mean, std


def _group_squares(inputs: np.ndarray) -> np.ndarray:
    """Squared distances within one group of inputs, shape (n, n)."""
    squared = np.einsum("ij,ij->i", inputs, inputs)
    return np.maximum(squared[:, None] + squared - 2.0 * (inputs @ inputs.T), 0.0)


def negative_log_density(
    theta: np.ndarray, squares: list[np.ndarray], targets: np.ndarray, prior_mean: np.ndarray, prior_std: np.ndarray
) -> tuple[float, np.ndarray]:
    """Minus the logarithm of likelihood times prior, and its gradient, shape (n_groups + 2,)."""
    inverse_squares = np.exp(-2.0 * theta[:-2])
    signal, noise = np.exp(theta[-2]), np.exp(theta[-1])
    total = sum((w * s for w, s in zip(inverse_squares, squares, strict=True)), np.zeros((len(targets),) * 2))
    r = _SQRT5 * np.sqrt(total)
    decay = signal * np.exp(-r)
    smooth = decay * (1.0 + r + r * r / 3.0)
    matrix = smooth.copy()
    matrix[np.diag_indices_from(matrix)] += noise
    factor = cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
    inverse = cho_solve((factor, True), np.eye(len(targets)), check_finite=False)
    weights = inverse @ targets
    z = (theta - prior_mean) / prior_std
    value = 0.5 * targets @ weights + np.log(np.diag(factor)).sum() + 0.5 * z @ z

    outer = np.outer(weights, weights) - inverse
    # d k / d log l_g = 5/3 signal (1 + r) exp(-r) w_g s_g
    radial = outer * (5.0 / 3.0) * decay * (1.0 + r)
    gradient = np.empty_like(theta)
    for group, (weight, square) in enumerate(zip(inverse_squares, squares, strict=True)):
        gradient[group] = -0.5 * weight * np.vdot(radial, square)
    gradient[-2] = -0.5 * np.vdot(outer, smooth)
    gradient[-1] = -0.5 * noise * np.trace(outer)
    return float(value), gradient + z / prior_std
