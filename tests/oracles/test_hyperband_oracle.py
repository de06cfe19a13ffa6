"""Asynchronous Hyperband by way of Keras Tuner's calls: which bracket a trial begins in, and who goes on."""

from __future__ import annotations

import pytest

from kt_ext.oracles import HyperbandOracle
from kt_ext.schedulers import Hyperband
from kt_ext.searchers import GridSearcher
from oracles.oracle_driving import LOSS, HandOut, Workers, placed, small_space


def test_arguments_reach_the_scheduler():
    oracle = HyperbandOracle(LOSS, 16, 2, 2, 30, "stopping", 3, "learned", GridSearcher(), seed=0)
    scheduler = oracle.scheduler_as_given
    assert scheduler.state() == Hyperband(16, 2, 2, 30, "stopping", 3, "learned").state()
    assert (scheduler.rung_epochs, scheduler.brackets) == ((2, 4, 8, 16), 3)
    assert isinstance(oracle.searcher, GridSearcher)
    assert oracle.max_trials == 30
    default = HyperbandOracle(LOSS)
    assert default.scheduler_as_given.state() == Hyperband(100, 1, 3, None, "promotion", None, "budget").state()


def test_brackets_are_spread_over_the_search():
    """One table for 9 epochs: 9 trials that begin with one epoch, 5 with three, 3 with nine. The later the better."""
    oracle = placed(HyperbandOracle(LOSS, max_epochs=9, seed=0, hyperparameters=small_space()), None)
    workers = Workers(oracle, lambda trial, epoch: {"loss": 1.0 - int(trial.trial_id) / 100}).run()
    begun = [segment for segment in workers.handed_out if segment.initial == 0]
    assert [segment.until for segment in begun] == [1, 3, 1, 9, 1, 3, 1, 9, 1, 3, 1, 3, 1, 9, 1, 3, 1]
    resumed = [segment for segment in workers.handed_out if segment.initial > 0]
    assert all(segment.source == segment.trial_id for segment in resumed)
    assert resumed[0] == HandOut("04", 1, 3, "04")  # the best of 0, 2 and 4


def test_no_worker_waits_for_a_round():
    """A table's seventeen trials all start at once, where synchronous Hyperband has work for nine workers."""
    oracle = placed(HyperbandOracle(LOSS, max_epochs=9, seed=0, hyperparameters=small_space()), None)
    trials = [oracle.create_trial(f"tuner{worker}") for worker in range(17)]
    assert [trial.status for trial in trials] == ["RUNNING"] * 17
    assert oracle.create_trial("tuner17").status == "IDLE"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_epochs": True}, ValueError, r"max_epochs=True: must be an integer >= 1; give the most epochs"),
        ({"max_epochs": 3, "min_epochs": 9}, ValueError, r"min_epochs=9: must be <= max_epochs=3; lower it"),
        ({"factor": 1}, ValueError, r"factor=1: must be an integer >= 2; use FIFO"),
        ({"max_trials": 0}, ValueError, r"max_trials=0: must be an integer >= 1; None takes one whole table"),
        ({"max_trials": True}, ValueError, r"max_trials=True: must be an integer >= 1"),
        ({"variant": "halving"}, ValueError, r"variant='halving': must be 'promotion'"),
        ({"brackets": 9, "max_epochs": 9}, ValueError, r"brackets=9: must be <= 3, the number of rungs"),
        ({"bracket_choice": "best"}, ValueError, r"bracket_choice='best': must be 'budget' or 'learned'"),
        ({"searcher": "hyperband"}, ValueError, r"searcher='hyperband': must be one of random, .*tpe"),
        ({"searcher": 3}, TypeError, r"searcher=3 of type int: must be a name"),
        ({"searcher": GridSearcher}, TypeError, r"searcher=<class .*GridSearcher'> of type .*: must be a name"),
        ({"seed": -1}, ValueError, r"seed=-1: must be an integer from 0 to"),
        ({"max_total_epochs": 0}, ValueError, r"max_total_epochs=0: must be an integer >= 1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=rf"^{message}"):
        HyperbandOracle(LOSS, **arguments)
