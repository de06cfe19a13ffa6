"""A small search that kills itself by SIGKILL, or stops itself by SIGSTOP, at a named point.

    python searching.py DIRECTORY [POINT[:N]]     # an ASHA search in this process; dies the N-th time it gets to POINT
    python searching.py --serve                   # loads Keras once and forks a process for each search, see killing.py

The search in DIRECTORY/search goes on where an earlier process left it. DIRECTORY/trained.txt gets a line for each
epoch trained to its end, DIRECTORY/results.json what the search found.
"""

from __future__ import annotations

import builtins
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).parents[2]))

import keras
import keras_tuner
from sklearn.datasets import load_digits

import kt_ext
import kt_ext.core.durable
import kt_ext.core.journal
import kt_ext.oracles.project
import kt_ext.training.checkpoints
import kt_ext.tuners.segment
import kt_ext.tuners.trials
from kt_ext.oracles import SchedulerOracle
from kt_ext.oracles.hyperparameters import INITIAL_EPOCH, TRIAL_ID, own_values
from kt_ext.tuners.base import SegmentTuner
from kt_ext.tuners.segment import Segment

STEPS_PER_EPOCH = 4
Method = Callable[..., Any]


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Dropout and shuffling make the result depend on every random number drawn since the first epoch."""
    model = keras.Sequential(
        [
            keras.layers.Input((64,)),
            keras.layers.Dropout(hp.Float("dropout", 0.05, 0.5)),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.AdamW(hp.Float("learning_rate", 1e-4, 1e-1, sampling="log"))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Counting:
    """Writes down each epoch that was trained to its end, before anything else is done about it."""

    def on_epoch_end(self, trial: Any, model: keras.Model, epoch: int, logs: Any = None) -> None:
        with open(Path(self.directory) / "trained.txt", "a") as file:  # type: ignore[attr-defined]
            file.write(f"{int(trial.trial_id)} {epoch + 1}\n")
            file.flush()
            os.fsync(file.fileno())


class CountingASHATuner(Counting, kt_ext.ASHATuner):
    pass


class CountingPBTTuner(Counting, kt_ext.PBTTuner):
    pass


def tuner_of(kind: str, **where: Any) -> Any:
    """Three epochs from one comparison to the next, so that a donor goes on further than its last two checkpoints."""
    if kind == "asha":
        return CountingASHATuner(build, "val_loss", max_epochs=9, factor=3, max_trials=14, seed=0, **where)
    return CountingPBTTuner(
        build, "val_loss", population_size=4, max_epochs=9, perturbation_interval=3, quantile_fraction=0.5, seed=0,
        **where,
    )  # fmt: skip


class BatchPoint(keras.callbacks.Callback):
    """Calls ``arrive`` in the third batch of the second epoch of a segment."""

    def __init__(self, arrive: Callable[[], None]) -> None:
        super().__init__()
        self._arrive = arrive
        self._begun: list[int] = []  # not a number, which the tuner would restore when the trial goes on

    def __deepcopy__(self, memo: Any) -> BatchPoint:
        return BatchPoint(self._arrive)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._begun.append(epoch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if len(self._begun) == 2 and batch == 2:
            self._arrive()


def search(directory: str, point: str | None, kind: str = "asha") -> None:
    """Search, or go on searching, in ``directory``, and die at ``point``."""
    (x, y) = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32")
    callbacks = [] if point is None else lay_mine(point)
    tuner = tuner_of(kind, directory=directory, project_name="search")
    tuner.search(
        x[:200], y[:200], validation_data=(x[200:300], y[200:300]), batch_size=50, verbose=0, callbacks=callbacks
    )
    found = {
        "trials": {
            trial_id: [trial.status, trial.score, trial.best_step, own_values(trial.hyperparameters.values)]
            for trial_id, trial in sorted(tuner.oracle.trials.items())
        },
        "end_order": tuner.oracle.end_order,
        "best model": tuner.get_best_models()[0].evaluate(x[200:300], y[200:300], verbose=0),
    }
    if kind == "pbt":
        found["lineage"] = [list(vars(row).values()) for row in tuner.lineage()]
        found["schedules"] = [
            [vars(stretch) for stretch in tuner.oracle.schedule(trial_id).stretches] for trial_id in found["trials"]
        ]
        found["weights"] = [
            [weights.ravel().tolist() for weights in model.get_weights()] for model in tuner.get_best_models(4)
        ]
    (Path(directory) / "results.json").write_text(json.dumps(found))


def lay_mine(point: str) -> list[keras.callbacks.Callback]:
    """Make this process die at ``NAME``, ``NAME:N`` (the N-th time it gets there); ``NAME:N:STOP`` only stops it."""
    name, _, rest = point.partition(":")
    count, _, how = rest.partition(":")
    left = int(count or 1)

    def arrive(do_first: Callable[[], Any] = lambda: None) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            do_first()
            os.kill(os.getpid(), signal.SIGSTOP if how == "STOP" else signal.SIGKILL)

    if name == "mid-epoch":
        return [BatchPoint(arrive)]
    POINTS[name](arrive)
    return []


def before(owner: Any, name: str, arrive: Method) -> None:
    """``arrive`` at each call of a function, before it has done anything."""
    method = getattr(owner, name)

    def mined(*args: Any, **kwargs: Any) -> Any:
        arrive()
        return method(*args, **kwargs)

    setattr(owner, name, mined)


def after_ask(arrive: Method) -> None:
    """The trial is handed out and nothing of it is trained."""
    create_trial = SchedulerOracle.create_trial

    def mined(self: SchedulerOracle, tuner_id: str) -> Any:
        trial = create_trial(self, tuner_id)
        arrive()
        return trial

    SchedulerOracle.create_trial = mined  # type: ignore[method-assign]


def in_checkpoint(arrive: Method) -> None:
    """A part of the checkpoint's temporary file is on the disk."""
    module = kt_ext.training.checkpoints
    write = module._write

    def mined(file: Any, header: Any, arrays: Any) -> None:
        arrive(lambda: (file.write(b"kt_ext\r\n" + bytes(300)), file.flush()))
        write(file, header, arrays)

    module._write = mined


def in_line(arrive: Method) -> None:
    """A part of a journal's line is on the disk."""
    write = os.write

    def mined(fd: int, data: bytes) -> int:
        if data.startswith(b'{"n":'):
            arrive(lambda: write(fd, data[: len(data) // 2]))
        return write(fd, data)

    os.write = mined


def in_snapshot(arrive: Method) -> None:
    """A part of the snapshot's temporary file is on the disk."""

    def mined(path: Any, *args: Any, **kwargs: Any) -> Any:
        file = open_file(path, *args, **kwargs)
        if str(path).endswith("snapshot.json.tmp"):
            arrive(lambda: (file.write(b'{"offset":1'), file.flush()))
        return file

    open_file = builtins.open
    kt_ext.core.durable.open = mined  # type: ignore[attr-defined]


def exploits(trial: Any) -> bool:
    """Whether the trial was told to take over another's state."""
    return trial.hyperparameters.values.get(TRIAL_ID, trial.trial_id) != trial.trial_id


def after_exploit(arrive: Method) -> None:
    """An exploit is on record, and nobody has been told of it."""
    steer = SchedulerOracle._steer

    def mined(self: SchedulerOracle, trial: Any, values: Any = None) -> None:
        restore = self.search.restore(int(trial.trial_id))
        if values is not None and restore is not None and restore.trial_id != int(trial.trial_id):
            arrive()
        steer(self, trial, values)

    SchedulerOracle._steer = mined  # type: ignore[method-assign]


def in_losers_first_epoch(arrive: Method) -> None:
    """The loser has another's state, and has trained three batches on it."""
    begun: list[int] = []

    def on_epoch_begin(self: Any, trial: Any, model: Any, epoch: int, logs: Any = None) -> None:
        begun[:] = [epoch]

    def on_batch_end(self: Any, trial: Any, model: Any, batch: int, logs: Any = None) -> None:
        if exploits(trial) and begun == [trial.hyperparameters.values[INITIAL_EPOCH]] and batch == 2:
            arrive()

    CountingPBTTuner.on_epoch_begin = on_epoch_begin  # type: ignore[method-assign]
    CountingPBTTuner.on_batch_end = on_batch_end  # type: ignore[method-assign]


POINTS: dict[str, Method] = {
    "after-exploit": after_exploit,
    "before-restore": lambda arrive: before(Segment, "_taken_over", arrive),
    "after-restore": lambda arrive: before(kt_ext.tuners.segment, "reseeded", arrive),
    "loser-first-epoch": in_losers_first_epoch,
    "after-ask": after_ask,
    "checkpoint-write": in_checkpoint,
    "between-checkpoint-and-report": lambda arrive: before(SegmentTuner, "report", arrive),
    "journal-line": in_line,
    "between-report-and-end": lambda arrive: before(SegmentTuner, "on_trial_end", arrive),
    "between-end-and-prune": lambda arrive: before(kt_ext.tuners.trials, "prune", arrive),
    "before-snapshot": lambda arrive: before(kt_ext.oracles.project, "write_snapshot", arrive),
    "snapshot-write": in_snapshot,
    "between-snapshot-and-oracle-json": lambda arrive: before(
        kt_ext.oracles.project.ProjectFiles, "write_oracle", arrive
    ),
}


def serve() -> None:
    """Fork a process for each ``start`` on standard input, so that Keras is loaded once for all of them."""
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                _exit_after(request)
            answer = {"pid": pid}
        else:
            _, status = os.waitpid(request["wait"], os.WUNTRACED)
            answer = {"stopped": True} if os.WIFSTOPPED(status) else {"code": os.waitstatus_to_exitcode(status)}
        print(json.dumps(answer), flush=True)


def _exit_after(request: dict[str, Any]) -> None:
    """The forked process: search, with its output in a file, and end without the parent's clean-up."""
    code = 1
    try:
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(output, 1)
        os.dup2(output, 2)
        search(request["start"], request["point"], request["kind"])
        code = 0
    except BaseException:  # whatever it was, this copy of the server must not go on serving
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve()
    else:
        search(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
