"""The controller's losses literally, in float64, and their gradients by central differences: slow, for tiny cases.

REINFORCE: Zoph and Le (2017), section 3.2, 1/m sum_k sum_t grad log P(a_t | a_(t-1):1) (R_k - b). PPO: Schulman et al.
(2017), equation 7, the mean of min(r A, clip(r, 1 - e, 1 + e) A). Both with the entropy of every choice as a bonus,
over the number of steps, and as losses: with the sign turned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Arrays = Sequence[np.ndarray]


def distributions(weights: Arrays, counts: Sequence[int], tokens: Sequence[int]) -> list[list[float]]:
    """Of each step's tokens given those before, as the LSTM says; empty for a step that is skipped (token < 0)."""
    embedding, kernel, recurrent, bias, heads, head_bias = (np.asarray(one, np.float64) for one in weights)
    units = len(recurrent)
    h, c, row = np.zeros(units), np.zeros(units), 0
    found: list[list[float]] = []
    for step, token in enumerate(tokens):
        if token < 0:
            found.append([])
            continue
        gates = embedding[row] @ kernel + h @ recurrent + bias
        i, f, g, o = (gates[k * units : (k + 1) * units] for k in range(4))
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        exponentials = [math.exp(h @ heads[step, :, v] + head_bias[step, v]) for v in range(counts[step])]
        found.append([e / sum(exponentials) for e in exponentials])
        row = 1 + sum(counts[:step]) + token
    return found


def reinforce_loss(
    weights: Arrays, counts: Sequence[int], tokens: np.ndarray, advantages: Sequence[float], entropy: float
) -> float:
    """Minus the weighted log likelihood, minus the bonus."""
    total = 0.0
    for sequence, advantage in zip(tokens, advantages, strict=True):
        for token, p in zip(sequence, distributions(weights, counts, sequence), strict=True):
            if token >= 0:
                total += advantage * math.log(p[token]) + entropy * _entropy(p)
    return -total / tokens.size


def ppo_loss(
    weights: Arrays,
    before: Arrays,
    counts: Sequence[int],
    tokens: np.ndarray,
    advantages: Sequence[float],
    entropy: float,
    clip: float,
) -> float:
    """Minus the clipped surrogate, minus the bonus; ``before`` are the weights with which the batch was begun."""
    total = 0.0
    for sequence, advantage in zip(tokens, advantages, strict=True):
        now, old = distributions(weights, counts, sequence), distributions(before, counts, sequence)
        for token, p, q in zip(sequence, now, old, strict=True):
            if token >= 0:
                ratio = p[token] / q[token]
                clipped = max(1 - clip, min(1 + clip, ratio))
                total += min(ratio * advantage, clipped * advantage) + entropy * _entropy(p)
    return -total / tokens.size


def gradient(loss: Callable[[Arrays], float], weights: Arrays, step: float = 1e-6) -> list[np.ndarray]:
    """By central differences, one weight after the other."""
    point = [np.array(one, np.float64) for one in weights]
    slopes = []
    for one in point:
        slope = np.empty_like(one)
        for place in np.ndindex(one.shape):
            kept = one[place]
            one[place] = kept + step
            above = loss(point)
            one[place] = kept - step
            slope[place] = (above - loss(point)) / (2 * step)
            one[place] = kept
        slopes.append(slope)
    return slopes


def clipped(gradients: Arrays, norm: float) -> list[np.ndarray]:
    """Shortened so that all together are no longer than ``norm``."""
    length = math.sqrt(sum(float((one**2).sum()) for one in gradients))
    return [one * min(1.0, norm / length) for one in gradients]


def _entropy(p: Sequence[float]) -> float:
    return -sum(each * math.log(each) for each in p)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
