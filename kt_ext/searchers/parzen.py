"""Parzen estimators over a mixed and conditional space: mixtures of products of kernels, one product for each trial.

Every density is relative to the prior's, which is uniform on each axis: so the prior is 1 everywhere, and so is a
factor that knows nothing of its parameter. The ratio of two such densities is the ratio of the densities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kt_ext.searchers.axis import AbstractAxis

# No Gaussian is narrower than this part of the unit interval.
LEAST_BANDWIDTH = 0.01


class Parzen:
    """A mixture of one product of kernels for each point, and of the prior.

    A number has a Gaussian kernel, cut off at the bounds; where its values are discrete each has the mass of its cell.
    An unordered value's kernel keeps the value, but for a share ``spread`` of it that is the prior's. **A kernel whose
    point lacks a parameter (it was inactive, or unknown then) has the prior for it.** The reason: a draw takes a point,
    draws each parameter from its kernel, or from the prior where there is none, and drops what turns out inactive;
    with this rule ``log_density`` is exactly the density of such draws, in every branch of a conditional space.

    Args:
        axes: one for each parameter.
        points: coordinates on the axes, shape (n, d), NaN where the point lacks the parameter.
        prior_weight: of the prior beside the points, which weigh 1 each; > 0.
        bandwidth: standard deviation of the Gaussian of a single point. It shrinks with n as Scott's rule says.
    """

    def __init__(self, axes: Sequence[AbstractAxis], points: np.ndarray, prior_weight: float, bandwidth: float) -> None:
        n, d = points.shape
        self.axes = axes
        self.points = points
        self.weights = np.append(np.ones(n), prior_weight) / (n + prior_weight)  # (n + 1,), the prior last
        self.bandwidth = max(bandwidth * max(n, 1) ** (-1.0 / (d + 4)), LEAST_BANDWIDTH)
        # The prior's share of a categorical kernel vanishes as points come (Optuna's rule, for three choices).
        self.spread = 3 * prior_weight / (n + 1 + 3 * prior_weight)
        # What the bounds cut off below each Gaussian, and what they leave, shape (n, d).
        self._below = normal_cdf(-points / self.bandwidth)
        self._inside = normal_cdf((1.0 - points) / self.bandwidth) - self._below

    def draw(self, rng: np.random.Generator, number: int) -> np.ndarray:
        """Coordinates of so many draws, shape (number, d), in [0, 1], those of inactive parameters included."""
        d = len(self.axes)
        uniform = rng.random((number, 1 + 2 * d))
        kernels = np.searchsorted(np.cumsum(self.weights[:-1]), uniform[:, 0], side="right")
        drawn, share = uniform[:, 1 : 1 + d], uniform[:, 1 + d :]
        rows = np.flatnonzero(kernels < len(self.points))  # the other draws are the prior's
        kernels = kernels[rows]
        for place, axis in enumerate(self.axes):
            point, prior = self.points[kernels, place], drawn[rows, place]
            if axis.ordered:
                probability = self._below[kernels, place] + prior * self._inside[kernels, place]
                near = np.clip(point + self.bandwidth * normal_quantile(probability), 0.0, 1.0)
            else:
                near = np.where(share[rows, place] >= self.spread, point, prior)
            drawn[rows, place] = np.where(np.isnan(point), prior, near)
        return drawn

    def log_density(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Log density of m configurations, or mass where they are discrete, relative to the prior's; shape (m,).

        Args:
            low: the lower ends of their cells on each axis, shape (m, d), NaN where inactive.
            high: the upper ends, likewise; of a continuous parameter the same as ``low``.
        """
        logs = np.zeros((len(low), len(self.weights)))
        for place in range(len(self.axes)):
            logs[:, :-1] += self._log_kernels(place, low[:, place, None], high[:, place, None])
        top = logs.max(axis=1, keepdims=True)
        return top[:, 0] + np.log(np.exp(logs - top) @ self.weights)

    def _log_kernels(self, place: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Of each kernel on one axis, shape (m, n), for cells from ``low`` to ``high``, both of shape (m, 1)."""
        point, h = self.points[:, place], self.bandwidth
        with np.errstate(divide="ignore", invalid="ignore"):
            if not self.axes[place].ordered:
                kept = np.where((low <= point) & (point <= high), (1.0 - self.spread) / (high - low), 0.0)
                kernels = np.log(self.spread + kept)
            elif np.array_equal(low, high, equal_nan=True):
                inside = math.sqrt(2.0 * math.pi) * h * self._inside[:, place]
                kernels = -0.5 * ((low - point) / h) ** 2 - np.log(inside)
            else:
                mass = normal_cdf((high - point) / h) - normal_cdf((low - point) / h)
                kernels = np.log(mass / self._inside[:, place] / (high - low))
        return np.where(np.isnan(point) | np.isnan(low), 0.0, kernels)


def normal_cdf(z: np.ndarray) -> np.ndarray:
    """The standard normal distribution function, of any shape."""
    from scipy.special import ndtr  # imported late: most searches do without

    return ndtr(z)


def normal_quantile(probability: np.ndarray) -> np.ndarray:
    """The inverse of ``normal_cdf``."""
    from scipy.special import ndtri

    return ndtri(probability)
