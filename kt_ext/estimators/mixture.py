"""A mixture of normal distributions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def normal_cdf(x: np.ndarray) -> np.ndarray:
    """The standard normal distribution function, elementwise."""
    from scipy.special import ndtr  # only who asks for a probability pays for the import

    return ndtr(x)


@dataclass(frozen=True)
class Mixture:
    """A mixture of k normal distributions.

    Attributes:
        weights: shape (k,), >= 0, their sum is 1.
        means: shape (k,).
        stds: shape (k,), > 0.
    """

    weights: np.ndarray
    means: np.ndarray
    stds: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.weights @ self.means)

    @property
    def std(self) -> float:
        """From the spread of the components and that between them."""
        return float(np.sqrt(self.weights @ (self.stds**2 + (self.means - self.mean) ** 2)))

    def probability_below(self, y: float) -> float:
        """The probability of a value < ``y``."""
        return float(self.weights @ normal_cdf((y - self.means) / self.stds))

    def quantile(self, q: float) -> float:
        """The value below which a draw falls with probability ``q``. Raises ValueError unless 0 < q < 1."""
        if not 0 < q < 1:
            raise ValueError(f"q={q!r}: must be in (0, 1); 0.5 is the median")
        low = float((self.means - 40 * self.stds).min())
        high = float((self.means + 40 * self.stds).max())
        for _ in range(200):  # bisection, to the last bit
            middle = low / 2 + high / 2
            if self.probability_below(middle) < q:
                low = middle
            else:
                high = middle
        return low / 2 + high / 2
