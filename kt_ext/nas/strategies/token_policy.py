"""A recurrent policy over tokens in numpy: an LSTM that reads the token before and gives probabilities of the next.

Its twin in Keras, ``kt_ext.networks.controller``, learns; this one draws, at some 50 us a token where a call of Keras
takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Weights(NamedTuple):
    """The policy's weights, float32, in the order of the Keras model's.

    Attributes:
        embedding: shape (1 + sum of counts, units); row 0 stands for the beginning, the tokens of all steps follow.
        kernel, recurrent, bias: of the LSTM, shapes (units, 4 units) twice and (4 units,); gates i, f, c, o.
        heads, head_bias: from the state to the logits, shapes (n_steps, units, most) and (n_steps, most); ``most`` is
            the largest count.
    """

    embedding: np.ndarray
    kernel: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray
    heads: np.ndarray
    head_bias: np.ndarray


def initial_weights(counts: Sequence[int], units: int, seed: int) -> Weights:
    """Small uniform weights as in Zoph and Le (2017): the first architectures are nearly uniform draws.

    Args:
        counts: how many tokens each step has.
        units: of the LSTM and of the embedding.
        seed: integer >= 0.
    """
    rng = np.random.default_rng(seed)

    def uniform(*shape: int) -> np.ndarray:
        return rng.uniform(-0.1, 0.1, shape).astype(np.float32)

    steps, most = len(counts), max(counts, default=1)
    bias = np.zeros(4 * units, np.float32)
    bias[units : 2 * units] = 1.0  # an LSTM begins by remembering
    return Weights(
        uniform(1 + sum(counts), units),
        uniform(units, 4 * units),
        uniform(units, 4 * units),
        bias,
        uniform(steps, units, most),
        np.zeros((steps, most), np.float32),
    )


def first_rows(counts: Sequence[int]) -> np.ndarray:
    """The embedding's row of each step's token 0, shape (n_steps,)."""
    return 1 + np.cumsum([0, *counts[:-1]])


class TokenPolicy:
    """The policy with given weights.

    Args:
        weights: see ``Weights``.
        counts: how many tokens each step has.
    """

    def __init__(self, weights: Weights, counts: Sequence[int]) -> None:
        self.weights = weights
        self.counts = tuple(counts)
        self.rows = first_rows(counts)
        self.inputs = weights.embedding @ weights.kernel + weights.bias

    def walk(self) -> Walk:
        """A new sequence."""
        return Walk(self)

    def log_probabilities(self, tokens: np.ndarray) -> np.ndarray:
        """Of each token of a sequence given those before, shape (n_steps,); 0 for negative ones, which are skipped."""
        walk = self.walk()
        found = np.zeros(len(tokens), np.float32)
        for step, token in enumerate(tokens):
            if token >= 0:
                found[step] = walk.log_probabilities(step)[token]
                walk.take(step, int(token))
        return found


class Walk:
    """One sequence in the making."""

    def __init__(self, policy: TokenPolicy) -> None:
        self._policy = policy
        units = len(policy.weights.recurrent)
        self._state = np.zeros(units, np.float32)
        self._cell = np.zeros(units, np.float32)
        self._row = 0

    def log_probabilities(self, step: int) -> np.ndarray:
        """Of this step's tokens, shape (count,). To be followed by ``take``."""
        weights, count = self._policy.weights, self._policy.counts[step]
        gates = self._policy.inputs[self._row] + self._state @ weights.recurrent
        units = len(self._state)
        sigmoid = 1 / (1 + np.exp(-gates))
        self._cell = sigmoid[units : 2 * units] * self._cell + sigmoid[:units] * np.tanh(gates[2 * units : 3 * units])
        self._state = sigmoid[3 * units :] * np.tanh(self._cell)
        logits = self._state @ weights.heads[step, :, :count] + weights.head_bias[step, :count]
        shifted = logits - logits.max()
        return shifted - np.log(np.exp(shifted).sum())

    def take(self, step: int, token: int) -> None:
        """The step has this token."""
        self._row = self._policy.rows[step] + token

    def choose(self, step: int, uniform: float) -> int:
        """Takes a token at random and returns it, by a uniform number in [0, 1)."""
        cumulated = np.exp(self.log_probabilities(step).astype(float)).cumsum()
        token = int(np.searchsorted(cumulated, uniform * cumulated[-1], side="right"))
        self.take(step, token)
        return token
