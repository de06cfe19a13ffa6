"""Hyperband, BOHB, Bayesian optimisation, the automatic tuner and stopping rules, each in a real search on digits."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import pytest

import kt_ext
from kt_ext.schedulers import ASHA, FIFO, ExtrapolationRule, MedianRule
from tuners.searches import all_epochs, build, data, epochs_of, values_of


class Case(NamedTuple):
    """A tuner's class and arguments, and the epochs after which its search is broken off once."""

    tuner_class: type[Any]
    arguments: dict[str, Any]
    broken_off: int


CASES = {
    "hyperband": Case(kt_ext.HyperbandTuner, {"max_epochs": 4, "factor": 2, "max_trials": 8}, 7),
    "bohb": Case(kt_ext.BOHBTuner, {"max_epochs": 3, "max_trials": 14}, 15),
    "gp": Case(kt_ext.BayesianTuner, {"max_epochs": 2, "max_trials": 12}, 21),
    "forest": Case(kt_ext.BayesianTuner, {"max_epochs": 2, "max_trials": 9, "searcher": "forest"}, 15),
    "auto": Case(kt_ext.AutoTuner, {"max_epochs": 4, "budget": 24}, 18),
    "median": Case(kt_ext.SchedulerTuner, {"scheduler": MedianRule(ASHA(9, max_trials=6), min_trials=2)}, 5),
    "extrapolation": Case(
        kt_ext.SchedulerTuner, {"scheduler": ExtrapolationRule(FIFO(4, 6), 0.3, min_epochs=3), "searcher": "tpe"}, 8
    ),
}


def tuner_of(case: Case, directory: Any, **changed: Any) -> Any:
    settings = {"objective": "val_loss", "seed": 0, "directory": str(directory), **case.arguments, **changed}
    return case.tuner_class(build, **settings)


def search(tuner: Any) -> Any:
    tuner.search(**data(), batch_size=50, verbose=0)
    return tuner


def evaluated(tuner: Any) -> float:
    """The validation loss of the best model."""
    return tuner.get_best_models()[0].evaluate(*data()["validation_data"], verbose=0)[0]


#: The automatic tuner has a Gaussian process and stops trials in flight.
MARKS = {"auto": [], "bohb": [pytest.mark.slow]}


@pytest.fixture(
    scope="module", params=[pytest.param(case, marks=MARKS.get(case, [pytest.mark.nightly])) for case in CASES]
)
def searched(request, tmp_path_factory):
    """A case, and the tuner that has searched."""
    case = CASES[request.param]
    return case, search(tuner_of(case, tmp_path_factory.mktemp("unbroken")))


def test_a_whole_search(searched):
    case, tuner = searched
    oracle = tuner.oracle
    epochs = {trial_id: len(epochs_of(tuner, trial_id)["val_loss"]) for trial_id in oracle.trials}
    assert sum(epochs.values()) == oracle.search.history.total_epochs
    if "budget" in case.arguments:
        assert oracle.stop_reason == "budget=24 reached"
        assert sum(epochs.values()) == 24
    else:
        assert oracle.stop_reason == f"all {oracle.max_trials} trials are done (max_trials={oracle.max_trials})"
        assert len(epochs) == oracle.max_trials
    assert {trial.status for trial in oracle.trials.values()} == {"COMPLETED"}
    for values in values_of(tuner).values():
        oracle.space.validate(values)
    table = [(row.epochs, row.reached) for row in tuner.rung_table()]
    rungs = oracle.scheduler.rung_epochs
    assert table == [(rung, sum(done >= rung for done in epochs.values())) for rung in rungs]


def test_the_best_model_is_the_one_that_was_scored(searched):
    _, tuner = searched
    best = tuner.oracle.get_best_trials(1)[0]
    assert best.score == min(min(metrics["val_loss"]) for metrics in all_epochs(tuner).values())
    assert evaluated(tuner) == pytest.approx(best.score, rel=1e-5)


def test_results_summary(searched, capsys):
    _, tuner = searched
    tuner.results_summary(3)
    printed = capsys.readouterr().out
    best = tuner.oracle.get_best_trials(1)[0]
    assert f"{best.score}" in printed
    assert "learning_rate" in printed


@pytest.mark.slow
def test_broken_off_and_gone_on_with_by_another_tuner(searched, tmp_path):
    """Nothing is trained again, and the search ends as one that was not broken off."""
    case, unbroken = searched
    limit = "budget" if "budget" in case.arguments else "max_total_epochs"
    first = search(tuner_of(case, tmp_path, **{limit: case.broken_off}))
    assert first.oracle.stop_reason == f"{limit}={case.broken_off} reached"
    known, values = all_epochs(first), values_of(first)
    assert sum(len(metrics["val_loss"]) for metrics in known.values()) == case.broken_off

    second = search(tuner_of(case, tmp_path))
    assert second.oracle.stop_reason == unbroken.oracle.stop_reason
    assert sorted(second.oracle.trials) == sorted(unbroken.oracle.trials)
    found = all_epochs(second)
    for trial_id, metrics in known.items():
        assert values_of(second)[trial_id] == values[trial_id]
        for name, numbers in metrics.items():
            assert found[trial_id][name][: len(numbers)] == numbers
    assert evaluated(second) == pytest.approx(second.oracle.get_best_trials(1)[0].score, rel=1e-5)


# Errors


TUNERS = [kt_ext.HyperbandTuner, kt_ext.BOHBTuner, kt_ext.BayesianTuner]


@pytest.mark.parametrize("tuner_class", TUNERS)
def test_a_searcher_that_there_is_not(project, tuner_class):
    with pytest.raises(ValueError, match=r"^searcher='bayes': must be one of random, .*tpe, gp, forest"):
        tuner_class(build, "val_loss", searcher="bayes", **project)
    with pytest.raises(TypeError, match=r"^searcher=7 of type int: must be a name"):
        tuner_class(build, "val_loss", searcher=7, **project)
    with pytest.raises(TypeError, match=r"^searcher=<class .*TPESearcher'> of type ABCMeta: must be a name"):
        tuner_class(build, "val_loss", searcher=kt_ext.searchers.TPESearcher, **project)


@pytest.mark.parametrize("tuner_class", [*TUNERS, kt_ext.AutoTuner])
def test_wrong_numbers_and_names(project, tuner_class):
    with pytest.raises(ValueError, match=r"^max_trials=0: must be an integer >= 1"):
        tuner_class(build, "val_loss", max_trials=0, **project)
    with pytest.raises(TypeError, match=rf"max_epoch: not an argument of {tuner_class.__name__}.* max_epochs"):
        tuner_class(build, "val_loss", max_epoch=3, **project)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"budget": True}, ValueError, r"^budget=True: must be an integer >= 1"),
        ({"max_total_epochs": 9}, TypeError, r"^max_total_epochs=9: the automatic choice takes none; use budget="),
        ({"searcher": "tpe"}, TypeError, r"^searcher='tpe': the automatic choice takes none; use a Scheduler"),
        ({"scheduler": ASHA(3)}, TypeError, r"^scheduler=<.*ASHA.*>: the automatic choice takes none; use a Scheduler"),
    ],
    ids=["budget", "max_total_epochs", "searcher", "scheduler"],
)
def test_what_the_automatic_tuner_does_not_take(project, arguments, error, message):
    with pytest.raises(error, match=message):
        kt_ext.AutoTuner(build, "val_loss", **arguments, **project)


# Elsewhere


@pytest.mark.nightly
@pytest.mark.skipif(os.name == "nt", reason="worker processes need process groups")
def test_two_worker_processes(project):
    tuner = kt_ext.AutoTuner(
        build, "val_loss", max_epochs=4, budget=30, seed=0, executor="process", workers=2, **project
    )
    search(tuner)
    assert tuner.oracle.stop_reason == "budget=30 reached"
    assert sum(len(metrics["val_loss"]) for metrics in all_epochs(tuner).values()) == 30
    values = [frozenset(each.items()) for each in values_of(tuner).values()]
    assert len(set(values)) == len(values)
    assert evaluated(tuner) == pytest.approx(tuner.oracle.get_best_trials(1)[0].score, rel=1e-5)
