"""The time-varying Gaussian process of population based bandits, on scikit-learn's regressor.

Bogunovic, Scarlett, Cevher (2016), "Time-Varying Gaussian Process Bandit Optimization",
https://arxiv.org/abs/1601.06650; Parker-Holder, Nguyen, Roberts (2020), https://arxiv.org/abs/2002.02518, section 3.2.

This module imports scikit-learn, which takes about a second: import it where it is needed, not at the top of a file.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Hyperparameter, Kernel, WhiteKernel

#: Steps of the optimiser of the marginal likelihood: later ones change the proposal less than chance does.
STEPS = 20


class TimeVarying(Kernel):
    """k((t, x), (t', x')) = exp(-|x - x'|^2 / (2 l^2)) * (1 - omega)^(|t - t'| / 2); column 0 of a point is t.

    Args:
        length_scale: l > 0.
        omega: how fast the past is forgotten, in (0, 1): 0 never, 1 at once.
        length_scale_bounds: within which l is fitted.
        omega_bounds: within which omega is fitted.
    """

    def __init__(
        self,
        length_scale: float = 0.5,
        omega: float = 0.1,
        length_scale_bounds: tuple[float, float] = (0.05, 5.0),
        omega_bounds: tuple[float, float] = (1e-3, 0.95),
    ) -> None:
        self.length_scale = length_scale
        self.omega = omega
        self.length_scale_bounds = length_scale_bounds
        self.omega_bounds = omega_bounds

    @property
    def hyperparameter_length_scale(self) -> Hyperparameter:
        return Hyperparameter("length_scale", "numeric", self.length_scale_bounds)

    @property
    def hyperparameter_omega(self) -> Hyperparameter:
        return Hyperparameter("omega", "numeric", self.omega_bounds)

    def __call__(self, X: np.ndarray, Y: np.ndarray | None = None, eval_gradient: bool = False):
        """The kernel matrix, shape (n, m); with ``eval_gradient`` also its derivatives by the log of each parameter."""
        Y = X if Y is None else Y
        squared = ((X[:, None, 1:] - Y[None, :, 1:]) ** 2).sum(axis=2)
        apart = np.abs(X[:, None, 0] - Y[None, :, 0])
        K = np.exp(-squared / (2 * self.length_scale**2)) * (1 - self.omega) ** (apart / 2)
        if not eval_gradient:
            return K
        by_length_scale = K * squared / self.length_scale**2
        by_omega = K * (apart / 2) * (-self.omega / (1 - self.omega))
        return K, np.stack([by_length_scale, by_omega], axis=2)  # scikit-learn's order: by name

    def diag(self, X: np.ndarray) -> np.ndarray:
        return np.ones(len(X))

    def is_stationary(self) -> bool:
        return True


def upper_confidence(
    points: np.ndarray, improvements: np.ndarray, pending: np.ndarray, candidates: np.ndarray
) -> np.ndarray:
    """The upper confidence bound of the improvement of each candidate, shape (m,).

    The mean is that of the process after the n observations. The deviation also takes the pending points as observed:
    it does not depend on what is observed there (Desautels et al., 2014, GP-BUCB), so that the members of a population
    do not all try the same. The bound is mean + sqrt(0.2 + max(0, log(0.4 n))) * deviation, as in the authors' code.

    Args:
        points: (t, x), shape (n, 1 + d), n >= 2, x in the unit cube.
        improvements: shape (n,), with mean about 0 and deviation about 1.
        pending: where outcomes are awaited, shape (k, 1 + d).
        candidates: shape (m, 1 + d).
    """
    process = GaussianProcessRegressor(
        ConstantKernel(1.0, (0.05, 20.0)) * TimeVarying() + WhiteKernel(0.1, (1e-4, 2.0)), optimizer=_optimise
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a parameter on its bound: the bounds are meant
        process.fit(points, improvements)
    mean = process.predict(candidates)
    kernel = process.kernel_
    with_pending = GaussianProcessRegressor(kernel, optimizer=None)
    with_pending.fit(np.vstack([points, pending]), np.concatenate([improvements, np.zeros(len(pending))]))
    _, deviation = with_pending.predict(candidates, return_std=True)
    noise = kernel.k2.noise_level  # of an evaluation, not of what is expected there
    deviation = np.sqrt(np.maximum(deviation**2 - noise, 0.0))
    return mean + np.sqrt(0.2 + max(0.0, np.log(0.4 * len(points)))) * deviation


def _optimise(objective, initial_theta: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, float]:
    found = minimize(objective, initial_theta, method="L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": STEPS})
    return found.x, found.fun
