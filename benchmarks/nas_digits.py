"""Architecture search from end to end on scikit-learn's digits: is a strategy better than random search?

    python benchmarks/nas_digits.py --spaces chain skip cell --seeds 0 1 2 3 4 --trials 16

Three small spaces, each searched by every strategy with the same number of trained epochs: ``--trials`` architectures,
``--epochs`` epochs each. 500 images to train on; the others are halved into a validation part, by which the searches
choose, and a test part, which is seen once, by the chosen model. Each seed also draws the split, so strategies are
compared in pairs. Morphism's children begin with their parents' weights, the others are trained from scratch: its last
trials have the training of their ancestors in them. Every run is a process of its own.

Printed for each run: the best validation accuracy, the test accuracy of that model, its parameters, CPU seconds of the
process; for each strategy the mean and its standard error, and the paired differences to random search.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).parents[1]
SPACES = ("chain", "skip", "cell")
STRATEGIES = ("random", "evolution", "controller", "morphism")
SHAPE, BATCH_SIZE = (8, 8, 1), 16


def space_of(name: str) -> Any:
    """Small networks: a few seconds each on one core."""
    from kt_ext import nas

    ops = ["conv1x1", "conv3x3", "sep3x3"]
    if name == "chain":
        return nas.ChainSpace(ops, max_depth=4, widths=[4, 8, 16], activations=["relu", "swish"], reduce_every=2)
    if name == "skip":
        return nas.SkipSpace(ops, max_depth=4, widths=[4, 8, 16], reduce_every=2)
    cell_ops = ["none", "skip", "conv1x1", "conv3x3", "avgpool3x3"]
    return nas.CellSpace(cell_ops, nodes=4, inputs="edges", cells=("normal",), stacks=2, cells_per_stack=1, filters=8)


def data(seed: int) -> list[tuple[Any, Any]]:
    """Training, validation and test part: 500, 648 and 649 images."""
    import numpy as np
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32").reshape(-1, *SHAPE)
    return [(x[part], y[part]) for part in np.split(np.random.default_rng(seed).permutation(len(x)), [500, 1148])]


def search(space: str, strategy: str, seed: int, trials: int, epochs: int, directory: str) -> dict[str, Any]:
    """One search in this process."""
    import keras

    import kt_ext
    from kt_ext import nas

    (x, y), validation, test = data(seed)
    hypermodel = space_of(space).hypermodel(SHAPE, nas.classifier(10), optimizer=keras.optimizers.Adam(1e-2))
    tuner = kt_ext.NASTuner(hypermodel, strategy, "val_accuracy", trials, epochs, seed=seed, directory=directory)
    tuner.search(x, y, validation_data=validation, batch_size=BATCH_SIZE, verbose=0)
    model = tuner.get_best_models()[0]
    found = {
        part: model.evaluate(*pair, verbose=0, return_dict=True)["accuracy"]
        for part, pair in (("validation", validation), ("test", test))
    }
    return {**found, "params": model.count_params(), "epochs": tuner.oracle.search.history.total_epochs}


def in_process(*call: Any) -> dict[str, Any]:
    """A search in a process of its own; its result with the CPU seconds of that process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, __file__, "--call", json.dumps(call)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout.splitlines()[-1]), "cpu": cpu}


def summary(space: str, runs: dict[str, list[dict[str, Any]]]) -> None:
    """Means, standard errors and paired differences to the first strategy."""
    import numpy as np

    first = next(iter(runs))
    for part in ("validation", "test"):
        base = np.array([run[part] for run in runs[first]])
        for strategy, done in runs.items():
            values = np.array([run[part] for run in done])
            difference = values - base
            error = [each.std(ddof=1) / len(each) ** 0.5 if len(each) > 1 else np.nan for each in (values, difference)]
            print(
                f"{space:6} {part:10} {strategy:11} {values.mean():.4f} +- {error[0]:.4f}   minus {first}: "
                f"{difference.mean():+.4f} +- {error[1]:.4f}, better in {(difference > 0).sum()} of {len(values)}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=SPACES)
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--call", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.call:
        with tempfile.TemporaryDirectory() as directory:
            print(json.dumps(search(*json.loads(args.call), directory)))
        return
    print(f"{'space':6} {'strategy':11} {'seed':>4} {'validation':>10} {'test':>7} {'params':>8} {'CPU s':>6}")
    for space in args.spaces:
        runs: dict[str, list[dict[str, Any]]] = {strategy: [] for strategy in args.strategies}
        for seed in args.seeds:
            for strategy in args.strategies:
                run = in_process(space, strategy, seed, args.trials, args.epochs)
                runs[strategy].append(run)
                print(
                    f"{space:6} {strategy:11} {seed:4} {run['validation']:10.4f} {run['test']:7.4f} "
                    f"{run['params']:8,} {run['cpu']:6.0f}",
                    flush=True,
                )
        summary(space, runs)


if __name__ == "__main__":
    main()
