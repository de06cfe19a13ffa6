"""A child computes what its parent computes, whatever weights and statistics that one has."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.nas.head import classifier
from kt_ext.nas.moves import kind_of_move
from kt_ext.nas.network import Network
from kt_ext.networks.morph import inherit
from networks.morph_networks import arbitrary, difference, examples, laid, outputs


def conv_net(width=8, kernel=3, stride=1, shape=(9, 8, 2), pool="average", bias=False) -> Network:
    def lay(net, x):
        with net.scope("one"):
            x = net.activation(net.batch_norm(net.conv(x, width, kernel, stride, bias)), "swish")
        with net.scope("two"):
            return net.activation(net.batch_norm(net.conv(x, 7)), "relu")

    return laid(shape, lay, pool)


def separable_net(width=8, kernel=3, stride=1, dilation=1) -> Network:
    def lay(net, x):
        with net.scope("one"):
            x = net.batch_norm(net.conv(net.depthwise(x, kernel, stride, dilation=dilation), width, 1))
        with net.scope("two"):
            x = net.dropout(net.max_pool(net.activation(x, "relu")), 0.3)
            return net.batch_norm(net.conv(net.depthwise(x), 7, 1))

    return laid((9, 8, 2), lay)


def dense_net(width=8, norm=True) -> Network:
    def lay(net, x):
        with net.scope("one"):
            x = net.dense(x, width, "relu")
            return net.batch_norm(x) if norm else x

    return laid((5,), lay)


def residual_net(width=8, blocks=1, activation="relu") -> Network:
    def lay(net, x):
        with net.scope("widening"):
            x = net.batch_norm(net.conv(x, width, 1))
        for block in range(blocks):
            with net.scope(f"block{block}"):
                y = net.batch_norm(net.conv(net.activation(x, activation), width))
                x = net.add([x, net.dropout(y, 0.1)])
        with net.scope("last"):
            return net.activation(net.batch_norm(x), activation)

    return laid((6, 6, 1), lay)


def plain_net(depth=1, op="conv", activation="relu", width=6, shape=(6, 6, 1)) -> Network:
    def lay(net, x):
        for layer in range(depth):
            with net.scope(f"layer{layer}"):
                if op == "conv":
                    x = net.conv(x, width)
                elif op == "separable":
                    x = net.conv(net.depthwise(x, 5), width, 1)
                else:
                    x = net.dense(x, width)
                x = net.activation(net.batch_norm(x), activation)
        return x

    return laid(shape, lay)


def branch_net(merge="add", branch=False, width=6) -> Network:
    def lay(net, x):
        early = x
        with net.scope("one"):
            x = net.activation(net.batch_norm(net.conv(x, width)), "relu")
        with net.scope("two"):
            y = net.activation(net.batch_norm(net.conv(x, width, stride=2)), "relu")
        if branch:
            with net.scope("skip"):
                y = getattr(net, merge)([y, net.batch_norm(net.conv(early, width, 1, 2))])
        with net.scope("three"):
            return net.activation(net.batch_norm(net.conv(y, 7)), "relu")

    return laid((7, 7, 1), lay)


def cell_net(op="zero") -> Network:
    def lay(net, x):
        with net.scope("a"):
            first = net.batch_norm(net.conv(x, 6))
        with net.scope("b"):
            second = net.zero(x) if op == "zero" else net.batch_norm(net.conv(net.activation(x, "relu"), 6))
        with net.scope("sum"):
            return net.add([first, second])

    return laid((6, 6, 1), lay)


CASES = {
    "conv": ("widen", conv_net(), conv_net(13)),
    "conv with bias": ("widen", conv_net(bias=True), conv_net(30, bias=True)),
    "conv, flattened": ("widen", conv_net(pool="flatten"), conv_net(12, pool="flatten")),
    "series": ("widen", conv_net(shape=(11, 2)), conv_net(12, shape=(11, 2))),
    "separable": ("widen", separable_net(), separable_net(12)),
    "dense": ("widen", dense_net(), dense_net(21)),
    "dense without normalization": ("widen", dense_net(norm=False), dense_net(9, norm=False)),
    "sums": ("widen", residual_net(8, 2), residual_net(12, 2)),
    "residual block": ("deepen", residual_net(blocks=1), residual_net(blocks=3)),
    "residual block of tanh": ("deepen", residual_net(activation="tanh"), residual_net(blocks=2, activation="tanh")),
    "identity": ("deepen", plain_net(1), plain_net(3)),
    "separable identity": ("deepen", plain_net(1, "separable"), plain_net(2, "separable")),
    "dense identity": ("deepen", plain_net(1, "dense", shape=(4,)), plain_net(2, "dense", shape=(4,))),
    "identity in a series": ("deepen", plain_net(1, shape=(9, 2)), plain_net(2, shape=(9, 2))),
    "linear identity": ("deepen", plain_net(1, activation="linear"), plain_net(2, activation="linear")),
    "added skip": ("skip", branch_net("add"), branch_net("add", True)),
    "concatenated skip": ("skip", branch_net("concat"), branch_net("concat", True)),
    "none to conv": ("skip", cell_net(), cell_net("conv")),
    "kernel 1 to 5": ("kernel", conv_net(kernel=1), conv_net(kernel=5)),
    "kernel 2 to 5": ("kernel", conv_net(kernel=2), conv_net(kernel=5)),
    "kernel 3 to 7 in a series": ("kernel", conv_net(kernel=3, shape=(9, 2)), conv_net(kernel=7, shape=(9, 2))),
    "kernel 1 to 3, stride 2": ("kernel", conv_net(kernel=1, stride=2), conv_net(kernel=3, stride=2)),
    "kernel 3 to 5, stride 2": ("kernel", conv_net(kernel=3, stride=2), conv_net(kernel=5, stride=2)),
    "kernel 2 to 7, stride 3": ("kernel", conv_net(kernel=2, stride=3), conv_net(kernel=7, stride=3)),
    "depthwise kernel, stride 2": ("kernel", separable_net(stride=2), separable_net(kernel=7, stride=2)),
    "dilated kernel": ("kernel", separable_net(dilation=2), separable_net(kernel=5, dilation=2)),
    "a sum and its width": ("skip", branch_net("add"), branch_net("add", True, 11)),
    "a concatenation and its width": ("skip", branch_net("concat"), branch_net("concat", True, 11)),
    "width after a concatenation": ("widen", branch_net("concat", True), branch_net("concat", True, 11)),
    "depth and width": ("deepen", residual_net(8, 1), residual_net(12, 3)),
    "identities that widen": ("deepen", plain_net(1), plain_net(3, width=11)),
    "width and kernel": ("widen", conv_net(), conv_net(11, 5)),
    "only dropout": (None, separable_net(), separable_net()),
}


@pytest.mark.parametrize("case", CASES)
def test_a_child_computes_what_its_parent_computes(case: str) -> None:
    move, parent, child = CASES[case]
    far, done = difference(parent, child)
    assert far <= 1e-5
    assert done.optimizer.startswith("fresh: the parent's has not been built")
    assert kind_of_move(parent, child) == move


def test_what_comes_from_the_parent_is_counted() -> None:
    parent, child = plain_net(1), plain_net(2)
    new = sum(layer.params for layer in child.layers if layer.name.startswith("layer1/"))
    assert difference(parent, child)[1].share == pytest.approx(1 - new / child.params)
    # All channels of a wider layer are copies.
    assert difference(conv_net(), conv_net(13))[1].share == 1


def test_a_child_of_a_child_is_still_the_same() -> None:
    networks = [conv_net(), conv_net(13), conv_net(20, 5), conv_net(31, 7)]
    models = [arbitrary(network, seed) for seed, network in enumerate(networks)]
    rng = np.random.default_rng(0)
    for one, other, before, after in zip(networks, networks[1:], models, models[1:], strict=False):
        inherit(before, one, after, other, rng)
    x = examples(networks[0])
    first, last = outputs(models[0], x), outputs(models[-1], x)
    assert np.abs(last - first).max() <= 1e-5 * np.abs(first).max()


def test_layer_normalization_is_widened_by_whole_factors() -> None:
    def network(width: int) -> Network:
        def lay(net, x):
            with net.scope("one"):
                return net.activation(net.layer_norm(net.conv(x, width)), "gelu")

        return laid((6, 6, 1), lay)

    far, _ = difference(network(4), network(12))
    assert far <= 1e-5
    assert kind_of_move(network(4), network(12)) == "widen"
    assert kind_of_move(network(4), network(10)) is None


def test_a_softmax_head_and_a_layer_of_ones_own() -> None:
    import keras

    def network(width: int) -> Network:
        def lay(net, x):
            with net.scope("own"):
                x = net.layer(x, lambda: keras.layers.Dense(5, activation="relu"))
            with net.scope("one"):
                x = net.activation(net.batch_norm(net.conv(x, width)), "relu")
            return classifier(4).lay(net, x)

        return laid((6, 6, 1), lay)

    assert difference(network(4), network(9))[0] <= 1e-5
