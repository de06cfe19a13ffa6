"""An optimizer's moments are carried so that they are those of the child's own gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kt_ext.nas.network import Network
from kt_ext.networks.morph import inherit
from networks.morph_networks import arbitrary, examples, weights
from networks.test_morph_inference import branch_net, conv_net, dense_net, residual_net
from networks.test_morph_training import block_net

# That the inference tests hold on JAX says enough of it: each network here takes it seconds to compile.
pytestmark = pytest.mark.tensorflow


def moments(model: keras.Model, layer: str, variable: str, slot: str) -> np.ndarray:
    name = f"{layer}_{variable}_{slot}"
    return np.array(next(each for each in model.optimizer.variables if each.name == name).numpy())


def stepped(network: Network, optimizer: object, steps: int = 1) -> keras.Model:
    model = arbitrary(network, optimizer=optimizer)
    x, y = examples(network, 32), np.random.default_rng(2).normal(size=(32, 3)).astype("float32")
    for _ in range(steps):
        model.train_on_batch(x, y)
    return model


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        (conv_net(), conv_net(13)),
        (conv_net(pool="flatten"), conv_net(12, pool="flatten")),
        (dense_net(), dense_net(21)),
        (branch_net("concat", True), branch_net("concat", True, 11)),
    ],
    ids=["conv", "flatten", "dense", "concat"],
)
def test_carried_moments_are_the_childs_own_gradients(parent: Network, child: Network) -> None:
    # With beta 0 the first moment after a step is the gradient, the second its square; with rate 0 nothing moves.
    optimizer = keras.optimizers.Adam(0.0, beta_1=0.0, beta_2=0.0)
    giver = stepped(parent, optimizer)
    # The step moved the statistics, which must not matter: gradients are taken in training mode.
    taker = arbitrary(child, optimizer=keras.optimizers.Adam(0.0, beta_1=0.0, beta_2=0.0))
    assert inherit(giver, parent, taker, child, np.random.default_rng(0)).optimizer == "carried"
    assert int(taker.optimizer.iterations.numpy()) == 1
    names = [each.name for each in taker.optimizer.variables if each.name.endswith(("_momentum", "_velocity"))]
    carried = {each.name: np.array(each.numpy()) for each in taker.optimizer.variables if each.name in names}
    x, y = examples(parent, 32), np.random.default_rng(2).normal(size=(32, 3)).astype("float32")
    taker.train_on_batch(x, y)
    seen = {each.name: np.array(each.numpy()) for each in taker.optimizer.variables if each.name in names}
    # A bias before a batch normalization has no gradient but rounding: measure by the largest of all.
    for slot in ("_momentum", "_velocity"):
        largest = max(np.abs(seen[name]).max() for name in names if name.endswith(slot))
        for name in names:
            if name.endswith(slot):
                assert np.abs(seen[name] - carried[name]).max() <= 1e-4 * largest, name


def test_a_new_layer_gets_a_typical_mean_of_squares() -> None:
    parent, child = block_net(1), block_net(2)
    giver = stepped(parent, "adam", 3)
    taker = arbitrary(child)
    inherit(giver, parent, taker, child, np.random.default_rng(0))
    kernels = [moments(giver, layer, "kernel", "velocity") for layer in ("stem.conv", "block0.conv", "head.dense")]
    typical = np.mean([kernel.mean() for kernel in kernels])
    assert moments(taker, "block1.conv", "kernel", "velocity") == pytest.approx(np.full((3, 3, 6, 6), typical))
    assert not moments(taker, "block1.conv", "kernel", "momentum").any()
    assert np.array_equal(
        moments(taker, "block0.conv", "kernel", "velocity"), moments(giver, "block0.conv", "kernel", "velocity")
    )


def test_new_taps_of_a_kernel_lie_around_the_carried_ones() -> None:
    parent, child = conv_net(kernel=3), conv_net(kernel=5)
    giver = stepped(parent, "adam", 2)
    taker = arbitrary(child)
    inherit(giver, parent, taker, child, np.random.default_rng(0))
    for slot, around in (("momentum", 0.0), ("velocity", None)):
        old, new = (moments(model, "one.conv", "kernel", slot) for model in (giver, taker))
        assert np.array_equal(new[1:4, 1:4], old)
        assert len({*new[0].flat, *new[-1].flat, *new[:, 0].flat, *new[:, -1].flat}) == 1
        assert new[0, 0, 0, 0] == around or (around is None and new[0, 0, 0, 0] > 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.SGD(0.01, momentum=0.9),
        lambda: keras.optimizers.RMSprop(0.01, momentum=0.9, centered=True),
        lambda: keras.optimizers.Adam(0.01, amsgrad=True, use_ema=True),
        lambda: keras.optimizers.Nadam(0.01),
        pytest.param(lambda: keras.optimizers.Adamax(0.01), marks=pytest.mark.slow),
        pytest.param(lambda: keras.optimizers.Lion(0.01), marks=pytest.mark.slow),
        pytest.param(lambda: keras.optimizers.Adadelta(0.01), marks=pytest.mark.slow),
    ],
    ids=["SGD", "RMSprop", "Adam", "Nadam", "Adamax", "Lion", "Adadelta"],
)
def test_a_child_of_the_same_size_goes_on_exactly(make) -> None:
    network = dense_net()
    giver = stepped(network, make(), 3)
    taker = arbitrary(network, seed=9, optimizer=make())
    done = inherit(giver, network, taker, network, np.random.default_rng(0))
    assert (done.share, done.optimizer) == (1, "carried")
    x, y = examples(network, 32, seed=4), np.random.default_rng(3).normal(size=(32, 3)).astype("float32")
    for model in (giver, taker):
        model.train_on_batch(x, y)
    for old, new in zip(giver.weights, taker.weights, strict=True):
        assert np.allclose(old.numpy(), new.numpy(), rtol=1e-5, atol=1e-6), old.path


def test_the_childs_learning_rate_stays_its_own() -> None:
    network = dense_net()
    giver = stepped(network, keras.optimizers.Adam(0.01))
    taker = arbitrary(network, optimizer=keras.optimizers.Adam(0.25))
    inherit(giver, network, taker, network, np.random.default_rng(0))
    assert float(taker.optimizer.learning_rate.numpy()) == 0.25


@pytest.mark.parametrize(
    ("giving", "taking", "word"),
    [
        (keras.optimizers.Adam, keras.optimizers.SGD, "the parent's was Adam, the child's is SGD"),
        (keras.optimizers.Adafactor, keras.optimizers.Adafactor, "has not the shape of the weights"),
    ],
)
def test_an_optimizer_that_cannot_be_carried_begins_anew(giving, taking, word: str) -> None:
    parent, child = residual_net(8), residual_net(12)
    giver, taker = stepped(parent, giving()), arbitrary(child, optimizer=taking())
    done = inherit(giver, parent, taker, child, np.random.default_rng(0))
    assert word in done.optimizer and done.optimizer.startswith("fresh")
    assert int(taker.optimizer.iterations.numpy()) == 0


def test_models_that_are_not_compiled_give_their_weights_alone() -> None:
    from kt_ext.networks.build import build

    parent, child = dense_net(), dense_net(9)
    done = inherit(build(parent), parent, build(child), child, np.random.default_rng(0))
    assert done.optimizer == "fresh: not both models are compiled"
    assert done.share == 1


def test_an_average_of_weights_is_carried_as_weights() -> None:
    parent, child = dense_net(8, norm=False), dense_net(16, norm=False)
    giver = stepped(parent, keras.optimizers.Adam(0.01, use_ema=True), 2)
    taker = arbitrary(child, optimizer=keras.optimizers.Adam(0.01, use_ema=True))
    inherit(giver, parent, taker, child, np.random.default_rng(0))
    old, new = (moments(model, "head.dense", "kernel", "average") for model in (giver, taker))
    assert new.sum(axis=0) == pytest.approx(old.sum(axis=0), rel=1e-5)  # divided among the replicas
    assert weights(taker, "head.dense", "kernel").sum(axis=0) == pytest.approx(
        weights(giver, "head.dense", "kernel").sum(axis=0), rel=1e-5
    )
