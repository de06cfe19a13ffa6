"""A bank of learning-curve shapes, drawn once.

The families are those of Domhan, Springenberg, Hutter (2015), "Speeding up Automatic Hyperparameter Optimization of
Deep Neural Networks by Extrapolation of Learning Curves", Table 1, less those that are linear transformations of
another: power laws (pow3, pow4), exponentials, Morgan-Mercer-Flodin (Hill, log power) and Weibull (Janoschek).
"""

from __future__ import annotations

import numpy as np

# The share of each family; ranges are log-uniform. They were chosen so that chances come true, on learning curves of
# small networks and on other draws of the kinds of curve in benchmarks/extrapolation_calibration.py.
FAMILIES = {"power": 0.25, "exponential": 0.45, "hill": 0.2, "weibull": 0.1}
ALPHA = (0.3, 3.0)  # exponents of the power laws
HILL = (0.8, 4.0)  # exponents of the sigmoid families
FASTEST = 0.7  # epochs: the shortest time scale
SLOWEST = 20.0  # epochs: the longest; of a curve of more than half as many epochs, twice these
NOISE = (0.0025, 0.2)  # standard deviation, in units of the curve's range so far
EARLY = (0.1, 10.0)  # by how much larger the noise may be in the first epoch
PAST = (0.1, 6.0)  # by how much larger that of the oldest epochs may be than that of the latest


class ShapeBank:
    """``size`` shapes and, for each, how a curve scatters about it.

    A shape is known up to a factor and a constant: those are linear, and fitted in closed form.

    Args:
        size: how many, >= 1.
        seed: of the draws, integer >= 0.
    """

    def __init__(self, size: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        # a Latin hypercube: each column is evenly spread, so a bank of a thousand is as good as more
        u = (rng.permuted(np.tile(np.arange(size), (7, 1)), axis=1) + 0.5) / size
        family = np.searchsorted(np.cumsum(list(FAMILIES.values())), np.arange(size) / size, side="right")
        self._rows = [np.flatnonzero(family == index) for index in range(len(FAMILIES))]
        self._speed = u[0]
        self._alpha = _log_uniform(u[1], ALPHA)
        self._hill = _log_uniform(u[1], HILL)
        self._offset = 0.3 * u[2]
        self.noise = _log_uniform(u[3], NOISE)  # (size,)
        self._early = np.where(u[4] < 0.5, _log_uniform(u[5], EARLY), 0.0)
        self._past = _log_uniform(u[6], PAST)

    def values(self, epochs: np.ndarray, reached: float) -> np.ndarray:
        """The shapes at ``epochs``, shape (n,), for a curve that has reached the epoch ``reached``: (size, n)."""
        scale = _log_uniform(self._speed, (FASTEST, max(SLOWEST, 2 * reached)))[:, None]
        values = np.empty((len(scale), len(epochs)))
        power, exponential, hill, weibull = self._rows
        values[power] = (epochs + (self._offset[:, None] * scale)[power]) ** -self._alpha[power, None]
        values[exponential] = np.exp(-epochs / scale[exponential])
        values[hill] = 1 / (1 + (epochs / scale[hill]) ** self._hill[hill, None])
        values[weibull] = np.exp(-((epochs / scale[weibull]) ** self._hill[weibull, None]))
        return values

    def scatter(self, epochs: np.ndarray, reached: float) -> np.ndarray:
        """The standard deviation of a curve about its shape at ``epochs``, in units of ``noise``: (size, n)."""
        past = np.maximum(0.0, 1 - epochs / reached)
        return 1 + self._early[:, None] / epochs + self._past[:, None] * past


def _log_uniform(u: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    return bounds[0] * (bounds[1] / bounds[0]) ** u
