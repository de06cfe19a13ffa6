"""Random generators of a state that another trial takes over begin anew, each trial's and each epoch's differently."""

from __future__ import annotations

import keras
import numpy as np

from kt_ext.training.seeds import GENERATOR, reseeded
from kt_ext.training.state import get_state, set_state


def model() -> keras.Model:
    layers = [keras.layers.Input((3,)), keras.layers.Dropout(0.5), keras.layers.Dense(4), keras.layers.Dropout(0.5)]
    made = keras.Sequential(layers)
    made.compile("adam", "mse")
    return made


def generators(state):
    return [array for name, array in state.items() if name.endswith(GENERATOR)]


def test_generators_alone_change():
    state = get_state(model())
    before = {name: array.copy() for name, array in state.items()}
    anew = reseeded(state, seed=7, epoch=3)
    assert len(generators(state)) == 2
    assert list(anew) == list(state)
    for name, array in state.items():
        assert np.array_equal(array, before[name])  # the donor's is left as it is
        assert np.array_equal(anew[name], array) == (not name.endswith(GENERATOR))
        assert (anew[name].dtype, anew[name].shape) == (array.dtype, array.shape)


def test_it_follows_from_seed_and_epoch():
    state = get_state(model())
    drawn = {(seed, epoch): generators(reseeded(state, seed, epoch)) for seed in (0, 1) for epoch in (1, 2)}
    assert len({array.tobytes() for arrays in drawn.values() for array in arrays}) == 8  # each layer its own, too
    for key, arrays in drawn.items():
        assert all(np.array_equal(*pair) for pair in zip(arrays, generators(reseeded(state, *key)), strict=True))
        assert all(array[0] < 2**31 and array[1] == 0 for array in arrays)


def test_a_model_takes_it_and_drops_other_units():
    one, x = model(), np.ones((200, 3), "float32")
    state = get_state(one)
    masks = []
    for seed in (1, 2, 1):
        set_state(one, reseeded(state, seed, 1))
        masks.append(keras.ops.convert_to_numpy(one.layers[0](x, training=True)))
    assert np.array_equal(masks[0], masks[2])
    assert not np.array_equal(masks[0], masks[1])


def test_a_state_without_generators():
    state = {"kernel": np.ones(2)}
    assert reseeded(state, 1, 1) == state
