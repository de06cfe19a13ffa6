"""A trial that pauses and goes on trains exactly as one that does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import pytest

import kt_ext
from tuners.searches import (
    ONE_TRAIN_TRACE,
    assert_same_epochs,
    build,
    counting,
    data,
    epochs_of,
    learning_rates,
    run_python,
    small_model,
)

RATES = (0.01, 1e-6, 1e-6)  # the first is the best of three at any rung, and is promoted


def build_with_schedule(hp: Any) -> keras.Model:
    schedule = keras.optimizers.schedules.ExponentialDecay(hp.Float("learning_rate", 1e-7, 1e-1), 10, 0.8)
    return small_model(learning_rate=schedule)


def halved(epoch: int, rate: float) -> float:
    return rate * 0.8


# It waits for three epochs in which the loss falls by less than 1, the first two before the pause, and cools down.
def plateau() -> keras.callbacks.Callback:
    return keras.callbacks.ReduceLROnPlateau("loss", factor=0.3, patience=3, min_delta=1.0, cooldown=2)


CASES: dict[str, tuple[Any, Any]] = {
    "constant": (build, list),
    "schedule in the optimizer": (build_with_schedule, list),
    "LearningRateScheduler": (build, lambda: [keras.callbacks.LearningRateScheduler(halved)]),
    "ReduceLROnPlateau": (build, lambda: [plateau()]),
}
one_case_now = pytest.mark.parametrize(
    "case",
    [pytest.param(name, marks=[] if name == "ReduceLROnPlateau" else pytest.mark.slow) for name in CASES],
    indirect=True,
)
#: The callback with the most state by day, the others by night.
the_hardest_now = pytest.mark.parametrize(
    "case",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "ReduceLROnPlateau" else pytest.mark.nightly)
        for name in CASES
    ],
    indirect=True,
)


def tuner_of(build_model: Any, directory: Path, name: str, min_epochs: int = 3, **kwargs: Any) -> kt_ext.ASHATuner:
    return kt_ext.ASHATuner(
        build_model,
        "val_loss",
        max_epochs=9,
        min_epochs=min_epochs,
        max_trials=3,
        searcher=learning_rates(*RATES),
        seed=0,
        directory=str(directory),
        project_name=name,
        **kwargs,
    )


def search(tuner: kt_ext.ASHATuner, callbacks: Any) -> kt_ext.ASHATuner:
    tuner.search(**data(), batch_size=25, callbacks=callbacks(), verbose=0)
    return tuner


@pytest.fixture(scope="module")
def case(request, tmp_path_factory):
    """(build, callbacks, directory, epochs of trial 0 trained without a pause)."""
    build_model, callbacks = CASES[request.param]
    directory = tmp_path_factory.mktemp("pause")
    unbroken = search(tuner_of(build_model, directory, "unbroken", 9, max_total_epochs=9), callbacks)
    return build_model, callbacks, directory, epochs_of(unbroken)


@one_case_now
def test_pause_in_one_process(case):
    build_model, callbacks, directory, unbroken = case
    with counting() as counts:
        tuner = search(tuner_of(counts.counted(build_model), directory, "paused"), callbacks)
    assert [row.reached for row in tuner.rung_table()] == [3, 1]
    assert_same_epochs(epochs_of(tuner), unbroken)
    assert len(unbroken["val_loss"]) == 9
    if "learning_rate" in unbroken:  # the callback had something to do, and not in the first epochs alone
        assert unbroken["learning_rate"][-1] < unbroken["learning_rate"][2]
    # one build to see the space, one for each trial, none for the trial that goes on
    assert counts.builds == 4
    if build_model is build:
        assert (counts.train_steps, counts.test_steps) == (ONE_TRAIN_TRACE, 1)


# The learning rate alone is in the checkpoint either way.
@pytest.mark.slow
@pytest.mark.parametrize("case", ["constant", "ReduceLROnPlateau"], indirect=True)
def test_another_tuner_goes_on(case):
    build_model, callbacks, directory, unbroken = case
    first = search(tuner_of(build_model, directory, "two", max_total_epochs=9), callbacks)
    assert [row.reached for row in first.rung_table()] == [3, 0]
    second = search(tuner_of(build_model, directory, "two"), callbacks)
    assert [row.reached for row in second.rung_table()] == [3, 1]
    assert_same_epochs(epochs_of(second), unbroken)


@the_hardest_now
def test_without_shared_models(case):
    build_model, callbacks, directory, unbroken = case
    tuner = search(tuner_of(build_model, directory, "unshared", share_models=False), callbacks)
    assert_same_epochs(epochs_of(tuner), unbroken)


SEARCH = """
import json, sys
from pathlib import Path
from tuners.searches import epochs_of
from tuners.test_pause_and_resume import CASES, search, tuner_of

directory, name, budget = sys.argv[1:]
build_model, callbacks = CASES[name]
tuner = search(tuner_of(build_model, Path(directory), "process", max_total_epochs=int(budget)), callbacks)
print(json.dumps(epochs_of(tuner)))
"""


@the_hardest_now
def test_another_process_goes_on(case, request):
    _, _, directory, unbroken = case
    name = request.node.callspec.params["case"]
    run_python(SEARCH, str(directory), name, "11")  # two epochs after the promotion: inside a segment, too
    printed = run_python(SEARCH, str(directory), name, "99").stdout.splitlines()[-1]
    assert_same_epochs(json.loads(printed), unbroken)
