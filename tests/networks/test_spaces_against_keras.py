"""What a space says of an architecture is what Keras builds."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kt_ext import nas
from nas_spaces import SPACES


def assert_as_said(word: str, numbers: range) -> None:
    space, input_shape = SPACES[word]
    rng = np.random.default_rng(7)
    archs = [space.random(rng) for _ in numbers]
    for number in numbers:
        arch = archs[number]
        network = space.network(arch, input_shape, nas.classifier(3))
        model = space.build(arch, input_shape, nas.classifier(3))
        assert model.count_params() == network.params == space.params(arch, input_shape, nas.classifier(3)), str(arch)
        for layer in network.layers:
            built = model.get_layer(layer.name.replace("/", ".")).output
            assert tuple(built.shape[1:]) == layer.shape, layer.name
        if number == 0:
            given = rng.random((2, *input_shape), dtype=np.float32)
            assert np.isfinite(keras.ops.convert_to_numpy(model(given))).all()
    keras.utils.clear_session()


@pytest.mark.parametrize("word", SPACES)
def test_params_and_shapes(word):
    assert_as_said(word, range(1))


@pytest.mark.slow
@pytest.mark.parametrize("word", SPACES)
def test_params_and_shapes_of_some(word):
    assert_as_said(word, range(4))


@pytest.mark.nightly
@pytest.mark.parametrize("word", SPACES)
def test_params_and_shapes_of_many(word):
    assert_as_said(word, range(200))
