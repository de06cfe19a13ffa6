"""Bounds on metrics: who breaks one counts as the worst, is never the best, and has not failed."""

from __future__ import annotations

import json
import math

import keras_tuner
import pytest

from kt_ext.oracles import SchedulerOracle
from kt_ext.oracles.constraints import Constraints
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import (
    LOSS,
    Workers,
    asha,
    decisions,
    hand_out,
    journal,
    killed,
    outcome,
    placed,
    small_space,
)

UNTRAINED = "infeasible by the constraints, so it was not trained: params=2000000 is not <= 1000000"
SLOW = {"val_latency_ms": 5.0}


def fifo(directory=None, name="project", trials=3, epochs=3, **changed):
    settings = {"objective": LOSS, "seed": 3, "hyperparameters": small_space(), **changed}
    return placed(SchedulerOracle(FIFO(trials, epochs), **settings), directory, name)


@pytest.mark.parametrize(
    ("metrics", "breaches"),
    [
        ({"a": 1.0, "b": 0.8, "c": 3.0}, []),
        ({"a": 1.5, "b": 0.5, "c": 3.5}, ["a=1.5 is not <= 1", "b=0.5 is not >= 0.8", "c=3.5 is not <= 3"]),
        ({"c": 1.5}, ["c=1.5 is not >= 2"]),
        ({"a": math.nan, "b": math.nan}, ["a=nan is not <= 1", "b=nan is not >= 0.8"]),
        ({"other": 9.0}, []),
    ],
)
def test_bounds(metrics, breaches):
    constraints = Constraints({"a": 1, "b": (0.8, None), "c": (2, 3)})
    assert constraints.names == ("a", "b", "c")
    assert constraints.breaches(metrics) == breaches
    assert constraints.to_json() == {"a": [None, 1.0], "b": [0.8, None], "c": [2.0, 3.0]}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (["params"], TypeError, r"^constraints=\['params'\]: must be a dictionary"),
        ({3: 1.0}, TypeError, "^constraints: 3 must be the name of a metric"),
        ({"a": "x"}, ValueError, r"^constraints\['a'\]='x': must be a finite upper bound, or a pair \(lower, upper\)"),
        ({"a": math.nan}, ValueError, r"^constraints\['a'\]=nan: "),
        ({"a": True}, ValueError, r"^constraints\['a'\]=True: "),
        ({"a": (None, None)}, ValueError, r"^constraints\['a'\]=\(None, None\): "),
        ({"a": (2, 1)}, ValueError, r"^constraints\['a'\]=\(2, 1\): the lower bound is above the upper; swap them"),
    ],
)
def test_wrong_bounds(given, error, message):
    with pytest.raises(error, match=message):
        asha(constraints=given)


def by_latency(trial, epoch):
    """Trial 0 is too slow from the first epoch on, trial 1 from the second, trial 2 never."""
    slow = {"0": 1, "1": 2}.get(trial.trial_id, 99) <= epoch
    return {"loss": 3.0 - int(trial.trial_id) / 9 - epoch, "val_latency_ms": 7.5 if slow else 5.0}


def test_an_epoch_that_breaks_a_bound_is_no_best(tmp_path):
    oracle = fifo(tmp_path, constraints=SLOW)
    Workers(oracle, by_latency).run()
    oracle.finish()
    told = [(e["trial"], e["epoch"], e["objective"]) for e in journal(tmp_path / "project") if e["e"] == "tell"]
    assert [objective for trial, _, objective in told if trial == 0] == [math.inf] * 3
    assert [math.isfinite(objective) for trial, _, objective in told if trial == 1] == [True, False, False]
    found = {i: (t.status, t.score, t.best_step) for i, t in oracle.trials.items()}
    assert found["0"] == ("COMPLETED", math.inf, 0)
    assert found["1"] == ("COMPLETED", pytest.approx(3 - 1 / 9 - 1), 1)
    assert found["2"] == ("COMPLETED", pytest.approx(3 - 2 / 9 - 3), 3)
    assert oracle.trials["0"].message == ("infeasible by the constraints, at epoch 3: val_latency_ms=7.5 is not <= 5")
    assert oracle.trials["1"].message is None
    assert [t.trial_id for t in oracle.get_best_trials(9)] == ["2", "1"]
    assert oracle.best == oracle.trials["2"].score
    stock = keras_tuner.oracles.RandomSearchOracle(objective=LOSS, max_trials=9)
    stock._set_project_dir(str(tmp_path), "project")
    stock.reload()
    assert [t.trial_id for t in stock.get_best_trials(9)] == ["2", "1", "0"]  # it knows of no bounds, and can sort them


def test_asha_goes_on_with_none_that_breaks_a_bound():
    oracle = asha(constraints=SLOW, objective=keras_tuner.Objective("accuracy", "max"))
    fast = {"3", "5", "7"}
    workers = Workers(
        oracle,
        lambda t, epoch: {"accuracy": 1 - int(t.trial_id) / 9, "val_latency_ms": 4.0 if t.trial_id in fast else 6.0},
    ).run()
    assert {trial for trial, epoch, _ in workers.reports if epoch > 1} <= fast
    assert oracle.get_best_trials()[0].trial_id == "3"
    assert oracle.trials["0"].score == -math.inf


def test_infeasible_trials_do_not_end_the_search_as_failures():
    oracle = fifo(trials=5, epochs=1, constraints=SLOW)
    Workers(oracle, lambda t, epoch: {"loss": 1.0, "val_latency_ms": 6.0}).run()
    assert oracle.stop_reason == "all 5 trials are done (max_trials=5)"
    assert {t.status for t in oracle.trials.values()} == {"COMPLETED"}
    assert oracle.get_best_trials(9) == []
    assert oracle.best == math.inf


def test_a_diverged_trial_has_failed_as_before():
    oracle = fifo(trials=1, constraints=SLOW)
    Workers(oracle, lambda t, epoch: {"loss": math.nan, "val_latency_ms": 1.0}).run()
    assert (oracle.trials["0"].status, oracle.trials["0"].score) == ("FAILED", None)


def test_a_metric_with_a_bound_must_be_reported():
    oracle = fifo(constraints={**SLOW, "params": 10})
    oracle.create_trial("tuner0")
    message = "^constraint 'val_latency_ms, params' is missing from the metrics of epoch 1 .found: loss.; name a metric"
    with pytest.raises(ValueError, match=message):
        oracle.update_trial("0", {"loss": 1.0}, step=1)
    with pytest.raises(ValueError, match=r"^objective 'loss' is missing"):
        oracle.update_trial("0", {"params": 1.0}, step=1)


def large_at_even_numbers(oracle, steps=99, worker="tuner0"):
    """Says the model's size before it trains, as a tuner does."""
    for _ in range(steps):
        trial = oracle.create_trial(worker)
        if trial.status == "STOPPED":
            return
        params, done = 1e3 if int(trial.trial_id) % 2 else 2e6, hand_out(trial).initial
        answer = trial if done else oracle.update_trial(trial.trial_id, {"params": params}, step=0)
        if answer.status != "STOPPED":
            for epoch in range(done + 1, 4):
                oracle.update_trial(trial.trial_id, {"loss": 1 / epoch, "params": params}, step=epoch)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)


def test_a_model_that_is_too_large_is_not_trained(tmp_path):
    oracle = fifo(tmp_path, trials=6, constraints={"params": 1e6})
    large_at_even_numbers(oracle)
    oracle.finish()
    assert oracle.search.history.total_epochs == 9
    large = [oracle.trials[i] for i in "024"]
    assert {(t.status, t.score, t.message) for t in large} == {("COMPLETED", math.inf, UNTRAINED)}
    assert [t.trial_id for t in oracle.get_best_trials(9)] == ["1", "3", "5"]
    assert {oracle.search.where[i] for i in range(6)} == {"done"}
    trial = json.loads((tmp_path / "project" / "trial_0" / "trial.json").read_text())
    assert (trial["status"], trial["message"]) == ("COMPLETED", UNTRAINED)


def test_epoch_0_is_refused_otherwise():
    oracle = fifo()
    oracle.create_trial("tuner0")
    with pytest.raises(ValueError, match=r"^step=0: must be the number of epochs"):
        oracle.update_trial("0", {"loss": 1.0}, step=0)
    oracle = fifo(constraints=SLOW)
    oracle.create_trial("tuner0")
    oracle.update_trial("0", {"loss": 1.0, "val_latency_ms": 1.0}, step=1)
    with pytest.raises(ValueError, match=r"^step=0: must be the number of epochs"):
        oracle.update_trial("0", {"loss": 1.0, "val_latency_ms": 9.0}, step=0)


@pytest.mark.parametrize("snapshot", [False, True])
def test_from_every_line_of_the_journal(tmp_path, snapshot):
    whole = fifo(tmp_path, "whole", trials=4, constraints={"params": 1e6})
    large_at_even_numbers(whole)
    whole.finish()
    for lines in range(1, len(journal(tmp_path / "whole"))):
        directory = killed(tmp_path / "whole", tmp_path / f"killed{lines}", lines)
        (directory / "snapshot.json").unlink()
        oracle = fifo(tmp_path, directory.name, trials=4, constraints={"params": 1e6})
        if snapshot:
            oracle.begin()
            oracle.finish()
        large_at_even_numbers(oracle)
        assert decisions(directory) == decisions(tmp_path / "whole")
        assert {i: t["message"] for i, t in outcome(oracle).items()} == {
            i: t["message"] for i, t in outcome(whole).items()
        }
        assert {i: (t.status, t.score) for i, t in oracle.trials.items()} == {
            i: (t.status, t.score) for i, t in whole.trials.items()
        }


def test_a_search_is_gone_on_with_under_the_same_bounds_only(tmp_path):
    Workers(fifo(tmp_path, constraints=SLOW), by_latency).run(5)
    oracle = fifo(tmp_path, constraints={"val_latency_ms": 6.0})
    (tmp_path / "project" / "kt_ext.lock").unlink()
    with pytest.raises(ValueError, match=r"constraint val_latency_ms: \[None, 5.0\] -> \[None, 6.0\]"):
        oracle.create_trial("tuner0")
    with pytest.raises(ValueError, match=r"constraint val_latency_ms: \[None, 5.0\] -> None"):
        fifo(tmp_path).reload()
