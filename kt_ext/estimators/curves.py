"""How a learning curve goes on.

After Domhan, Springenberg, Hutter (2015), "Speeding up Automatic Hyperparameter Optimization of Deep Neural Networks by
Extrapolation of Learning Curves": a curve is a mixture of parametric families, with a posterior over their parameters.
Theirs is sampled by MCMC for each curve; here a bank of shapes is drawn once from the prior, the linear parameters of
each have a normal posterior in closed form, and the shapes are weighted by their likelihood. It is deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from kt_ext.estimators.mixture import Mixture, normal_cdf
from kt_ext.estimators.shapes import ShapeBank

MOST_POINTS = 48  # of a longer curve, the means of so many stretches are fitted
MOST_FUTURE = 24  # of a longer future, so many epochs stand for all
PATHS = 400  # draws of a future, evenly spread over the posterior
# The prior of the linear parameters, in units of the curve's range so far: the level at the last epoch is the last
# objective within LEVEL, and the shape's fall from the first epoch to the last is FALL within FALL_STD.
LEVEL, FALL, FALL_STD = 0.1, 0.6, 0.5
# Successive epochs are no independent evidence for a shape: each counts as a third, and all as no more than so many.
# The noise of successive epochs goes together.
TEMPER, MOST_EVIDENCE = 0.33, 6.0
FUTURE_NOISE = 0.57
# Curves do what no family does (a plateau, then a fall): with this probability the objective is normal about the last
# one, with this standard deviation in units of the range.
SURPRISE, SURPRISE_STD = 0.06, 0.5
# A loss of thousands in the first epoch must not set the scale: no objective is further above the best than this many
# times the median is.
HIGHEST = 10.0


@dataclass(frozen=True)
class _Fit:
    """A posterior: for each shape its weight, and its level and fall as a correlated normal pair; each (size,)."""

    weights: np.ndarray
    level: np.ndarray  # at the last epoch
    fall: np.ndarray  # from the first epoch to the last
    precision: tuple[np.ndarray, np.ndarray, np.ndarray]  # of level, of both, of fall
    last: float  # objective
    scale: float  # range of the objectives
    future: np.ndarray  # (size, n): the shapes at the future epochs, 1 at the first epoch seen and 0 at the last
    noise: np.ndarray  # (size, n)


class CurveEstimator:
    """Extrapolates learning curves, with their uncertainty.

    A curve is ``level + fall * shape + noise``. It says how a curve goes on that goes on as before: a learning rate
    dropped after the last epoch is not foreseen.

    Args:
        size: how many shapes, >= 1; the time of a call grows with it.
        seed: of the shapes, integer >= 0.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, size: int = 500, seed: int = 0) -> None:
        if size < 1 or seed < 0:
            raise ValueError(f"size={size!r}, seed={seed!r}: must be an integer >= 1 and one >= 0")
        self._bank = ShapeBank(size, seed)
        rng = np.random.default_rng([seed, 1])
        evenly = (np.arange(PATHS) + 0.5) / PATHS
        normal = np.array([NormalDist().inv_cdf(q) for q in evenly])
        self._evenly = evenly
        self._normal = np.stack([rng.permutation(normal), rng.permutation(normal)])

    def predict(self, epochs: Sequence[float], objectives: Sequence[float], at: float) -> Mixture:
        """The objective that will be reported after ``at`` epochs.

        Args:
            epochs: ascending, > 0; at least two.
            objectives: finite, one for each epoch.
            at: beyond the last of ``epochs``.

        Raises:
            ValueError: an argument is out of range.
        """
        fit = self._fit(*_checked(epochs, objectives, at), np.array([float(at)]))
        a, b, c = fit.precision
        shape = fit.future[:, 0]
        # the inverse of [[a, b], [b, c]], between (1, shape) and itself
        variance = (c - 2 * b * shape + a * shape**2) / (a * c - b * b)
        means = fit.last + fit.scale * (fit.level + fit.fall * shape)
        stds = fit.scale * np.sqrt(variance + fit.noise[:, 0] ** 2)
        return Mixture(
            np.append((1 - SURPRISE) * fit.weights, SURPRISE),
            np.append(means, fit.last),
            np.append(stds, SURPRISE_STD * fit.scale),
        )

    def chance_below(self, epochs: Sequence[int], objectives: Sequence[float], until: int, objective: float) -> float:
        """The probability of an objective < ``objective`` in any epoch after the last of ``epochs``, up to ``until``.

        Raises:
            ValueError: an argument is out of range (see ``predict``).
        """
        x, y = _checked(epochs, objectives, until)
        ahead = np.arange(int(x[-1]) + 1, until + 1, dtype=float)
        stretches = np.array_split(ahead, min(MOST_FUTURE, len(ahead)))
        fit = self._fit(x, y, np.array([stretch.mean() for stretch in stretches]))
        a, b, _ = fit.precision
        k = np.searchsorted(np.cumsum(fit.weights), self._evenly).clip(0, len(fit.weights) - 1)
        fall = fit.fall[k] + np.sqrt(a / (a * fit.precision[2] - b * b))[k] * self._normal[0]
        level = fit.level[k] - (b / a)[k] * (fall - fit.fall[k]) + self._normal[1] / np.sqrt(a[k])
        paths = level[:, None] + fall[:, None] * fit.future[k]  # (PATHS, n)
        gap = (objective - fit.last) / fit.scale
        below = normal_cdf((gap - paths) / fit.noise[k])
        lengths = np.array([len(stretch) for stretch in stretches])
        none = np.exp(np.log1p(-np.minimum(below, 1 - 1e-15)) @ lengths)
        surprised = NormalDist(0, SURPRISE_STD).cdf(gap)
        return float((1 - SURPRISE) * (1 - none.mean()) + SURPRISE * surprised)

    def _fit(self, x: np.ndarray, y: np.ndarray, future: np.ndarray) -> _Fit:
        if len(x) > MOST_POINTS:
            x = np.array([stretch.mean() for stretch in np.array_split(x, MOST_POINTS)])
            y = np.array([stretch.mean() for stretch in np.array_split(y, MOST_POINTS)])
        best, median = float(y.min()), float(np.median(y))
        if median > best:
            y = np.minimum(y, best + HIGHEST * (median - best))
        last, scale = float(y[-1]), float(np.ptp(y)) or max(abs(float(y[-1])), 1.0) * 1e-6
        y = (y - last) / scale

        n = len(x)
        values = self._bank.values(np.concatenate([x, future]), x[-1])
        fallen = np.maximum(values[:, :1] - values[:, n - 1 : n], 1e-12)
        shapes = (values - values[:, n - 1 : n]) / fallen
        weight = 1 / (self._bank.noise[:, None] * self._bank.scatter(x, x[-1])) ** 2
        weighted = weight * shapes[:, :n]
        a = weight.sum(1) + LEVEL**-2
        b = weighted.sum(1)
        c = (weighted * shapes[:, :n]).sum(1) + FALL_STD**-2
        p, q = weight @ y, weighted @ y + FALL / FALL_STD**2
        determinant = a * c - b * b
        level, fall = (c * p - b * q) / determinant, (a * q - b * p) / determinant
        misfit = weight @ y**2 - p * level - q * fall
        evidence = min(TEMPER, MOST_EVIDENCE / n) * (np.log(weight).sum(1) - np.log(determinant) - misfit) / 2
        weights = np.exp(evidence - evidence.max())
        noise = FUTURE_NOISE * self._bank.noise[:, None] * self._bank.scatter(future, x[-1])
        return _Fit(weights / weights.sum(), level, fall, (a, b, c), last, scale, shapes[:, n:], noise)


def _checked(epochs: Sequence[float], objectives: Sequence[float], at: float) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(epochs, dtype=float), np.asarray(objectives, dtype=float)
    if x.ndim != 1 or len(x) < 2 or x.shape != y.shape:
        raise ValueError(
            f"epochs and objectives: have the shapes {x.shape} and {y.shape}; give one objective for each of two or "
            "more epochs"
        )
    if not (x[0] > 0 and (np.diff(x) > 0).all() and np.isfinite(x[-1])):
        raise ValueError(f"epochs={epochs!r}: must be > 0 and ascending")
    if not np.isfinite(y).all():
        raise ValueError(f"objectives={objectives!r}: must be finite; leave out the epochs that are not")
    if not at > x[-1]:
        raise ValueError(f"the epoch asked for, {at!r}: must be beyond the last of epochs, {x[-1]:g}")
    return x, y
