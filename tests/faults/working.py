"""A search by worker processes, or by a chief and workers, of which some die or stop at named points.

    python working.py DIRECTORY '{"kind": "asha", "workers": 2, "points": ["mid-epoch:1"]}'

With Keras Tuner's variables in the environment it is a chief or a worker, else it starts its workers itself. The search
in DIRECTORY/search goes on where an earlier process left it. DIRECTORY/notes.jsonl gets a line for each thing that a
worker does, DIRECTORY/trained.txt one for each epoch trained to its end, DIRECTORY/results.json what was found.

The points are reached one after the other, each by one process, which leaves its process id in DIRECTORY/reached-N and
dies (or stops) there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

import keras
import keras_tuner
from sklearn.datasets import load_digits

import kt_ext
from faults import searching
from kt_ext.tuners.base import SegmentTuner

BAD_UNITS = 6
POINTS: dict[str, str] = {
    "handed-out": "run_trial",  # nothing of the trial's segment is trained
    "between-report-and-end": "on_trial_end",
}


class Watched:
    """Writes down what the workers do, and where they die. A tuner of the user's with a constructor of its own."""

    def __init__(self, *args: Any, options: dict[str, Any], **kwargs: Any) -> None:
        self.options = options
        self.mid_epoch: Callable[[], None] | None = None
        self.mined: Path | None = None  # what will be there when somebody has reached the point that is mined here
        self.epochs_here = 0  # trained in this segment
        super().__init__(*args, **kwargs)

    def on_search_begin(self) -> None:
        self.note(did="begin")

    def on_trial_begin(self, trial: Any) -> None:
        super().on_trial_begin(trial)  # type: ignore[misc]
        self.epochs_here = 0
        self.note(did="trial", trial=int(trial.trial_id))
        if self.options.get("on", "worker") == "worker" and (self.mined is None or self.mined.exists()):
            self.mined = lay_mine(self.options.get("points", []), Path(self.directory), self)  # type: ignore[attr-defined]

    def on_batch_end(self, trial: Any, model: keras.Model, batch: int, logs: Any = None) -> None:
        super().on_batch_end(trial, model, batch, logs)  # type: ignore[misc]
        if self.mid_epoch is not None and self.epochs_here >= 1 and batch == 2:
            self.mid_epoch()
        if model.name == f"units{BAD_UNITS}" and batch == 2:
            misbehave(self.options["bad"])

    def on_epoch_end(self, trial: Any, model: keras.Model, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(trial, model, epoch, logs)  # type: ignore[misc]
        self.epochs_here += 1
        steps = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
        self.note(did="epoch", trial=int(trial.trial_id), epoch=epoch + 1, steps=steps)
        time.sleep(self.options.get("epoch_seconds", 0.0))
        go = Path(self.directory) / "go"  # type: ignore[attr-defined]
        while self.options.get("hold") == epoch + 1 and not go.exists():
            time.sleep(0.05)

    def note(self, **what: Any) -> None:
        what |= {"pid": os.getpid(), "worker": os.environ.get("KERASTUNER_TUNER_ID", "alone")}
        with open(Path(self.directory) / "notes.jsonl", "ab", buffering=0) as file:  # type: ignore[attr-defined]
            file.write(json.dumps(what).encode() + b"\n")  # one write: lines of two processes do not mix


class ASHATuner(Watched, searching.CountingASHATuner):
    pass


class PBTTuner(Watched, searching.CountingPBTTuner):
    pass


class SchedulerTuner(Watched, searching.Counting, kt_ext.SchedulerTuner):
    pass


def misbehave(how: str) -> None:
    """What one trial of the kind ``"one-bad"`` does, and no other."""
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "hang":
        time.sleep(1e6)


def one_bad(options: dict[str, Any]) -> Callable[[keras_tuner.HyperParameters], keras.Model]:
    """Trial 2 has ``BAD_UNITS`` units."""

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        units = hp.Choice("units", [4, 5, BAD_UNITS, 7, 8])
        if units == BAD_UNITS and options["bad"] == "hang-in-build":
            time.sleep(1e6)
        layers = [keras.layers.Dense(units), keras.layers.Dense(10, activation="softmax")]
        model = keras.Sequential([keras.layers.Input((64,)), *layers], name=f"units{units}")
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    return build


def tuner_of(options: dict[str, Any], directory: Path) -> Any:
    """The same tuner in every process."""
    common: dict[str, Any] = {"options": options, "directory": str(directory), "project_name": "search", "seed": 0}
    common |= options.get("tuner", {})
    if options["kind"] == "asha":
        return ASHATuner(searching.build, "val_loss", max_epochs=9, **{"max_trials": 14, **common})
    if options["kind"] == "pbt":
        return PBTTuner(
            searching.build, "val_loss", population_size=4, max_epochs=9, perturbation_interval=3,
            quantile_fraction=0.5, **common,
        )  # fmt: skip
    scheduler = kt_ext.schedulers.FIFO(max_trials=5, max_epochs=2)
    return SchedulerTuner(one_bad(options), scheduler, "grid", "val_loss", **common)


def lay_mine(points: list[str], directory: Path, tuner: Watched | None) -> Path | None:
    """Make this process die the N-th time that it gets to the first point that none has reached: ``NAME[:N[:STOP]]``.

    Returns the file that says that it was reached; None when all were.
    """
    place = next((i for i in range(len(points)) if not (directory / f"reached-{i}").exists()), None)
    if place is None:
        return None
    mark = directory / f"reached-{place}"
    name, _, rest = points[place].partition(":")
    count, _, how = rest.partition(":")
    left = int(count or 1)

    def arrive(do_first: Callable[[], Any] = lambda: None) -> None:
        nonlocal left
        left -= 1
        if left != 0:
            return
        try:
            with open(mark, "x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:  # another was there first, and only one is to die
            return
        do_first()
        os.kill(os.getpid(), signal.SIGSTOP if how == "STOP" else signal.SIGKILL)

    if name == "mid-epoch":
        assert tuner is not None
        tuner.mid_epoch = arrive
    elif name in POINTS:
        searching.before(SegmentTuner, POINTS[name], arrive)
    else:
        searching.POINTS[name](arrive)
    return mark


def let_the_clock_jump() -> None:
    """Five seconds from now the time of day is set to an hour later."""
    real, jumps = time.time, time.monotonic() + 5.0
    time.time = lambda: real() + (3600.0 if time.monotonic() > jumps else 0.0)


def main() -> None:
    directory, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    if "chief" in os.environ.get("KERASTUNER_TUNER_ID", ""):
        if options.get("clock") == "jumps":
            let_the_clock_jump()
        if options.get("on") == "chief":
            lay_mine(options["points"], directory, None)
    elif "workers" in options:
        options["tuner"] = {"executor": "process", "workers": options["workers"], **options.get("tuner", {})}
    tuner = tuner_of(options, directory)
    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32")
    validation_data = (x[200:300], y[200:300])
    tuner.search(x[:200], y[:200], validation_data=validation_data, batch_size=50, verbose=options.get("verbose", 1))
    if os.environ.get("KERASTUNER_TUNER_ID", "chief") != "chief":
        return
    found = {
        "trials": {
            trial_id: [trial.status, trial.score, trial.best_step, trial.message]
            for trial_id, trial in sorted(tuner.oracle.trials.items())
        },
        "best": tuner.get_best_models()[0].evaluate(*validation_data, verbose=0, return_dict=True),
        "lineage": [list(vars(row).values()) for row in tuner.lineage()] if options["kind"] == "pbt" else [],
    }
    (directory / "results.json").write_text(json.dumps(found))


main()  # without a guard, as in most scripts: workers must not run it
