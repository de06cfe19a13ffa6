"""Searches whose trials run in worker processes of this machine: real ones, as a script or a notebook starts them."""

from __future__ import annotations

import contextlib
import io
import json
import mmap
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

import kt_ext
from faults.watching import until, watching
from kt_ext.core.journal import Journal
from kt_ext.core.search import Search
from kt_ext.schedulers import ASHA
from kt_ext.searchers import make_searcher
from tuners.searches import (
    all_epochs,
    assert_same_epochs,
    build,
    data,
    run_python,
    small_model,
    values_of,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="worker processes need process groups")

SLOW = pytest.mark.slow
TILES = 32  # the pixels of a digit so often, which makes an array of more than 1 MiB
PATIENCE_SECONDS = 300.0


class Notes:
    """One file for all processes, a line for each note."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, **what: Any) -> None:
        what["worker"] = os.environ.get("KERASTUNER_TUNER_ID")
        with open(self.path, "ab", buffering=0) as file:
            file.write(json.dumps(what).encode() + b"\n")

    def all(self, did: str) -> list[dict[str, Any]]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [note for note in map(json.loads, lines) if note["did"] == did]


class Noting(keras.callbacks.Callback):
    """Given to ``search``."""

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self.notes = notes

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.notes.add(did="callback", epoch=epoch + 1)


class MyTuner(kt_ext.ASHATuner):
    """A user's, with a constructor of its own; both workers are there before the first trial."""

    def __init__(self, notes: Notes, workers: int, **settings: Any) -> None:
        self.notes = notes
        super().__init__(
            wide, "val_loss", max_epochs=9, max_trials=9, seed=0, executor="process", workers=workers, **settings
        )

    def on_search_begin(self) -> None:
        self.notes.add(did="begin")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.notes.all("begin")) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)

    def on_search_end(self) -> None:
        time.sleep(0.5)  # something that takes its time
        self.notes.add(did="end")

    def search(self, *args: Any, **kwargs: Any) -> None:
        self.notes.add(did="search")
        super().search(*args, **kwargs)

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        self.notes.add(did="data", mapped=is_mapped(args[0]), copied=is_mapped(args[1]), sum=float(args[0].sum()))
        return super().run_trial(trial, *args, **kwargs)

    def on_epoch_end(self, trial: Any, model: keras.Model, epoch: int, logs: Any = None) -> None:
        self.notes.add(did="epoch", trial=int(trial.trial_id), epoch=epoch + 1)


def is_mapped(array: np.ndarray) -> bool:
    """Whether it is a view of a file, of which all processes share the pages."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


def wide(hp: Any) -> keras.Model:
    model = keras.Sequential([keras.layers.Input((64 * TILES,)), keras.layers.Dense(10, activation="softmax")])
    model.compile(
        keras.optimizers.Adam(hp.Float("rate", 1e-4, 1e-1, sampling="log")), "sparse_categorical_crossentropy"
    )
    return model


class Searched(NamedTuple):
    tuner: MyTuner
    notes: Notes
    printed: str
    x: np.ndarray
    validation_data: Any

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for _, event in Journal.read(Path(self.tuner.project_dir) / "journal.jsonl")]


@pytest.fixture(scope="module")
def asha(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """Nine trials by two workers, with data large enough to be mapped."""
    directory = tmp_path_factory.mktemp("asha")
    given = data()
    x, validation_data = np.tile(given["x"], TILES), (np.tile(given["validation_data"][0], TILES), given["y"][:100])
    notes = Notes(directory / "notes.jsonl")
    tuner = MyTuner(notes, 2, directory=str(directory), project_name="project")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        tuner.search(x, given["y"], validation_data=validation_data, batch_size=50, callbacks=[Noting(notes)])
    return Searched(tuner, notes, printed.getvalue(), x, validation_data)


@pytest.mark.slow
def test_the_users_search_runs_once_and_its_end_in_each_worker(asha: Searched) -> None:
    assert len(asha.notes.all("search")) == 1
    assert len(asha.notes.all("end")) == 2


def test_every_epoch_is_trained_once_and_reported_once_by_two_workers(asha: Searched) -> None:
    told = [(event["trial"], event["epoch"]) for event in asha.events if event["e"] == "tell"]
    trained = asha.notes.all("epoch")
    assert sorted((note["trial"], note["epoch"]) for note in trained) == sorted(told)
    for trial in range(9):
        epochs = [epoch for number, epoch in told if number == trial]
        assert epochs == list(range(1, len(epochs) + 1))
        assert len(epochs) in (1, 3, 9)
    assert {note["worker"] for note in trained} == {"worker-0", "worker-1"}
    assert {event["e"] for event in asha.events} <= {"search", "ask", "tell", "given"}


def test_the_decisions_are_ashas(asha: Searched) -> None:
    search = Search(ASHA(max_epochs=9, factor=3, max_trials=9), make_searcher("random", 0), seed=0)
    for event in asha.events:
        search.replay(event)  # raises ReplayDiffers
    assert search.running == 0
    assert asha.tuner._own_oracle.stop_reason == "all 9 trials are done (max_trials=9)"


def test_the_parent_has_the_results(asha: Searched) -> None:
    best = asha.tuner.oracle.get_best_trials()[0]
    model = asha.tuner.get_best_models()[0]
    assert model.evaluate(*asha.validation_data, verbose=0) == pytest.approx(best.score, abs=1e-5)
    assert best.score == min(event["metrics"]["val_loss"] for event in asha.events if event["e"] == "tell")
    told = Counter(event["epoch"] for event in asha.events if event["e"] == "tell")
    assert [(row.epochs, row.reached) for row in asha.tuner.rung_table()] == [(n, told[n]) for n in (1, 3, 9)]
    assert {trial.status for trial in asha.tuner._own_oracle.trials.values()} == {"COMPLETED"}


def test_each_segment_is_shown_once(asha: Searched) -> None:
    shown = re.findall(r"^\[ +\d+ s\] trial (\d)  (\d)/9 epochs  val_loss [\d.]+  \w+  \(best", asha.printed, re.M)
    ends = [(event["trial"], event["epoch"]) for event in asha.events if event["e"] == "tell"]
    assert sorted((int(trial), int(epoch)) for trial, epoch in shown) == sorted(e for e in ends if e[1] in (1, 3, 9))
    assert asha.printed.count("Search ended: all 9 trials are done") == 1


def test_callbacks_and_large_arrays_get_there(asha: Searched) -> None:
    assert len(asha.notes.all("callback")) == len(asha.notes.all("epoch"))
    seen = asha.notes.all("data")
    assert {note["worker"] for note in seen} == {"worker-0", "worker-1"}
    assert {note["mapped"] for note in seen} == {True}
    assert {note["copied"] for note in seen} == {False}  # the labels are small
    assert {note["sum"] for note in seen} == {float(asha.x.sum())}


def test_the_workers_logs_are_in_the_project(asha: Searched) -> None:
    logs = Path(asha.tuner.project_dir) / "workers"
    assert sorted(path.name for path in logs.iterdir()) == ["worker-0.log", "worker-1.log"]
    for path in logs.iterdir():
        assert "Traceback" not in path.read_text()
        assert "Search ended" not in path.read_text()


# What is refused before any process is started


@pytest.mark.tensorflow
def test_a_dataset_is_refused_with_advice(project: dict[str, Any]) -> None:
    import tensorflow as tf

    given = data()
    dataset = tf.data.Dataset.from_tensor_slices((given["x"], given["y"])).batch(50)
    tuner = kt_ext.ASHATuner(build, "val_loss", executor="process", workers=1, **project)
    with pytest.raises(TypeError, match=r"^x: cannot be sent to a worker process, .*; give data_fn=, a function"):
        tuner.search(dataset, validation_data=dataset)
    assert not (Path(tuner.project_dir) / "workers").exists()
    assert tuner._own_oracle.trials == {}


@pytest.mark.tensorflow
def test_a_strategy_is_refused_with_advice(project: dict[str, Any]) -> None:
    import tensorflow as tf

    with pytest.raises(TypeError, match="a strategy cannot be sent to worker processes; give a function that makes it"):
        kt_ext.ASHATuner(
            build, "val_loss", executor="process", workers=1,
            distribution_strategy=tf.distribute.OneDeviceStrategy("CPU:0"), **project,
        )  # fmt: skip


def test_workers_must_be_counted_where_there_is_no_gpu(
    project: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    tuner = kt_ext.ASHATuner(build, "val_loss", executor="process", **project)
    with pytest.raises(ValueError, match=r"^workers=None: there is no GPU to count them by .* e\.g\. workers=2$"):
        tuner.search(**data())


# One worker decides as one process does


def one_by_one(executor: str, project: dict[str, Any], **changed: Any) -> kt_ext.ASHATuner:
    where = {"workers": 1} if executor == "process" else {}
    settings = {"max_epochs": 3, "max_trials": 5, "seed": 0, "executor": executor, **where, **project, **changed}
    tuner = kt_ext.ASHATuner(build, "val_loss", **settings)
    tuner.search(**data(), batch_size=50, verbose=0)
    return tuner


def assert_same_search(one: Any, other: Any) -> None:
    assert values_of(one) == values_of(other)
    assert_same_epochs(all_epochs(one), all_epochs(other))


@pytest.mark.nightly
def test_one_worker_finds_what_one_process_finds_wherever_the_search_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    unbroken = one_by_one("serial", {"directory": str(tmp_path), "project_name": "unbroken"})
    in_worker = one_by_one("process", {"directory": str(tmp_path), "project_name": "in worker"})
    assert_same_search(in_worker, unbroken)
    mixed = {"directory": str(tmp_path), "project_name": "mixed"}
    one_by_one("serial", mixed, max_total_epochs=2)
    capfd.readouterr()
    there = one_by_one("process", mixed, max_total_epochs=5)
    assert there._own_oracle.search.history.total_epochs == 5
    last = one_by_one("serial", mixed)
    assert set(capfd.readouterr().out.splitlines()) <= {
        f"Reloading Tuner from {last.project_dir}/tuner0.json"  # Keras Tuner's own, before ``verbose`` is known
    }
    assert_same_search(last, unbroken)


# Scripts and notebooks

CELL = """
import os, keras, kt_ext
from sklearn.datasets import load_digits

x, y = load_digits(return_X_y=True)
x = (x / 16.0).astype("float32")

class Model(__import__("keras_tuner").HyperModel):
    def build(self, hp):
        model = keras.Sequential([keras.layers.Input((64,)), keras.layers.Dense(10, activation="softmax")])
        model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, sampling="log")),
                      "sparse_categorical_crossentropy")
        return model
    def fit(self, hp, model, *args, **kwargs):
        assert os.environ["KERASTUNER_TUNER_ID"] == "worker-0"
        return model.fit(*args, **kwargs)

def datasets():
    import tensorflow as tf
    make = lambda a, b: tf.data.Dataset.from_tensor_slices((x[a:b], y[a:b])).batch(50)
    return {"x": make(0, 200), "validation_data": make(200, 300)}

tuner = kt_ext.PBTTuner(
    HYPERMODEL, "val_loss", population_size=2, max_epochs=4, perturbation_interval=2, quantile_fraction=0.5,
    seed=0, executor="process", workers=1, directory=DIRECTORY, project_name="project", SETTINGS)
tuner.search(DATA verbose=0)
history = tuner.oracle.search.history
assert [history.epochs_of(member) for member in range(2)] == [4, 4], history
assert len(tuner.lineage()) == 1, tuner.lineage()
loss = tuner.get_best_models()[0].evaluate(x[200:300], y[200:300], verbose=0)
assert abs(loss - tuner.oracle.get_best_trials()[0].score) < 1e-5
"""
ARRAYS = "x[:200], y[:200], validation_data=(x[200:300], y[200:300]), batch_size=50,"


def cell(directory: Path, hypermodel: str, data: str, settings: str) -> str:
    code = CELL.replace("HYPERMODEL", hypermodel).replace("DIRECTORY", repr(str(directory)))
    return code.replace("DATA", data).replace("SETTINGS", settings)


@SLOW
@pytest.mark.tensorflow
def test_a_notebook_cell_with_lambda_dataset_and_strategy(tmp_path: Path) -> None:
    settings = "distribution_strategy=lambda: __import__('tensorflow').distribute.OneDeviceStrategy('CPU:0')"
    code = cell(tmp_path, "lambda hp: Model().build(hp)", "data_fn=datasets,", settings)
    done = run_python(f"exec(compile({code!r}, '<cell>', 'exec'), globals())")  # code of __main__ that is in no file
    assert done.stdout == ""


@pytest.mark.nightly
def test_an_unguarded_script_with_a_hypermodel_that_has_a_fit(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(cell(tmp_path, "Model()", ARRAYS, "share_models=False"))
    done = run_python(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')")
    assert done.stdout == ""
    assert (tmp_path / "project" / "workers" / "worker-0.log").exists()


# Errors of the user's


def fails_in_workers(hp: Any) -> keras.Model:
    rate = hp.Float("rate", 1e-3, 1e-1)
    if "KERASTUNER_TUNER_ID" in os.environ:
        raise ZeroDivisionError("in the worker's build")
    return small_model(learning_rate=rate)


@SLOW
def test_the_error_of_a_build_is_shown_by_the_parent(project: dict[str, Any]) -> None:
    tuner = kt_ext.ASHATuner(fails_in_workers, "val_loss", executor="process", workers=1, **project)
    with pytest.raises(RuntimeError) as error:
        tuner.search(**data(), verbose=0)
    assert str(error.value).startswith("3 trials failed in a row, so the search was ended; the last, trial ")
    assert "in fails_in_workers" in str(error.value)
    assert str(error.value).rstrip().endswith("ZeroDivisionError: in the worker's build")


@pytest.mark.nightly
def test_a_module_that_cannot_be_imported_in_a_worker_ends_the_search(tmp_path: Path) -> None:
    (tmp_path / "my_model.py").write_text(
        "import os\nif 'KERASTUNER_TUNER_ID' in os.environ: raise ImportError('not in a worker')\n"
        "from tuners.searches import build\ndef my_build(hp): return build(hp)\n"
    )
    done = run_python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import kt_ext, my_model\nfrom tuners.searches import data\n"
        "tuner = kt_ext.ASHATuner(my_model.my_build, 'val_loss', executor='process', workers=1,\n"
        f"                        directory={str(tmp_path)!r}, project_name='project')\n"
        "tuner.search(**data(), verbose=0)",
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr[done.stderr.rindex("RuntimeError: ") :]
    assert last.startswith("RuntimeError: worker-0: exit code 1, before it reached the chief, like 2 more before it.")
    assert "ImportError: not in a worker" in last


# Ctrl-C


@SLOW
def test_after_ctrl_c_all_are_gone_and_the_same_script_goes_on(tmp_path: Path) -> None:
    with watching(tmp_path, kind="asha", workers=2) as watch:
        parent = watch.start()
        until(lambda: len(watch.notes("epoch")) >= 8, parent)
        parent.send_signal(signal.SIGINT)
        assert parent.wait(60) in (1, 130, -signal.SIGINT)
        assert watch.nobody_lives()
        assert "KeyboardInterrupt" in watch.output()
        in_flight = len(watch.worker_pids())
        watch.run()
        watch.check_nothing_lost()
        assert watch.trained_again() <= in_flight
        assert "Going on with the search in " in watch.output()
