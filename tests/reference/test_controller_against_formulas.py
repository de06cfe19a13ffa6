"""The gradient that the controller's network takes is that of the papers' formulas."""

from __future__ import annotations

import numpy as np
from keras import ops

from kt_ext.nas.strategies.token_policy import initial_weights
from kt_ext.networks.controller import GLOBAL_CLIPNORM, ControllerNetwork
from reference.reinforce import Arrays, clipped, gradient, ppo_loss, reinforce_loss

COUNTS = (2, 3, 2)
TOKENS = np.array([[0, 2, 1], [1, -1, 0], [-1, 0, 1], [1, 1, -1]])
ADVANTAGES = np.array([1.5, -0.7, 0.3, -2.0])
ENTROPY = 0.1


START = initial_weights(COUNTS, 3, 7)


def _momentums(network: ControllerNetwork) -> list[np.ndarray]:
    variables = network.model.optimizer.variables
    return [np.array(ops.convert_to_numpy(one)) for one in variables if "momentum" in one.path]


def _assert_equal(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(found) == len(expected) == 6
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-6)


def test_reinforce() -> None:
    network = ControllerNetwork(COUNTS, 3, 0.05, ENTROPY, None, START)
    slopes = gradient(lambda w: reinforce_loss(w, COUNTS, TOKENS, ADVANTAGES, ENTROPY), START)
    network.learn(TOKENS, ADVANTAGES, epochs=1)
    # Adam's first momentum is a tenth of the gradient that it was given
    _assert_equal([10 * one for one in _momentums(network)], slopes)

    steep = gradient(lambda w: reinforce_loss(w, COUNTS, TOKENS, 100 * ADVANTAGES, ENTROPY), START)
    assert np.sqrt(sum((one**2).sum() for one in steep)) > 5 * GLOBAL_CLIPNORM
    network.begin(START)
    network.learn(TOKENS, 100 * ADVANTAGES, epochs=1)
    _assert_equal([10 * one for one in _momentums(network)], clipped(steep, GLOBAL_CLIPNORM))


def test_ppo_in_its_second_step() -> None:
    network = ControllerNetwork(COUNTS, 3, 0.3, ENTROPY, 0.2, START)  # steps of 0.3 go far beyond the clip
    network.learn(TOKENS, ADVANTAGES, epochs=1)
    after, first = network.model.get_weights(), _momentums(network)
    network.begin(START)
    network.learn(TOKENS, ADVANTAGES, epochs=2)
    found = [10 * (second - 0.9 * one) for second, one in zip(_momentums(network), first, strict=True)]

    def loss(weights: Arrays, clip: float = 0.2) -> float:
        return ppo_loss(weights, START, COUNTS, TOKENS, ADVANTAGES, ENTROPY, clip)

    slopes = gradient(loss, after)
    _assert_equal(found, clipped(slopes, GLOBAL_CLIPNORM))
    without = gradient(lambda w: loss(w, clip=100.0), after)
    assert max(np.abs(one - other).max() for one, other in zip(slopes, without, strict=True)) > 0.01
