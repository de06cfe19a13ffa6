"""What a search costs beside the training it does.

    python benchmarks/search_overhead.py --seeds 0 1 2

C = CPU seconds of the whole process tree of a search over the CPU seconds of as many epochs of the same model and data
in one plain ``fit``. Two denominators are printed: the CPU seconds of that ``fit`` call alone (start-up and tracing
included in the search, but only tracing in the fit), and of its whole process. The task is that of
``examples/digits_asha.py``: a 17k-parameter CNN on scikit-learn's digits; learning rate, weight decay and dropout are
searched. Each search and each plain fit is a process of its own, run in turn; keras-tuner's Hyperband is the peer.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).parents[1]
BATCH_SIZE, MAX_EPOCHS = 64, 9


def search(kind: str, seed: int, directory: str) -> dict[str, Any]:
    """One search in this process: epochs trained and the best validation accuracy."""
    from examples.digits_asha import build, digits

    (x, y), validation, _ = digits()
    epochs = 0
    if kind == "keras_tuner Hyperband":
        import keras
        import keras_tuner

        class Count(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                nonlocal epochs
                epochs += 1

            def __deepcopy__(self, memo: Any) -> Count:
                return self

        tuner = keras_tuner.Hyperband(
            build, "val_accuracy", max_epochs=MAX_EPOCHS, factor=3, seed=seed + 1, directory=directory
        )
        tuner.search(x, y, validation_data=validation, batch_size=BATCH_SIZE, verbose=0, callbacks=[Count()])
    else:
        import kt_ext

        tuner = kt_ext.ASHATuner(
            build,
            "val_accuracy",
            max_epochs=MAX_EPOCHS,
            seed=seed,
            directory=directory,
            variant=kind.split()[-1],
        )
        tuner.search(x, y, validation_data=validation, batch_size=BATCH_SIZE, verbose=0)
        epochs = tuner.oracle.search.history.total_epochs
    best = tuner.oracle.get_best_trials(1)[0].score
    return {"epochs": epochs, "trials": len(tuner.oracle.trials), "best": best}


def plain_fit(epochs: int) -> dict[str, Any]:
    """The same number of epochs in one ``fit``; its CPU seconds apart from the start-up of the process."""
    import keras
    import keras_tuner

    from examples.digits_asha import build, digits

    (x, y), validation, _ = digits()
    keras.utils.set_random_seed(0)
    model = build(keras_tuner.HyperParameters())
    begin = time.process_time()
    model.fit(x, y, validation_data=validation, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
    return {"fit_cpu": time.process_time() - begin}


def in_process(*call: Any) -> dict[str, Any]:
    """Run one of the above in a process of its own; its result with CPU and wall seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--call", json.dumps(call)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout.splitlines()[-1]), "cpu": cpu, "wall": time.perf_counter() - begin}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--call", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.call:
        name, *rest = json.loads(args.call)
        print(json.dumps(globals()[name](*rest)))
        return
    kinds = ["kt_ext ASHA promotion", "kt_ext ASHA stopping"] + ([] if args.no_peer else ["keras_tuner Hyperband"])
    print(f"{'':24}{'seed':>4} {'trials':>6} {'epochs':>6} {'CPU s':>7} {'wall s':>7} {'fit CPU s':>9} "
          f"{'C (fit)':>8} {'C (process)':>11} {'best':>7}")  # fmt: skip
    for seed in args.seeds:
        for kind in kinds:
            with tempfile.TemporaryDirectory() as directory:
                result = in_process("search", kind, seed, directory)
            fit = in_process("plain_fit", result["epochs"])
            row = [f"{kind:24}{seed:4}", f"{result['trials']:6}", f"{result['epochs']:6}", f"{result['cpu']:7.1f}"]
            row += [f"{result['wall']:7.1f}", f"{fit['fit_cpu']:9.1f}", f"{result['cpu'] / fit['fit_cpu']:8.2f}"]
            row += [f"{result['cpu'] / fit['cpu']:11.2f}", f"{result['best']:7.4f}"]
            print(*row, flush=True)


if __name__ == "__main__":
    main()
