"""What cannot be kept is refused by name, with the child untouched; else what fits is taken over."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.nas.channels import channels
from kt_ext.nas.moves import kind_of_move
from kt_ext.nas.network import Network
from kt_ext.nas.preserve import steps
from kt_ext.networks.morph import NotPreserved, inherit
from networks.morph_networks import arbitrary, laid, weights
from networks.test_morph_inference import branch_net, conv_net, plain_net, residual_net, separable_net


def normed_net(width: int) -> Network:
    def lay(net, x):
        with net.scope("one"):
            return net.activation(net.layer_norm(net.conv(x, width)), "gelu")

    return laid((6, 6, 1), lay)


def own_net(width: int) -> Network:
    import keras

    def lay(net, x):
        with net.scope("one"):
            x = net.conv(x, width)
        with net.scope("own"):
            return net.layer(x, lambda: keras.layers.GroupNormalization(1))

    return laid((6, 6, 1), lay)


def pooled_net(size: int) -> Network:
    return laid((6, 6, 1), lambda net, x: net.max_pool(x, size))


def block_net(blocks: int, activation: str, kind: str = "batch_norm") -> Network:
    """Residual blocks whose activation stands last."""

    def lay(net, x):
        for block in range(blocks):
            with net.scope(f"block{block}"):
                x = net.add([x, net.activation(getattr(net, kind)(net.conv(x, 6)), activation)])
        return x

    return laid((6, 6, 1), lay)


def narrow_net(depth: int) -> Network:
    """Each layer is narrower than the one before, the head sees the last alone."""

    def lay(net, x):
        for layer in range(depth):
            with net.scope(f"layer{layer}"):
                x = net.activation(net.conv(x, 4 - layer), "relu")
        with net.scope("end"):
            return net.conv(x, 3)

    return laid((6, 6, 1), lay)


def shortcut_net(connected: bool) -> Network:
    def lay(net, x):
        with net.scope("one"):
            y = net.batch_norm(net.conv(x, 6))
        with net.scope("sum"):
            return net.add([y, x] if connected else [y])

    return laid((6, 6, 1), lay)


REFUSED = {
    "narrower": (conv_net(8), conv_net(6), r"one/conv: gets narrower, from 8 to 6"),
    "smaller kernel": (conv_net(kernel=5), conv_net(kernel=3), r"one/conv: its kernel shrinks from 5 to 3"),
    "even kernel in an odd place": (
        separable_net(kernel=2, dilation=2), separable_net(kernel=3, dilation=2),
        "one/depthwise: a kernel of 2 lies in no place of one of 3 at stride 1, dilation 2",
    ),
    "dilation": (separable_net(), separable_net(dilation=2), "one/depthwise: dilation changes from 1 to 2"),
    "stride": (conv_net(), conv_net(stride=2), "one/conv: stride changes from 1 to 2"),
    "bias": (conv_net(), conv_net(bias=True), "one/conv: bias changes from False to True"),
    "pool": (pooled_net(2), pooled_net(3), "max_pool: size changes from 2 to 3"),
    "identity before tanh": (
        plain_net(1, activation="tanh"), plain_net(2, activation="tanh"),
        "layer1/activation: no identity before tanh is one",
    ),
    "activation": (
        plain_net(1), plain_net(1, activation="gelu"), "layer0/activation: function changes from relu to gelu"
    ),
    "new layer too narrow": (narrow_net(1), narrow_net(2), "layer1/conv: a new layer of 3 channels cannot pass 4 on"),
    "identity before softplus": (
        plain_net(1, activation="softplus"), plain_net(2, activation="softplus"),
        "layer1/activation: no identity before softplus is one",
    ),
    "identity before elu": (
        plain_net(1, activation="elu"), plain_net(2, activation="elu"),
        "layer1/activation: an identity before elu is one only where its input is never negative",
    ),
    "fewer layers": (plain_net(2), plain_net(1), "takes layer0/activation where it took layer1/activation; one can"),
    "a connection taken away": (branch_net("add", True), branch_net(), "three/conv: takes two/activation where it"),
    "a block that would be dead": (
        block_net(1, "relu"), block_net(2, "relu"), "block1/activation: relu has no slope at 0"
    ),
    "a block that is not zero": (
        block_net(1, "sigmoid"), block_net(2, "sigmoid"), "block1/activation: sigmoid of 0 is not 0"
    ),
    "a connection without weights": (
        shortcut_net(False), shortcut_net(True), "stem/activation: gives what it gave, and a new connection without"
    ),
    "layer normalization": (normed_net(4), normed_net(6), "one/layer_norm: layer normalization keeps its mean only"),
    "a layer of one's own": (own_net(4), own_net(8), "own/layer: a layer of your own sees all channels at once"),
    "another input": (plain_net(1), plain_net(1, shape=(8, 8, 1)), "input: changes its shape"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_by_name(case: str) -> None:
    parent, child, words = REFUSED[case]
    with pytest.raises(NotPreserved, match=words) as refusal:
        channels(parent, child, steps(parent, child))
    assert "use exact=False to take over what fits, or train it from scratch" in str(refusal.value)
    assert kind_of_move(parent, child) is None


def test_a_child_that_is_refused_is_left_as_it_was() -> None:
    parent, child = conv_net(8), conv_net(6, kernel=5)
    taker = arbitrary(child, seed=5)
    before = [np.array(variable.numpy()) for variable in taker.variables]
    with pytest.raises(NotPreserved, match="one/conv: gets narrower, from 8 to 6"):
        inherit(arbitrary(parent), parent, taker, child, np.random.default_rng(0))
    for variable, was in zip(taker.variables, before, strict=True):
        assert np.array_equal(variable.numpy(), was)


def test_summands_of_different_widths() -> None:
    def network(width: int, joined: int) -> Network:
        def lay(net, x):
            with net.scope("left"):
                left = net.conv(x, width)
            with net.scope("right"):
                right = net.concat([net.conv(x, joined), net.conv(x, width - joined)])
            with net.scope("sum"):
                return net.add([left, right])

        return laid((6, 6, 1), lay)

    with pytest.raises(NotPreserved, match="sum/add: its summands' channels would be doubled in different ways"):
        parent, child = network(6, 2), network(9, 3)
        channels(parent, child, steps(parent, child))


def test_what_fits_is_taken_over() -> None:
    parent, child = conv_net(8, kernel=3), conv_net(5, kernel=5)
    giver, taker = arbitrary(parent), arbitrary(child, seed=5)
    giver.train_on_batch(np.ones((2, 9, 8, 2), "float32"), np.ones((2, 3), "float32"))
    fresh = weights(taker, "one.conv", "kernel")
    done = inherit(giver, parent, taker, child, np.random.default_rng(0), exact=False)
    old, new = weights(giver, "one.conv", "kernel"), weights(taker, "one.conv", "kernel")
    assert np.array_equal(new[1:4, 1:4], old[..., :5])
    assert np.array_equal(new[0], fresh[0]) and np.array_equal(new[:, 4], fresh[:, 4])
    assert np.array_equal(weights(taker, "one.batch_norm", "moving_variance"),
                          weights(giver, "one.batch_norm", "moving_variance")[:5])  # fmt: skip
    kept = child.params - (25 - 9) * 6 * 5
    assert done.share == pytest.approx(kept / child.params)
    assert done.optimizer == "carried"


def test_nothing_fits_a_network_of_other_layers() -> None:
    parent, child = conv_net(), residual_net()
    taker = arbitrary(child, seed=5)
    before = weights(taker, "widening.conv", "kernel")
    done = inherit(arbitrary(parent), parent, taker, child, np.random.default_rng(0), exact=False)
    assert np.array_equal(weights(taker, "widening.conv", "kernel"), before)
    assert 0 < done.share < 1  # the stem and the head
