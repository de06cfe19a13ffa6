"""Bayesian optimisation by way of Keras Tuner's calls: every trial at full length."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.oracles import BayesianOracle
from kt_ext.schedulers import FIFO
from kt_ext.searchers import ForestSearcher, GPSearcher, TPESearcher
from oracles.oracle_driving import LOSS, HandOut, Workers, by_values, placed, small_space


def test_arguments():
    oracle = BayesianOracle(LOSS, max_epochs=np.int64(7), max_trials=np.int64(5))
    assert oracle.scheduler_as_given.state() == FIFO(5, 7).state()
    assert type(oracle.max_trials) is int
    assert BayesianOracle(LOSS).scheduler_as_given.state() == FIFO(20, 100).state()


@pytest.mark.parametrize(("name", "kind"), [("gp", GPSearcher), ("forest", ForestSearcher), ("tpe", TPESearcher)])
def test_searchers_by_name(name, kind):
    assert isinstance(BayesianOracle(LOSS, searcher=name).searcher, kind)
    assert isinstance(BayesianOracle(LOSS).searcher, GPSearcher)


def test_every_trial_runs_to_the_end_one_that_diverged_too():
    oracle = placed(BayesianOracle(LOSS, 3, 12, seed=0, hyperparameters=small_space()), None)
    workers = Workers(oracle, by_values, 2).run()
    assert workers.handed_out == [HandOut(f"{number:02d}", 0, 3, None) for number in range(12)]
    assert len(workers.reports) == 36


def test_four_workers_get_different_values_while_none_has_reported():
    """Once the model has taken over, too: it takes those that run into account."""
    space = small_space()
    searcher = GPSearcher(n_startup=2)
    oracle = placed(BayesianOracle(LOSS, 1, 12, searcher, seed=0, hyperparameters=space), None)
    for number in range(2):
        trial = oracle.create_trial("tuner0")
        oracle.update_trial(trial.trial_id, {"loss": float(number)}, step=1)
        oracle.end_trial(trial)
    for worker in range(4):
        oracle.create_trial(f"tuner{worker}")
    values = [tuple(oracle.search.history.values(number).values()) for number in range(6)]
    assert len(set(values)) == 6


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "9", None])
def test_wrong_numbers(value):
    with pytest.raises(ValueError, match=rf"^max_trials={value!r}: must be an integer >= 1; give the number of trials"):
        BayesianOracle(LOSS, max_trials=value)
    with pytest.raises(ValueError, match=rf"^max_epochs={value!r}: must be an integer >= 1; give the epochs"):
        BayesianOracle(LOSS, max_epochs=value)


def test_a_searcher_that_does_not_exist():
    with pytest.raises(ValueError, match=r"^searcher='gaussian': must be one of random, .*gp, forest"):
        BayesianOracle(LOSS, searcher="gaussian")
    with pytest.raises(TypeError, match=r"^searcher=<kt_ext.schedulers.fifo.FIFO .*: must be a name"):
        BayesianOracle(LOSS, searcher=FIFO(1, 1))
