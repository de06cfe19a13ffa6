"""A search as a study of Optuna: states, values, distributions, storages."""

from __future__ import annotations

import sys
import warnings
from datetime import datetime, timedelta

import keras_tuner
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

import kt_ext
from kt_ext.oracles import SchedulerOracle
from kt_ext.reports.optuna_study import to_optuna_study
from kt_ext.reports.record import read
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import LOSS, Workers, asha, by_values, placed
from reports.played import (
    Clock,
    asha_cut_short,
    asha_promotion,
    asha_stopping,
    failing,
    pareto,
    population,
    summed,
)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_a_study_says_what_the_search_did(tmp_path, clock):
    failing(tmp_path, clock)
    study = to_optuna_study(tmp_path / "project")
    assert study.study_name == "project"
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert study.metric_names == ["accuracy"]
    assert [trial.state for trial in study.trials] == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.COMPLETE,
        TrialState.COMPLETE,
    ]
    assert [trial.values for trial in study.trials] == [
        [0.5 - 3 / 10 + 3 / 100],
        None,
        [0.5 - 1 / 10 + 3 / 100],
        [0.53],
    ]
    assert study.best_trial.number == 3
    assert study.trials[3].intermediate_values == {1: 0.51, 2: 0.52, 3: 0.53}
    assert study.trials[1].user_attrs == {
        "trial": "1",
        "status": "failed",
        "why": "failed: memory",
        "worker": "tuner0",
        "epochs": 1,
        "best_epoch": 1,
    }
    assert [trial.duration.total_seconds() for trial in study.trials] == [3.0, 2.0, 3.0, 3.0]
    written = datetime.fromtimestamp((tmp_path / "project/journal.jsonl").stat().st_mtime)
    assert study.trials[3].datetime_complete == written
    assert study.trials[0].datetime_start == written - timedelta(seconds=11)


def test_trials_that_did_not_train_to_the_end_are_pruned(tmp_path, clock):
    asha_promotion(tmp_path / "promotion", clock)
    asha_stopping(tmp_path / "stopping", clock)
    for project in (tmp_path / "promotion/project", tmp_path / "stopping/project"):
        record, study = read(project), to_optuna_study(project)
        for trial, mine in zip(record.trials, study.trials, strict=True):
            assert mine.state == (TrialState.COMPLETE if trial.epochs[-1] == 9 else TrialState.PRUNED)
            assert mine.values == [record.score(trial)[0]]
        everyone = to_optuna_study(project, pruned=False)
        assert {trial.state for trial in everyone.trials} == {TrialState.COMPLETE}
        assert everyone.best_trial.number == record.best.number


def test_a_training_that_diverged_at_once_has_failed(tmp_path, clock):
    oracle = asha(tmp_path, variant="stopping", max_trials=1)
    Workers(oracle, lambda trial, epoch: {"loss": float("nan")}).run()
    oracle.finish()
    for pruned in (True, False):
        (trial,) = to_optuna_study(tmp_path / "project", pruned=pruned).trials
        assert (trial.state, trial.values, list(trial.intermediate_values)) == (TrialState.FAIL, None, [1])


def test_interrupted_trials_run_on(tmp_path, clock):
    asha_cut_short(tmp_path, clock)
    record = read(tmp_path / "project")
    waiting = [trial.number for trial in record.trials if trial.status == "queued"]
    assert waiting
    study = to_optuna_study(record)
    assert [trial.number for trial in study.trials if trial.state == TrialState.RUNNING] == waiting
    scored = {
        trial.number for trial in to_optuna_study(record, pruned=False).trials if trial.state == TrialState.COMPLETE
    }
    assert scored == {trial.number for trial in record.ranked()}


def test_only_active_parameters(tmp_path, clock):
    oracle = asha_promotion(tmp_path, clock)
    study = to_optuna_study(tmp_path / "project")
    for trial, theirs in zip(study.trials, oracle.trials.values(), strict=True):
        assert ("depth" in trial.params) == (trial.params["kind"] in ("a", "b"))
        assert trial.params == {name: theirs.hyperparameters.values[name] for name in trial.params}
    assert next(trial.distributions for trial in study.trials if "depth" in trial.params) == {
        "rate": FloatDistribution(1e-4, 1e-1, log=True),
        "units": IntDistribution(1, 100),
        "kind": CategoricalDistribution(["a", "b", "c"]),
        "depth": IntDistribution(1, 9),
    }


def test_domains_that_optuna_has_not(tmp_path, clock):
    hp = keras_tuner.HyperParameters()
    hp.Int("stepped", 3, 20, step=4)
    hp.Int("doubling", 2, 64, step=2, sampling="log")
    hp.Float("tenths", 0.1, 0.7, step=0.1)
    hp.Float("backwards", 0.5, 0.99, sampling="reverse_log")
    hp.Choice("sizes", [1, 2, 8], ordered=True)
    hp.Boolean("flag")
    hp.Fixed("always", "this")
    with hp.conditional_scope("flag", [True]):
        hp.Int("width", 1, 4)
    with hp.conditional_scope("flag", [False]):
        hp.Int("width", 10, 40, step=10)
    oracle = placed(SchedulerOracle(FIFO(30, 1), objective=LOSS, seed=0, hyperparameters=hp), tmp_path)
    Workers(oracle, lambda trial, epoch: {"loss": 1.0}).run()
    oracle.finish()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = to_optuna_study(tmp_path / "project")
    assert study.trials[0].distributions == {
        "stepped": IntDistribution(3, 19, step=4),
        "doubling": IntDistribution(2, 64, log=True),
        "tenths": FloatDistribution(0.1, 0.7),
        "backwards": FloatDistribution(0.5, 0.99),
        "sizes": CategoricalDistribution([1, 2, 8]),
        "flag": CategoricalDistribution([False, True]),
        "always": CategoricalDistribution(["this"]),
        "width": IntDistribution(1, 40),
    }
    for trial, theirs in zip(study.trials, oracle.trials.values(), strict=True):
        assert trial.params == {name: theirs.hyperparameters.values[name] for name in trial.params}


def test_a_member_has_the_values_of_its_best_epoch(tmp_path, clock):
    oracle = population(tmp_path, clock)
    study = to_optuna_study(tmp_path / "project")
    for trial, theirs in zip(study.trials, oracle.trials.values(), strict=True):
        assert trial.params == {name: theirs.hyperparameters.values[name] for name in trial.params}
        assert trial.value == theirs.score


def test_several_objectives(tmp_path, clock):
    pareto(tmp_path / "pareto", clock)
    study = to_optuna_study(tmp_path / "pareto/project")
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert study.metric_names == ["loss", "accuracy"]
    assert [trial.values for trial in study.trials] == [[1.0, 0.6], [2.0, 0.4], [2.0, 0.5], [4.0, 0.9]]
    assert [trial.number for trial in study.best_trials] == [0, 3]
    summed(tmp_path / "summed", clock)
    study = to_optuna_study(tmp_path / "summed/project")
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    assert study.best_trial.value == 1.0 - 0.6


def test_a_storage_is_read_by_another_and_refuses_the_same_name(tmp_path, clock):
    asha_promotion(tmp_path, clock)
    storage = f"sqlite:///{tmp_path}/study.db"
    made = kt_ext.to_optuna_study(tmp_path / "project", storage=storage)
    loaded = optuna.load_study(study_name="project", storage=optuna.storages.RDBStorage(storage))
    for mine, theirs in zip(made.trials, loaded.trials, strict=True):
        assert (mine.state, mine.values, mine.params) == (theirs.state, theirs.values, theirs.params)
        assert (mine.intermediate_values, mine.user_attrs) == (theirs.intermediate_values, theirs.user_attrs)
        assert (mine.datetime_start, mine.distributions) == (theirs.datetime_start, theirs.distributions)
    with pytest.raises(ValueError, match=r"study_name='project': .* has a study of this name; give another study_name"):
        to_optuna_study(tmp_path / "project", storage=storage)
    assert to_optuna_study(tmp_path / "project", storage=storage, study_name="again").study_name == "again"


def test_optuna_finds_what_is_important(tmp_path, clock):
    oracle = asha(tmp_path, max_trials=30)
    Workers(oracle, by_values).run()
    oracle.finish()
    study = to_optuna_study(tmp_path / "project", pruned=False)
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=16, seed=0)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    assert next(iter(shares)) == "units"  # the loss is a function of units
    assert shares["units"] > 0.6


def test_a_study_goes_on_in_optuna(tmp_path, clock):
    failing(tmp_path, clock)
    study = to_optuna_study(tmp_path / "project")
    trial = study.ask(study.trials[0].distributions)
    study.tell(trial, 0.99)
    assert study.best_trial.number == 4


def test_optuna_says_nothing(tmp_path, clock, caplog):
    failing(tmp_path, clock)
    level = optuna.logging.get_verbosity()
    optuna.logging.enable_propagation()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_optuna_study(tmp_path / "project")
    optuna.logging.disable_propagation()
    assert caplog.messages == []
    assert optuna.logging.get_verbosity() == level


def test_without_optuna(tmp_path, clock, monkeypatch):
    failing(tmp_path, clock)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match="pip install optuna"):
        to_optuna_study(tmp_path / "project")
