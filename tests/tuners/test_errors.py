"""What is wrong is said before any training starts, and what ends the search ends it with one message."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from keras_tuner import errors

import kt_ext
from kt_ext.core.lock import ProjectLocked
from tuners.searches import build, data, run_python, small_model


def tuner_of(build_model: Any = build, objective: Any = "val_loss", *, tuner_class=kt_ext.ASHATuner, **kwargs):
    arguments = {"max_epochs": 3, "max_trials": 3, "seed": 0, **kwargs}
    return tuner_class(build_model, objective, **arguments)


class Untouchable(keras.callbacks.Callback):
    def on_train_begin(self, logs: Any = None) -> None:
        raise AssertionError("a training has started")


def search(tuner: Any, **kwargs: Any) -> None:
    tuner.search(**{**data(), "callbacks": [Untouchable()], "verbose": 0, **kwargs})


@pytest.mark.parametrize("name", ["epochs", "initial_epoch"])
def test_how_long_is_the_schedulers(project, name):
    with pytest.raises(ValueError, match=rf"{name}=5: .*give max_epochs"):
        search(tuner_of(**project), **{name: 5})


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"max_epoch": 3}, TypeError, r"max_epoch: not an argument of ASHATuner; .*max_total_epochs"),
        ({"variant": "halving"}, ValueError, r"variant='halving': must be 'promotion'"),
        ({"searcher": "annealing"}, ValueError, r"searcher='annealing': must be one of random, .*tpe, gp"),
        ({"searcher": np.random}, TypeError, r"searcher=<module .*must be a name \(random, "),
        ({"factor": 1}, ValueError, r"factor=1: must be an integer >= 2"),
        ({"seed": -1}, ValueError, r"seed=-1: must be an integer from 0"),
        ({"project_name": "../x"}, ValueError, r"project_name='../x': must be a name inside `directory`"),
        ({"executions_per_trial": 0}, ValueError, r"executions_per_trial=0: must be an integer >= 1"),
        (
            {"executions_per_trial": 2, "variant": "stopping"},
            ValueError,
            r"executions run one after the other.*use 1",
        ),
        ({"max_total_epochs": 0}, ValueError, r"max_total_epochs=0: must be an integer >= 1"),
        ({"max_model_size": 0}, ValueError, r"max_model_size=0: must be an integer >= 1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_constructor(tmp_path, kwargs, error, message):
    with pytest.raises(error, match=message):
        tuner_of(directory=str(tmp_path), **kwargs)
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_scheduler_of_another_type(project):
    for scheduler in (None, "asha", kt_ext.schedulers.FIFO):
        with pytest.raises(TypeError, match=r"scheduler=.*must be a kt_ext scheduler such as"):
            kt_ext.SchedulerTuner(build, scheduler, objective="val_loss", **project)


def test_objective_without_a_direction(project):
    with pytest.raises(ValueError, match="direction"):
        tuner_of(objective="goodness", **project)


def test_no_hypermodel(project):
    with pytest.raises(ValueError, match="hypermodel=None"):
        tuner_of(None, **project)


@pytest.mark.parametrize("built", [None, 3])
def test_build_returns_no_model(project, built):
    tuner = tuner_of(lambda hp: built, **project)
    with pytest.raises(errors.FatalTypeError, match=r"must return a compiled keras.Model, it returned"):
        search(tuner)


def test_build_forgot_to_compile(project):
    tuner = tuner_of(lambda hp: keras.Sequential([keras.layers.Input((64,)), keras.layers.Dense(10)]), **project)
    with pytest.raises(errors.FatalError, match=r"compile"):
        search(tuner)


def test_overwrite_removes_no_search_at_work(project):
    holder = tuner_of(**project)
    holder.oracle.create_trial("another worker")
    with pytest.raises(ProjectLocked, match="held by process"):
        tuner_of(overwrite=True, **project)
    assert (Path(holder.project_dir) / "journal.jsonl").exists()
    holder.oracle.finish()
    tuner_of(overwrite=True, **project)
    assert not (Path(holder.project_dir) / "journal.jsonl").exists()


OVERWRITE = """
import sys
import kt_ext
from tuners.searches import build
kt_ext.ASHATuner(build, "val_loss", max_epochs=3, directory=sys.argv[1], project_name="project", overwrite=True)
"""


@pytest.mark.slow
def test_overwrite_in_another_process(project):
    holder = tuner_of(**project)
    holder.oracle.create_trial("a worker")
    done = run_python(OVERWRITE, project["directory"], check=False)
    assert done.returncode == 1
    assert re.search(r"ProjectLocked: .*held by process", done.stderr)
    assert (Path(holder.project_dir) / "journal.jsonl").exists()


def test_two_tuners_on_one_directory(project):
    first, second = tuner_of(**project), tuner_of(**project)
    first.oracle.create_trial("a worker")
    with pytest.raises(ProjectLocked, match="held by process"):
        search(second)
    first.oracle.finish()


# These can only be seen in the logs of the first epoch: they end the search there.


@pytest.fixture(scope="module")
def wrong_objective(tmp_path_factory):
    """A search for a metric that fit never reports, and what it raised."""
    directory = str(tmp_path_factory.mktemp("wrong"))
    tuner = tuner_of(objective=keras_tuner.Objective("val_f1", "max"), directory=directory)
    with pytest.raises(errors.FatalError) as raised:
        search(tuner, callbacks=[])
    return tuner, str(raised.value)


def test_objective_not_among_the_logs(wrong_objective):
    tuner, message = wrong_objective
    assert "val_f1" in message and "val_accuracy" in message  # what is missing, and what there is
    assert len(tuner.oracle.trials) == 1


def test_no_validation_data(project):
    tuner = tuner_of(**project)
    with pytest.raises(
        errors.FatalError, match=r"'val_loss' is not among the logs of epoch 1 \(accuracy, loss\).*give validation_data"
    ):
        search(tuner, callbacks=[], validation_data=None)


def test_validation_freq_skips_a_rung(project):
    tuner = tuner_of(max_epochs=3, min_epochs=1, **project)
    with pytest.raises(errors.FatalError, match=r"'val_loss' is not among the logs of epoch 1.*validation_freq at 1"):
        search(tuner, callbacks=[], validation_freq=2)
    assert len(tuner.oracle.trials) == 1


def test_validation_freq_that_misses_the_end_of_a_segment(project):
    """Epoch 2 has the objective, but trials are compared at epoch 3."""
    with pytest.raises(errors.FatalError, match=r"'val_loss' is not among the logs of epoch 3.*validation_freq at 1"):
        search(tuner_of(max_epochs=9, min_epochs=3, **project), callbacks=[], validation_freq=2)


def test_validation_freq_that_meets_every_rung(project):
    tuner = tuner_of(max_epochs=4, min_epochs=2, factor=2, max_trials=2, **project)
    search(tuner, callbacks=[], validation_freq=2)
    assert [row.reached for row in tuner.rung_table()] == [2, 1]


def test_callback_that_cannot_be_copied(project):
    class Holding(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.file = open(__file__)  # noqa: SIM115

    callback = Holding()
    with callback.file, pytest.raises(errors.FatalValueError, match="deep-copyable"):
        search(tuner_of(**project), callbacks=[callback])


def test_three_failures_in_a_row(project):
    def broken(hp: keras_tuner.HyperParameters) -> keras.Model:
        if hp.Float("learning_rate", 1e-4, 1e-1) != 1e-4:  # the default, with which the space is explored
            raise ZeroDivisionError("a mistake of the user's")
        return small_model()

    tuner = tuner_of(broken, max_trials=9, **project)
    with pytest.raises(RuntimeError) as raised:
        search(tuner)
    message = str(raised.value)
    assert "3 trials failed in a row" in message
    assert "in broken" in message and "ZeroDivisionError: a mistake of the user's" in message
    assert [trial.status for trial in tuner.oracle.trials.values()] == ["FAILED"] * 3
