"""Gaussian process regression by the equations of Rasmussen and Williams (2006), the textbook."""

from __future__ import annotations

import math

import numpy as np


def matern_52(a: np.ndarray, b: np.ndarray, length_scales: np.ndarray, signal: float) -> float:
    """Equation 4.17, with r = sqrt(sum(((a_i - b_i) / l_i)**2)) and l = 1; a, b and ``length_scales`` of shape (d,)."""
    r = math.sqrt(sum(((x - y) / scale) ** 2 for x, y, scale in zip(a, b, length_scales, strict=True)))
    return signal * (1 + math.sqrt(5) * r + 5 * r**2 / 3) * math.exp(-math.sqrt(5) * r)


def covariances(a: np.ndarray, b: np.ndarray, length_scales: np.ndarray, signal: float) -> np.ndarray:
    """Between all rows of ``a`` and of ``b``, shape (n, m)."""
    return np.array([[matern_52(x, y, length_scales, signal) for y in b] for x in a])


def posterior(
    inputs: np.ndarray, targets: np.ndarray, at: np.ndarray, length_scales: np.ndarray, signal: float, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean, equation 2.25, and variance of the function, equation 2.26, at rows ``at`` of shape (m, d); shapes (m,)."""
    inverse = np.linalg.inv(covariances(inputs, inputs, length_scales, signal) + noise * np.eye(len(inputs)))
    means, variances = [], []
    for x in at:
        k = covariances(inputs, x[None], length_scales, signal)[:, 0]
        means.append(k @ inverse @ targets)
        variances.append(matern_52(x, x, length_scales, signal) - k @ inverse @ k)
    return np.array(means), np.array(variances)


def log_marginal_likelihood(
    inputs: np.ndarray, targets: np.ndarray, length_scales: np.ndarray, signal: float, noise: float
) -> float:
    """Equation 2.30."""
    matrix = covariances(inputs, inputs, length_scales, signal) + noise * np.eye(len(inputs))
    fit = -0.5 * targets @ np.linalg.inv(matrix) @ targets
    return fit - 0.5 * np.linalg.slogdet(matrix)[1] - 0.5 * len(targets) * math.log(2 * math.pi)
