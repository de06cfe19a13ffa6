"""The oracle that chooses by itself: its arguments, and that its budget is the one that was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.oracles import AutoOracle
from kt_ext.searchers import GPSearcher
from oracles.oracle_driving import LOSS, Workers, by_values, decisions, placed, small_space


def auto(directory=None, **changed):
    return placed(
        AutoOracle(LOSS, **{"max_epochs": 9, "seed": 0, "hyperparameters": small_space(), **changed}), directory
    )


@pytest.mark.parametrize(
    ("arguments", "budget"),
    [
        ({}, 20 * 9),
        ({"max_epochs": 4}, 20 * 4),
        ({"budget": 50}, 50),
        ({"budget": np.int64(50), "max_epochs": np.int64(9)}, 50),
        ({"max_trials": 7}, None),
        ({"max_trials": 7, "budget": 50}, 50),
    ],
)
def test_budget_and_trials(arguments, budget):
    oracle = auto(**arguments)
    assert oracle.budget.max_total_epochs == budget
    assert type(oracle.max_trials) is int
    assert oracle.max_trials == 7 if "max_trials" in arguments else oracle.max_trials >= 2
    assert (
        oracle.scheduler_as_given.max_epochs
        == oracle.scheduler_as_given.rung_epochs[-1]
        == arguments.get("max_epochs", 9)
    )
    assert isinstance(oracle.searcher, GPSearcher)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("budget", [1, 2, 9, 40])
@pytest.mark.parametrize("max_epochs", [1, 9, 40])
def test_the_whole_budget_is_spent_and_no_more(max_epochs, budget, count):
    """``max_trials`` is never what ends a search that was given a budget alone."""
    oracle = auto(max_epochs=max_epochs, budget=budget)
    workers = Workers(oracle, by_values, count).run()
    assert len(workers.reports) == oracle.search.history.total_epochs == budget
    if max_epochs > 1:
        assert oracle.stop_reason == f"budget={budget} reached"


def test_trials_that_diverge_at_once_leave_room_for_others():
    oracle = auto(max_epochs=64, budget=30)

    def curve(trial, epoch):
        return {"loss": float("nan") if int(trial.trial_id) % 5 else 1.0}

    workers = Workers(oracle, curve).run()
    assert len(workers.reports) == 30


def test_max_trials_alone():
    oracle = auto(max_trials=12)
    Workers(oracle, by_values, 4).run()
    assert oracle.stop_reason == "all 12 trials are done (max_trials=12)"


def test_a_larger_budget_goes_on(tmp_path):
    first = auto(tmp_path, budget=20)
    Workers(first, by_values).run()
    first.finish()
    known = decisions(tmp_path / "project")
    second = auto(tmp_path, budget=50)
    Workers(second, by_values).run()
    assert second.search.history.total_epochs == 50
    assert decisions(tmp_path / "project")[: len(known)] == known
    assert second.stop_reason == "budget=50 reached"


@pytest.mark.parametrize("name", ["max_epochs", "max_trials", "budget"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "9"])
def test_wrong_numbers(name, value):
    remedies = {"max_epochs": "give the most epochs", "max_trials": "None starts as many", "budget": "give the epochs"}
    with pytest.raises(ValueError, match=rf"^{name}={value!r}: must be an integer >= 1; {remedies[name]}"):
        auto(**{name: value})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scheduler": None}, r"scheduler=None: the automatic choice takes none; use a SchedulerOracle"),
        ({"searcher": "tpe"}, r"searcher='tpe': the automatic choice takes none; use a SchedulerOracle"),
        ({"max_total_epochs": 9}, r"max_total_epochs=9: the automatic choice takes none; use budget="),
    ],
    ids=["scheduler", "searcher", "max_total_epochs"],
)
def test_what_it_chooses_by_itself_cannot_be_given(arguments, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        auto(**arguments)


def test_no_max_epochs():
    with pytest.raises(ValueError, match=r"^max_epochs=None: must be an integer >= 1"):
        auto(max_epochs=None)
