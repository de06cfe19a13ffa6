"""Expected improvement over the best objective so far (Jones, Schonlau and Welch, 1998), and its logarithm.

With z = (best - mean) / std and h(z) = phi(z) + z Phi(z), both of the standard normal, the expected improvement of a
minimised objective is std h(z). Far from the incumbent h underflows, and every candidate would look equally useless:
the logarithm is computed as in Ament et al. (2023), "Unexpected improvements to expected improvement", equation 9.
"""

from __future__ import annotations

import numpy as np

_LOG_SQRT_2PI = 0.5 * np.log(2 * np.pi)
_LOG_SQRT_HALF_PI = 0.5 * np.log(np.pi / 2)
# Beyond this 1 + z Phi(z) / phi(z) is no longer told from rounding, and its limit 1 / z^2 is exact.
_FAR = -1 / np.sqrt(np.finfo(float).eps)


def expected_improvement(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """Expected improvement of a minimised objective, shape (n,), in its units.

    Args:
        mean: predicted objectives, shape (n,).
        std: their standard deviations >= 0, shape (n,); 0 where the prediction is certain.
        best: the objective to improve on.

    Raises:
        ValueError: ``best`` is NaN, or a standard deviation is negative.
    """
    return np.exp(log_expected_improvement(mean, std, best))


def log_expected_improvement(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """The logarithm of ``expected_improvement``, shape (n,); finite wherever ``std`` is positive, however far off.

    Where ``std`` is 0 it is the logarithm of the certain improvement, minus infinity if there is none.
    """
    mean, std = np.asarray(mean, dtype=float), np.asarray(std, dtype=float)
    if np.isnan(best):
        raise ValueError("best=nan: must be a number; leave out objectives that are NaN")
    if (std < 0).any():
        raise ValueError(f"std={std.min()}: must be >= 0; take the square root of a variance clipped at 0")
    result = np.empty(np.broadcast(mean, std).shape)
    certain = std == 0
    with np.errstate(divide="ignore"):
        result[certain] = np.log(np.maximum(best - mean[certain], 0.0))
    uncertain = ~certain
    result[uncertain] = np.log(std[uncertain]) + _log_h((best - mean[uncertain]) / std[uncertain])
    return result


def _log_h(z: np.ndarray) -> np.ndarray:
    """log(phi(z) + z Phi(z)), shape (n,)."""
    # Imported late: it takes longer than all that searchers without a model need.
    from scipy.special import erfcx, ndtr

    result = np.empty(z.shape)
    near, far = z > -1, z <= _FAR
    between = ~near & ~far
    near_z, between_z, far_z = z[near], z[between], z[far]
    result[near] = np.log(np.exp(-0.5 * near_z**2 - _LOG_SQRT_2PI) + near_z * ndtr(near_z))
    # z Phi(z) / phi(z) = -exp(ratio), and h(z) = phi(z) (1 - exp(ratio)).
    ratio = np.log(erfcx(-between_z / np.sqrt(2)) * -between_z) + _LOG_SQRT_HALF_PI
    result[between] = -0.5 * between_z**2 - _LOG_SQRT_2PI + _log_1_minus_exp(ratio)
    result[far] = -0.5 * far_z**2 - _LOG_SQRT_2PI - 2 * np.log(-far_z)
    return result


def _log_1_minus_exp(x: np.ndarray) -> np.ndarray:
    """log(1 - exp(x)) for x < 0, shape (n,) (Maechler, 2012)."""
    # Near _FAR rounding may bring x to 0.
    x = np.minimum(x, -np.finfo(float).tiny)
    close = x > -np.log(2)
    result = np.empty(x.shape)
    result[close] = np.log(-np.expm1(x[close]))
    result[~close] = np.log1p(-np.exp(x[~close]))
    return result
