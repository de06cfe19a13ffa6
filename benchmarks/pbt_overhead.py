"""What population based training costs beside the training it does, with Ray Tune's in the same run.

    python benchmarks/pbt_overhead.py --seeds 0 1            # Ray is left out where it is not installed

8 members, 20 epochs, interval 2, on scikit-learn's digits with the 17k-parameter CNN of ``examples/digits_asha.py``.
C = CPU seconds of the whole process tree over the CPU seconds of as many epochs of the same model and data in one
plain ``fit``. Two denominators are printed: the CPU seconds of that ``fit`` call alone, and of its whole process. Each
runs as a process of its own, in turn; what a process leaves behind (Ray's daemons) is waited for and counted.

Then two tables of our own: where a search's time goes, and what one exploit costs on a model of a million parameters.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).parents[1]
MEMBERS, MAX_EPOCHS, INTERVAL, BATCH_SIZE = 8, 20, 2, 64
PR_SET_CHILD_SUBREAPER = 36


def kt_ext_pbt(seed: int, directory: str) -> dict[str, Any]:
    """One search of ours in this process."""
    import kt_ext
    from examples.digits_asha import build, digits

    (x, y), validation, _ = digits()
    tuner = kt_ext.PBTTuner(
        build, "val_accuracy", MEMBERS, MAX_EPOCHS, perturbation_interval=INTERVAL, seed=seed, directory=directory
    )
    tuner.search(x, y, validation_data=validation, batch_size=BATCH_SIZE, verbose=0)
    best = tuner.oracle.get_best_trials(1)[0].score
    return {"epochs": tuner.oracle.search.history.total_epochs, "exploits": len(tuner.lineage()), "best": best}


def ray_pbt(seed: int, directory: str) -> dict[str, Any]:
    """The same as a user of Ray Tune writes it: a class trainable that its actors are reused for, two workers."""
    import ray
    from ray import tune
    from ray.tune.schedulers import PopulationBasedTraining

    class Digits(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            import keras
            import keras_tuner

            from examples.digits_asha import build, digits

            self.data = digits()
            hp = keras_tuner.HyperParameters()
            hp.values = dict(config)
            self.build, self.keras, self.epochs = build, keras, 0
            self.model = build(hp)

        def step(self) -> dict[str, Any]:
            (x, y), validation, _ = self.data
            log = self.model.fit(
                x, y, validation_data=validation, batch_size=BATCH_SIZE, epochs=INTERVAL, verbose=0
            ).history
            self.epochs += INTERVAL
            return {"val_accuracy": max(log["val_accuracy"]), "epochs_run": INTERVAL}

        def save_checkpoint(self, folder: str) -> None:
            self.model.save(os.path.join(folder, "model.keras"))

        def load_checkpoint(self, folder: str) -> None:
            self.model = self.keras.models.load_model(os.path.join(folder, "model.keras"))
            self.model.optimizer.learning_rate.assign(self.config["learning_rate"])
            self.model.optimizer.weight_decay = self.config["weight_decay"]
            self.model.layers[4].rate = self.config["dropout"]

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.config = new_config
            return True

    space = {
        "dropout": tune.uniform(0.05, 0.5),
        "learning_rate": tune.loguniform(1e-4, 1e-1),
        "weight_decay": tune.loguniform(1e-5, 1e-1),
    }
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        results = tune.Tuner(
            Digits,
            param_space=space,
            tune_config=tune.TuneConfig(
                metric="val_accuracy",
                mode="max",
                num_samples=MEMBERS,
                reuse_actors=True,
                scheduler=PopulationBasedTraining(
                    time_attr="training_iteration",
                    perturbation_interval=1,
                    hyperparam_mutations=space,
                    require_attrs=False,
                ),
            ),
            run_config=tune.RunConfig(
                storage_path=directory, stop={"training_iteration": MAX_EPOCHS // INTERVAL}, verbose=0
            ),
        ).fit()
        epochs = sum(len(result.metrics_dataframe) * INTERVAL for result in results)
        return {"epochs": epochs, "exploits": -1, "best": results.get_best_result().metrics["val_accuracy"]}
    finally:
        ray.shutdown()


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


def split(seed: int, directory: str) -> dict[str, Any]:
    """Seconds by the clock that a search of ours spends in each of its parts; needs a quiet machine."""
    import keras

    from kt_ext.oracles import SchedulerOracle
    from kt_ext.training.checkpoints import CheckpointStore
    from kt_ext.tuners import base, models

    seconds: Counter[str] = Counter()
    inside: list[str] = []

    def timed(owner: Any, name: str, part: str) -> None:
        original = getattr(owner, name)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with part_of(part):
                return original(*args, **kwargs)

        setattr(owner, name, wrapper)

    @contextlib.contextmanager
    def part_of(part: str) -> Iterator[None]:
        """Counts for the innermost part alone."""
        begin = time.perf_counter()
        inside.append(part)
        try:
            yield
        finally:
            took = time.perf_counter() - begin
            inside.pop()
            seconds[part] += took
            if inside:
                seconds[inside[-1]] -= took

    timed(keras.Model, "fit", "train")
    timed(keras.Model, "evaluate", "evaluate")
    timed(keras.Model, "train_step", "trace")  # runs in Python only while it is traced
    timed(keras.Model, "test_step", "trace")
    timed(CheckpointStore, "save", "save")
    timed(CheckpointStore, "keep", "save")
    timed(models, "restore_model", "restore")
    timed(CheckpointStore, "latest", "restore")
    timed(base.SegmentTuner, "build_checked", "build")
    for name in ("create_trial", "update_trial", "end_trial"):
        timed(SchedulerOracle, name, "decide")
    timed(base.SegmentTuner, "search", "everything else")
    result = kt_ext_pbt(seed, directory)
    return {**result, "seconds": dict(seconds)}


def exploit(directory: str) -> dict[str, Any]:
    """Milliseconds from the decision to a model ready to train, for a million parameters with AdamW's slots."""
    import keras
    import numpy as np

    import kt_ext
    from examples.digits_asha import digits
    from kt_ext.tuners import models

    def build(hp: Any) -> keras.Model:
        hidden = [keras.layers.Dense(700, activation="relu") for _ in range(2)]
        drop = keras.layers.Dropout(hp.Float("dropout", 0.05, 0.5))
        model = keras.Sequential(
            [keras.layers.Input((64,)), keras.layers.Dense(700), *hidden, drop, keras.layers.Dense(10)]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        rate = hp.Float("learning_rate", 1e-5, 1e-2, sampling="log")
        model.compile(keras.optimizers.AdamW(rate), loss, metrics=["accuracy"])
        return model

    took: list[float] = []
    original = models.TrialModels.of

    @contextlib.contextmanager
    def timed(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        begin = time.perf_counter()
        with original(self, *args, **kwargs) as model:
            if args[-1]:  # changed
                took.append((time.perf_counter() - begin) * 1e3)
            yield model

    models.TrialModels.of = timed  # type: ignore[method-assign]
    (x, y), validation, _ = digits()
    x, validation = x.reshape(-1, 64), (validation[0].reshape(-1, 64), validation[1])
    tuner = kt_ext.PBTTuner(build, "val_accuracy", MEMBERS, 12, seed=0, directory=directory)
    tuner.search(x, y, validation_data=validation, batch_size=256, verbose=0)
    parameters = tuner.get_best_models()[0].count_params()
    quantiles = np.percentile(took, [50, 90]).tolist()
    return {"parameters": parameters, "exploits": len(took), "median_ms": quantiles[0], "p90_ms": quantiles[1]}


def in_process(*call: Any) -> dict[str, Any]:
    """Run one of the above in a process of its own; its result with CPU and wall seconds, its orphans' included."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory, CpuSeconds() as cpu:
        done = subprocess.run(
            [sys.executable, __file__, "--call", json.dumps([*call, directory])],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0"},
        )
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()
    if done.returncode:
        raise RuntimeError(f"{call} ended with {done.returncode}:\n{done.stdout}")
    return {**json.loads(done.stdout.splitlines()[-1]), "cpu": cpu.total, "wall": time.perf_counter() - begin}


class CpuSeconds:
    """CPU seconds of all descendants of this process, looked at every tenth of a second.

    What the system adds up for a parent leaves out the workers that Ray's daemon does not wait for.
    """

    def __enter__(self) -> CpuSeconds:
        self._last: dict[tuple[int, int], float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self.total = sum(self._last.values())

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self._look()

    def _look(self) -> None:
        parents: dict[int, int] = {}
        seconds: dict[int, tuple[tuple[int, int], float]] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):  # it has just ended
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                pid = int(entry.name)
                parents[pid] = int(fields[1])
                ticks = int(fields[11]) + int(fields[12])
                seconds[pid] = ((pid, int(fields[19])), ticks / os.sysconf("SC_CLK_TCK"))
        for pid in parents:
            ancestor = pid
            while ancestor in parents and ancestor != os.getpid():
                ancestor = parents[ancestor]
            if ancestor == os.getpid() and pid != ancestor:
                key, used = seconds[pid]
                self._last[key] = used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--call", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.call:
        name, *rest = json.loads(args.call)
        function: Callable[..., dict[str, Any]] = globals()[name]
        print(json.dumps(function(*(rest[:-1] if name == "plain_fit" else rest))))
        return
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # Ray's daemons become our children, to be waited for
    kinds = ["kt_ext_pbt"] + ([] if args.no_peer or importlib.util.find_spec("ray") is None else ["ray_pbt"])
    print(f"{'':12}{'seed':>4} {'epochs':>6} {'CPU s':>7} {'wall s':>7} {'fit CPU s':>9} "
          f"{'C (fit)':>8} {'C (process)':>11} {'best':>7}")  # fmt: skip
    for seed in args.seeds:
        for kind in kinds:
            result = in_process(kind, seed)
            fit = in_process("plain_fit", result["epochs"])
            row = [f"{kind:12}{seed:4}", f"{result['epochs']:6}", f"{result['cpu']:7.1f}", f"{result['wall']:7.1f}"]
            row += [f"{fit['fit_cpu']:9.1f}", f"{result['cpu'] / fit['fit_cpu']:8.2f}"]
            row += [f"{result['cpu'] / fit['cpu']:11.2f}", f"{result['best']:7.4f}"]
            print(*row, flush=True)
    parts = in_process("split", args.seeds[0])["seconds"]
    total = sum(parts.values())
    print(f"\nseconds of a search of ours, {total:.1f} in all (seed {args.seeds[0]})")
    for part, took in sorted(parts.items(), key=lambda pair: -pair[1]):
        print(f"{part:>16} {took:7.2f} {took / total:6.1%}")
    one = in_process("exploit")
    print(
        f"\nan exploit, {one['parameters']:,} parameters with AdamW's slots, from the decision to a model ready to "
        f"train: median {one['median_ms']:.1f} ms, 90 % under {one['p90_ms']:.1f} ms ({one['exploits']} exploits)"
    )


if __name__ == "__main__":
    main()
