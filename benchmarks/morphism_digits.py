"""What inheritance gives a child on scikit-learn's digits, and what it does not.

    python -m benchmarks.morphism_digits --seeds 5

1,000 digits to train on, the other 797 to validate. A parent of two convolutions is trained for a few epochs; then,
with one optimizer setting for all: the child twice as wide with the parent's weights and Adam's moments, with the
weights and a fresh Adam, and from scratch; and a child one layer deeper, by an identity and by a residual block that
begins at zero, likewise. Epochs are the child's alone: the parent's come on top.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from kt_ext.nas.draft import Draft
from kt_ext.nas.head import classifier
from kt_ext.nas.network import Network
from kt_ext.networks.build import build
from kt_ext.networks.morph import inherit

EPOCHS = 10
TARGETS = (0.95, 0.97, 0.98)


def plain(width: int = 16, layers: int = 2) -> Network:
    """Convolutions one after the other, the first two halving the picture."""
    net = Draft((8, 8, 1))
    x = net.input
    for layer in range(layers):
        with net.scope(f"layer{layer}"):
            x = net.activation(net.batch_norm(net.conv(x, width)), "relu")
            x = net.max_pool(x) if layer < 2 else x
    return net.finish(classifier(10, pool="flatten").lay(net, x))


def residual(width: int = 16, blocks: int = 1) -> Network:
    """A convolution, and residual blocks of one."""
    net = Draft((8, 8, 1))
    with net.scope("stem"):
        x = net.max_pool(net.batch_norm(net.conv(net.input, width)))
    for block in range(blocks):
        with net.scope(f"block{block}"):
            x = net.add([x, net.batch_norm(net.conv(net.activation(x, "relu"), width))])
    with net.scope("last"):
        x = net.max_pool(net.activation(net.batch_norm(x), "relu"))
    return net.finish(classifier(10, pool="flatten").lay(net, x))


def digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Training and validation data."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    x, y = (data.images[order, :, :, None] / 16).astype("float32"), data.target[order]
    return (x[:1000], y[:1000]), (x[1000:], y[1000:])


def trained(model: keras.Model, epochs: int) -> list[float]:
    """The validation accuracy after each epoch."""
    (x, y), validation = digits()
    done = model.fit(x, y, batch_size=32, epochs=epochs, validation_data=validation, verbose=0)
    return done.history["val_accuracy"]


def compiled(network: Network, rate: float, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = build(network)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def runs(
    parent_network: Network, child_network: Network, rate: float, parent_epochs: int, seed: int
) -> dict[str, list[float]]:
    """Accuracies of three children, from before the first epoch on; that of the parent first."""
    parent = compiled(parent_network, rate, seed)
    before = trained(parent, parent_epochs)[-1]
    found = {}
    for name in ("carried", "fresh Adam", "scratch"):
        child = compiled(child_network, rate, seed + 1000)
        if name != "scratch":
            if name == "fresh Adam":
                giver = build(parent_network)  # not compiled: it has no optimizer to give
                giver.set_weights(parent.get_weights())
            else:
                giver = parent
            inherit(giver, parent_network, child, child_network, np.random.default_rng(seed))
        start = before if name != "scratch" else 0.1
        found[name] = [start, *trained(child, EPOCHS)]
        keras.utils.clear_session()
    return found


def epochs_to(accuracies: list[float], target: float) -> float:
    """The child's first epoch that reaches it, from 1 on; infinite if none does."""
    reached = (float(epoch) for epoch, accuracy in enumerate(accuracies) if epoch and accuracy >= target)
    return next(reached, float("inf"))


def table(title: str, make: Callable[[int], dict[str, list[float]]], seeds: int) -> None:
    """Print one row for each child: the mean (and median) change of accuracy in its first epoch, median epochs."""
    found = [make(seed) for seed in range(seeds)]
    reached = ", ".join(f"{each['carried'][0]:.3f}" for each in found)
    print(f"\n{title}, {seeds} seeds; parents reach {reached}")
    heads = [f"epochs to {target}" for target in TARGETS]
    print(f"{'':12} {'first epoch':>22} " + "".join(f"{head:>28}" for head in heads) + f"{'best':>8}")
    for name in found[0]:
        curves = [each[name] for each in found]
        first = [100 * (curve[1] - curve[0]) for curve in curves]
        change = "" if name == "scratch" else f"{np.mean(first):+.2f} ({np.median(first):+.2f}) points"
        row = f"{name:12} {change:>22} "
        for target in TARGETS:
            epochs = [epochs_to(curve, target) for curve in curves]
            cell = f"{np.median(epochs):g} ({', '.join(f'{each:g}' for each in epochs)})"
            row += f"{cell:>28}"
        print(row + f"{np.mean([max(curve) for curve in curves]):8.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--deepen-seeds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--parent-epochs", type=int, default=10)
    given = parser.parse_args()

    def against(parent: Network, child: Network) -> Callable[[int], dict[str, list[float]]]:
        return lambda seed: runs(parent, child, given.rate, given.parent_epochs, seed)

    print(f"Adam at {given.rate}, parents trained for {given.parent_epochs} epochs")
    table("widen 16 to 32", against(plain(16), plain(32)), given.seeds)
    table("deepen by an identity", against(plain(), plain(layers=3)), given.deepen_seeds)
    table("deepen by a zero-gamma block", against(residual(), residual(blocks=2)), given.deepen_seeds)


if __name__ == "__main__":
    main()
