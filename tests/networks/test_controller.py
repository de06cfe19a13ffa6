"""The controller's network in Keras: like its twin in numpy, and a good neighbour to the user's models."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest
from keras import ops

from kt_ext.nas.strategies.token_policy import Weights, initial_weights
from kt_ext.networks.controller import ControllerNetwork

COUNTS = (3, 5, 2, 4)
TOKENS = np.array([[2, 4, 1, 0], [0, -1, 0, 3], [1, 1, -1, -1]])
ADVANTAGES = np.array([1.0, -1.0, 0.5])
Networks = tuple[ControllerNetwork, ControllerNetwork]


def _weights(seed: int = 0) -> Weights:
    rng = np.random.default_rng(seed)
    small = initial_weights(COUNTS, 8, seed)
    return Weights(*(rng.normal(0, 0.8, one.shape).astype(np.float32) for one in small))


def _network() -> ControllerNetwork:
    return ControllerNetwork(COUNTS, 8, 0.01, 0.01, 0.2, _weights())


@pytest.fixture(scope="module")
def compiled() -> Networks:
    return _network(), _network()


@pytest.fixture
def networks(compiled: Networks) -> Networks:
    """Two of the same weights; to compile one takes a second."""
    for network in compiled:
        network.begin(_weights())
    return compiled


def _flat(state: dict[str, list[np.ndarray]]) -> np.ndarray:
    return np.concatenate([np.ravel(one).astype(float) for arrays in state.values() for one in arrays])


def test_numpy_gives_what_keras_gives(networks: Networks) -> None:
    network = networks[0]
    previous = np.array([[0, 3, 8, 10], [0, 1, 1, 9], [0, 2, 5, 5]])  # rows: 1 + 0..2, 4 + 0..4, 9 + 0..1, 11 + 0..3
    logits = ops.convert_to_numpy(network.model([previous, TOKENS >= 0])).astype(float)
    exponentials = np.exp(logits)
    expected = exponentials / exponentials.sum(-1, keepdims=True)
    policy = network.policy()
    found = np.stack([policy.log_probabilities(sequence) for sequence in TOKENS])
    for n, step in np.argwhere(TOKENS >= 0):
        assert found[n, step] == pytest.approx(np.log(expected[n, step, TOKENS[n, step]]), abs=1e-5)
    assert (found[TOKENS < 0] == 0).all()
    assert np.ptp(found[TOKENS >= 0]) > 0.5


def test_a_walk_draws_by_the_inverse_of_the_distribution(networks: Networks) -> None:
    policy = networks[0].policy()
    cumulated = np.exp(policy.walk().log_probabilities(0)).cumsum()
    drawn = [policy.walk().choose(0, float(u)) for u in (0, cumulated[0] - 1e-3, cumulated[0] + 1e-3, 0.99999)]
    assert drawn == [0, 0, 1, 2]


def test_a_token_that_did_well_becomes_likelier(networks: Networks) -> None:
    network = networks[0]
    before = [network.policy().log_probabilities(sequence).sum() for sequence in TOKENS]
    network.learn(TOKENS, ADVANTAGES, epochs=3)
    after = [network.policy().log_probabilities(sequence).sum() for sequence in TOKENS]
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_the_state_goes_on_exactly(networks: Networks) -> None:
    first, second = networks
    first.learn(TOKENS, ADVANTAGES, epochs=2)
    second.begin(_weights(1))
    second.load_state(first.state())
    for network in networks:
        network.learn(TOKENS[::-1].copy(), ADVANTAGES, epochs=2)
    np.testing.assert_allclose(_flat(first.state()), _flat(second.state()), rtol=0, atol=1e-7)


def test_to_begin_again_is_to_be_new(networks: Networks) -> None:
    used, new = networks
    used.learn(TOKENS, ADVANTAGES, epochs=2)
    assert np.abs(_flat(used.state()) - _flat(new.state())).max() > 0.001
    used.begin(_weights())
    assert (_flat(used.state()) == _flat(new.state())).all()


def test_a_cleared_session_changes_nothing(networks: Networks) -> None:
    plain, cleared = networks
    for _ in range(2):
        plain.learn(TOKENS, ADVANTAGES, epochs=1)
    for _ in range(2):
        cleared.learn(TOKENS, ADVANTAGES, epochs=1)
        keras.utils.clear_session()
        keras.layers.Dense(2)(keras.Input((3,)))  # a model of the next trial
    np.testing.assert_allclose(_flat(plain.state()), _flat(cleared.state()), rtol=0, atol=1e-7)


@pytest.mark.slow
def test_global_seeds_and_names_stay_as_they_were() -> None:
    def draws() -> list[float]:
        return [random.random(), float(np.random.random()), float(ops.convert_to_numpy(keras.random.uniform(())))]

    keras.utils.clear_session()
    keras.utils.set_random_seed(5)
    expected = draws()
    keras.utils.clear_session()
    keras.utils.set_random_seed(5)
    _network().learn(TOKENS, ADVANTAGES, epochs=1)
    assert draws() == expected
    made = [keras.layers.Dense(2).name, keras.layers.LSTM(2).name, keras.layers.Embedding(3, 2).name]
    assert made == ["dense", "lstm", "embedding"]


@pytest.mark.slow
def test_the_users_mixed_precision_is_not_the_controllers(networks: Networks) -> None:
    expected = networks[0]
    expected.learn(TOKENS, ADVANTAGES, epochs=2)
    kept = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        network = _network()
        network.learn(TOKENS, ADVANTAGES, epochs=2)
    finally:
        keras.mixed_precision.set_global_policy(kept)
    np.testing.assert_allclose(_flat(network.state()), _flat(expected.state()), rtol=0, atol=1e-7)
