"""Iterated racing by way of Keras Tuner's calls: scores, best trials, budgets, what is shown, and resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import pytest

from kt_ext.oracles import RacingOracle
from kt_ext.oracles.racing import instance_seed
from kt_ext.oracles.rung_table import summary
from kt_ext.schedulers import Racing
from kt_ext.searchers import EliteSearcher
from oracles.oracle_driving import HandOut, Workers, decisions, killed, outcome, placed, small_space

ACCURACY = keras_tuner.Objective("acc", "max")
#: Six trials on four instances; 1 is dropped in the first race and 4 in the second, by t-tests.
RESULTS = [
    [0.80, 0.90, 0.70, 0.85],
    [0.10, 0.15],
    [0.82, 0.88, 0.72, 0.80],
    [0.81, 0.92, 0.69, 0.87],
    [0.20, 0.25],
    [0.99, 0.40, 0.72, 0.81],
]


def race(directory: Path | None = None, name: str = "project", **changed: Any) -> Any:
    settings: dict[str, Any] = {
        "objective": ACCURACY,
        "max_trials": 6,
        "max_instances": 4,
        "first_test": 2,
        "test": "t",
        "min_survivors": 2,
        "trials_per_race": 3,
        "seed": 3,
        "hyperparameters": small_space(),
    }
    return placed(RacingOracle(**{**settings, **changed}), directory, name)


def by_table(trial: Any, instance: int) -> dict[str, float]:
    return {"acc": RESULTS[int(trial.trial_id)][instance - 1]}


HANDED_OUT = [
    HandOut("0", 0, 2, None),
    HandOut("1", 0, 2, None),
    HandOut("2", 0, 2, None),  # 1 is dropped, two are left, the race is over
    HandOut("3", 0, 2, None),
    HandOut("4", 0, 2, None),
    HandOut("5", 0, 2, None),  # 4 is dropped; nobody can be told from 3, the best
    HandOut("0", 2, 3, "0"),
    HandOut("2", 2, 3, "2"),
    HandOut("3", 2, 3, "3"),
    HandOut("5", 2, 3, "5"),
    HandOut("0", 3, 4, "0"),
    HandOut("2", 3, 4, "2"),
    HandOut("3", 3, 4, "3"),
    HandOut("5", 3, 4, "5"),
]


@pytest.mark.parametrize("wire", [False, True])
def test_two_races(tmp_path, wire):
    oracle = race(tmp_path)
    assert Workers(oracle, by_table, wire=wire).run().handed_out == HANDED_OUT
    assert oracle.stop_reason == "all 6 trials are done (max_trials=6)"


def test_scores_are_means_and_the_best_have_the_most_instances():
    oracle = race()
    Workers(oracle, by_table).run()
    best = oracle.get_best_trials(6)
    means = [float(np.mean(results)) for results in RESULTS]
    assert [trial.trial_id for trial in best] == ["3", "0", "2", "5", "4", "1"]
    assert [trial.score for trial in best] == pytest.approx([means[i] for i in (3, 0, 2, 5, 4, 1)])
    assert [trial.best_step for trial in best] == [2, 2, 2, 1, 2, 2]  # its best instance
    assert oracle.best == pytest.approx(-means[3])
    assert isinstance(oracle.scheduler, Racing)


def test_few_instances_with_a_good_mean_are_not_the_best():
    """Trial 1 has the best mean, of two instances, when a budget ends the search."""
    first_two = {"0": 0.5, "1": 0.9, "2": 0.55}
    oracle = race(test="friedman", min_survivors=1, max_total_instances=7)
    Workers(oracle, lambda trial, instance: {"acc": first_two[trial.trial_id] if instance < 3 else 0.1}).run()
    assert oracle.stop_reason == "max_total_instances=7 reached"
    assert [oracle.search.history.epochs_of(n) for n in range(3)] == [3, 2, 2]
    assert [trial.trial_id for trial in oracle.get_best_trials(3)] == ["0", "1", "2"]
    assert oracle.best == float("inf")  # nobody has seen all instances


def test_the_target_is_for_the_mean_over_all_instances():
    oracle = race(target=0.81)
    Workers(oracle, by_table).run()
    assert oracle.stop_reason == "target=0.81 reached with 0.8125"
    assert oracle.search.history.epochs_of(0) == 4 > oracle.search.history.epochs_of(2)


def test_a_diverged_instance_leaves_no_score():
    oracle = race(max_trials=3)
    Workers(oracle, lambda trial, k: {"acc": float("nan") if (trial.trial_id, k) == ("1", 2) else 0.5}).run()
    assert (oracle.trials["1"].score, oracle.trials["1"].status) == (None, "FAILED")
    assert {trial.trial_id for trial in oracle.get_best_trials(3)} == {"0", "2"}


def test_what_is_shown_speaks_of_instances(capsys, tmp_path):
    oracle = race(tmp_path)
    oracle.verbose = 1
    Workers(oracle, by_table).run()
    oracle.finish()
    printed = capsys.readouterr().out
    assert "trial 1  2/4 instances  acc 0.15  paused" in printed
    assert "epoch" not in printed
    assert summary(oracle).splitlines()[-1] == "20 instances trained; 6 trials in full would take 24 (83%)"
    race(tmp_path).begin()
    assert "epoch" not in capsys.readouterr().out


def test_wherever_it_is_killed_it_goes_on_alike(tmp_path):
    whole = race(tmp_path)
    Workers(whole, by_table).run()
    whole.finish()
    expected = decisions(tmp_path / "project")
    for lines in range(1, len(expected) + 8, 3):
        name = f"killed{lines}"
        killed(tmp_path / "project", tmp_path / name, lines, torn=True)
        (tmp_path / name / "snapshot.json").unlink()
        again = race(tmp_path, name)
        Workers(again, by_table).run()
        again.finish()
        assert outcome(again).keys() == outcome(whole).keys()
        for trial_id, found in outcome(again).items():
            assert found["score"] == outcome(whole)[trial_id]["score"]
            assert found["own"] == outcome(whole)[trial_id]["own"]
        assert again.best == whole.best


def test_another_kind_of_instance_is_another_search(tmp_path):
    first = race(tmp_path)
    Workers(first, by_table).run(5)
    first.finish()
    with pytest.raises(ValueError, match="scheduler instance: 10 epochs, seeds -> 10 epochs, folds"):
        race(tmp_path, instances="folds").begin()
    with pytest.raises(ValueError, match="scheduler instance: 10 epochs, seeds -> 9 epochs, seeds"):
        race(tmp_path, epochs=9).begin()


def test_an_instance_has_the_same_seed_for_all_trials():
    oracle = race()
    trials = [oracle.create_trial(f"tuner{n}") for n in range(3)]
    seeds = [[instance_seed(trial, instance) for instance in range(5)] for trial in trials]
    assert seeds[0] == seeds[1] == seeds[2]
    assert len(set(seeds[0])) == 5
    other = race(seed=4).create_trial("tuner0")
    assert instance_seed(other, 1) != seeds[0][1]


def test_the_searcher_knows_the_races():
    searcher = race(trials_per_race=7, min_survivors=4).searcher
    assert isinstance(searcher, EliteSearcher)
    assert (searcher.trials_per_race, searcher.elites) == (7, 4)
    assert not isinstance(race(searcher="random").searcher, EliteSearcher)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"instances": "days"}, r"instances='days': must be one of seeds, folds"),
        ({"epochs": 0}, r"epochs=0: must be an integer >= 1"),
        ({"max_total_epochs": 9}, r"max_total_epochs=9: a race counts instances; give max_total_instances"),
        ({"max_total_instances": 0}, r"max_total_instances=0: must be an integer >= 1"),
        ({"multi_objective": "pareto"}, r"multi_objective='pareto': a race compares one number"),
        ({"first_test": 9}, r"first_test=9: must be <= max_instances=4"),
    ],
)
def test_wrong_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        race(**settings)
