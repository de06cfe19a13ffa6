"""BOHB by way of Keras Tuner's calls: Hyperband's segments, and values that follow from what was reported."""

from __future__ import annotations

import pytest

from kt_ext.oracles import BOHBOracle, HyperbandOracle
from kt_ext.searchers import RandomSearcher, TPESearcher
from oracles.oracle_driving import LOSS, Workers, placed, small_space


def bohb(oracle_class=BOHBOracle, **changed):
    settings = {"max_epochs": 9, "max_trials": 24, "seed": 0, "hyperparameters": small_space()}
    return placed(oracle_class(LOSS, **{**settings, **changed}), None)


def by_number(trial, epoch):
    return {"loss": 1.0 / (1 + int(trial.trial_id))}


def test_it_is_hyperband_with_a_parzen_estimator():
    oracle = BOHBOracle(LOSS, 16, 2, 2, 30, "stopping", 3, "learned", seed=0)
    other = HyperbandOracle(LOSS, 16, 2, 2, 30, "stopping", 3, "learned", seed=0)
    assert oracle.scheduler_as_given.state() == other.scheduler_as_given.state()
    assert isinstance(oracle.searcher, TPESearcher)
    assert isinstance(BOHBOracle(LOSS, searcher="random").searcher, RandomSearcher)


def test_where_values_say_nothing_its_segments_are_hyperbands():
    assert (
        Workers(bohb(), by_number, 3).run().handed_out == Workers(bohb(HyperbandOracle), by_number, 3).run().handed_out
    )


def test_values_follow_from_the_reports_once_there_are_enough():
    """Two searches whose objectives are opposite: alike until ten trials have reported."""
    searched = {}
    for sign in (1, -1):
        oracle = searched[sign] = bohb()
        Workers(oracle, lambda trial, epoch, sign=sign: {"loss": sign * trial.hyperparameters.values["units"]}).run()
    low, high = ([oracle.search.history.values(number) for number in range(24)] for oracle in searched.values())
    assert low[0] == high[0]
    assert sum(values["units"] for values in low[10:]) < sum(values["units"] for values in high[10:]) / 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_epochs": 0}, ValueError, r"max_epochs=0: must be an integer >= 1; give the most epochs"),
        ({"max_trials": True}, ValueError, r"max_trials=True: must be an integer >= 1; None takes one whole table"),
        ({"brackets": 0}, ValueError, r"brackets=0: must be an integer >= 1"),
        ({"searcher": "bohb"}, ValueError, r"searcher='bohb': must be one of random, .*tpe"),
        ({"searcher": None}, TypeError, r"searcher=None of type NoneType: must be a name"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=rf"^{message}"):
        BOHBOracle(LOSS, **arguments)
