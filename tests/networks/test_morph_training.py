"""While training, too, a child computes what its parent computes; and what was copied is driven apart."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kt_ext.networks.morph import inherit
from networks.morph_networks import arbitrary, difference, examples, laid, outputs, weights
from networks.test_morph_inference import branch_net, cell_net, conv_net, dense_net, plain_net

# That the inference tests hold on JAX says enough of it: each network here takes it seconds to compile.
pytestmark = pytest.mark.tensorflow


def block_net(blocks: int):
    def lay(net, x):
        for block in range(blocks):
            with net.scope(f"block{block}"):
                x = net.add([x, net.batch_norm(net.conv(net.activation(x, "relu"), 6))])
        return x

    return laid((6, 6, 1), lay)


CASES = {
    "conv": (conv_net(), conv_net(13)),
    "conv, flattened": (conv_net(pool="flatten"), conv_net(12, pool="flatten")),
    "dense": (dense_net(), dense_net(21)),
    "zero-gamma block": (block_net(1), block_net(2)),
    "added skip": (branch_net("add"), branch_net("add", True)),
    "concatenated skip": (branch_net("concat"), branch_net("concat", True, 9)),
    "none to conv": (cell_net(), cell_net("conv")),
    "kernel": (conv_net(kernel=1, stride=2), conv_net(kernel=3, stride=2)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_child_computes_the_same_while_training(case: str) -> None:
    parent, child = CASES[case]
    assert difference(parent, child, training=True)[0] <= 1e-5


def test_an_identity_with_batch_normalization_holds_at_inference_alone() -> None:
    parent, child = plain_net(1), plain_net(2)
    assert difference(parent, child)[0] <= 1e-5
    assert difference(parent, child, training=True)[0] > 1e-2


@pytest.mark.slow
def test_training_drives_replicas_apart() -> None:
    parent, child = conv_net(8), conv_net(16)
    giver, taker = arbitrary(parent), arbitrary(child, optimizer=keras.optimizers.Adam(0.01))
    inherit(giver, parent, taker, child, np.random.default_rng(0))
    before = weights(taker, "one.conv", "kernel")
    copies = [
        next(other for other in range(8) if np.array_equal(before[..., other], before[..., channel]))
        for channel in range(8, 16)
    ]
    assert sorted(copies) == list(range(8))  # each channel has as many replicas as another
    x, y = examples(parent, 64), np.random.default_rng(0).normal(size=(64, 3))
    taker.fit(x, y, batch_size=64, epochs=10, verbose=0)
    after = weights(taker, "one.conv", "kernel")
    scale = np.abs(after).max()
    for channel, copied in enumerate(copies, 8):
        assert np.abs(after[..., channel] - after[..., copied]).max() > 1e-2 * scale


def test_a_block_that_begins_at_zero_learns() -> None:
    parent, child = block_net(1), block_net(2)
    giver, taker = arbitrary(parent), arbitrary(child)
    inherit(giver, parent, taker, child, np.random.default_rng(0))
    assert not weights(taker, "block1.batch_norm", "gamma").any()
    before = weights(taker, "block1.conv", "kernel")
    taker.fit(examples(parent, 64), np.random.default_rng(0).normal(size=(64, 3)), epochs=3, verbose=0)
    assert weights(taker, "block1.batch_norm", "gamma").all()
    assert np.abs(weights(taker, "block1.conv", "kernel") - before).max() > 1e-4


def test_the_child_of_a_mixed_precision_parent() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        parent, child = conv_net(), conv_net(13, 5)
        giver, taker = arbitrary(parent), arbitrary(child, seed=5)
        giver.fit(examples(parent, 16), np.zeros((16, 3)), verbose=0)
        assert inherit(giver, parent, taker, child, np.random.default_rng(3)).optimizer == "carried"
        x = examples(parent)
        before, after = outputs(giver, x), outputs(taker, x)
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.abs(after - before).max() <= 2e-2 * np.abs(before).max()
