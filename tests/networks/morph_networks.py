"""Parents with arbitrary weights and statistics, and children that begin as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kt_ext.nas.draft import Draft
from kt_ext.nas.network import Network
from kt_ext.networks.build import build
from kt_ext.networks.morph import Inherited, inherit

UNITS = 3


def laid(shape: tuple[int, ...], lay: Callable[[Draft, str], str], pool: str = "average") -> Network:
    """A stem, ``lay`` on top of it, and a linear head."""
    net = Draft(shape)
    with net.scope("stem"):
        x = net.conv(net.input, 6) if len(shape) > 1 else net.dense(net.input, 6)
        x = net.activation(net.batch_norm(x), "relu")
    x = lay(net, x)
    with net.scope("head"):
        return net.finish(net.dense(net.global_pool(x) if pool == "average" else net.flatten(x), UNITS))


def arbitrary(network: Network, seed: int = 0, optimizer: Any = "adam") -> keras.Model:
    """A compiled model with random weights and statistics, as after training."""
    rng = np.random.default_rng(seed)
    model = build(network)
    for variable in model.weights:
        drawn = rng.normal(size=variable.shape) / max(1.0, np.prod(variable.shape[:-1])) ** 0.5
        if "variance" in variable.name:
            drawn = np.exp(rng.normal(size=variable.shape))
        elif "gamma" in variable.name or "mean" in variable.name:
            drawn = rng.normal(1, 0.3, variable.shape)
        variable.assign(drawn.astype("float32"))
    model.compile(optimizer, "mse", run_eagerly=True)  # a few steps: tracing them would take longer
    return model


def examples(network: Network, n: int = 8, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *network.input_shape)).astype("float32")


def outputs(model: keras.Model, x: np.ndarray, training: bool = False) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(x, training=training))


def difference(parent: Network, child: Network, training: bool = False) -> tuple[float, Inherited]:
    """The largest difference of a child's outputs from its parent's, relative to the largest of these."""
    giver, taker = arbitrary(parent), arbitrary(child, seed=5)
    done = inherit(giver, parent, taker, child, np.random.default_rng(3))
    x = examples(parent)
    before, after = outputs(giver, x, training), outputs(taker, x, training)
    return float(np.abs(after - before).max() / np.abs(before).max()), done


def weights(model: keras.Model, layer: str, variable: str) -> np.ndarray:
    found = next(each for each in model.get_layer(layer).weights if each.name == variable)
    return np.array(found.numpy())
