"""What Hyperband, BOHB, Bayesian and the automatic oracle have in common, by way of Keras Tuner's calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import pytest

from kt_ext.core.space import Space
from kt_ext.oracles import AutoOracle, BayesianOracle, BOHBOracle, HyperbandOracle, SchedulerOracle
from kt_ext.oracles.hyperparameters import INITIAL_EPOCH, TRIAL_ID, own_values
from kt_ext.searchers import ForestSearcher, GPSearcher
from oracles.oracle_driving import (
    LOSS,
    Workers,
    branching_space,
    by_values,
    decisions,
    journal,
    killed,
    outcome,
    placed,
    small_space,
    without_waiting_for_the_disk,
)

#: Class and arguments; every searcher is past its start when the search ends.
ORACLES: dict[str, tuple[type[SchedulerOracle], dict[str, Any]]] = {
    "hyperband": (HyperbandOracle, {"max_epochs": 9}),
    "hyperband, learned, stopping": (
        HyperbandOracle,
        {"max_epochs": 4, "factor": 2, "max_trials": 20, "variant": "stopping", "bracket_choice": "learned"},
    ),
    "bohb": (BOHBOracle, {"max_epochs": 9, "max_trials": 24}),
    "bayesian, gp": (BayesianOracle, {"max_epochs": 2, "max_trials": 14}),
    "bayesian, forest": (BayesianOracle, {"max_epochs": 2, "max_trials": 10, "searcher": "forest"}),
    "auto": (AutoOracle, {"max_epochs": 9, "max_trials": 16}),
}
SMALL_FOREST = ForestSearcher(8, n_trees=10, random_share=0, n_candidates=100, n_steps=2)
Make = Callable[..., Any]


@pytest.fixture(params=ORACLES)
def make(request) -> Make:
    """From a directory (or None), a project's name and arguments to an oracle, silent, with seed 3."""
    oracle_class, arguments = ORACLES[request.param]

    def made(directory: Path | None = None, name: str = "project", **changed: Any) -> SchedulerOracle:
        settings = {"objective": LOSS, "seed": 3, "hyperparameters": branching_space(), **arguments, **changed}
        return placed(oracle_class(**settings), directory, name)

    return made


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    with without_waiting_for_the_disk(monkeypatch):
        yield


def found(oracle: SchedulerOracle) -> dict[str, Any]:
    """What a search found, without where the last segment began: an interrupted one goes on from its own state."""
    everything = outcome(oracle)
    for trial in everything.values():
        trial["values"] = {k: v for k, v in trial["values"].items() if k not in (INITIAL_EPOCH, TRIAL_ID)}
    return everything


def proposals(oracle: SchedulerOracle) -> list[dict[str, Any]]:
    return [oracle.search.history.values(number) for number in oracle.search.history.ids]


@pytest.mark.parametrize(("count", "wire"), [(1, False), (4, True)])
def test_a_whole_search(make, count, wire):
    oracle = make()
    assert type(oracle.max_trials) is int
    workers = Workers(oracle, by_values, count, wire).run()
    assert len(oracle.trials) == oracle.max_trials
    assert oracle.stop_reason == f"all {oracle.max_trials} trials are done (max_trials={oracle.max_trials})"
    assert (oracle.tuner_ids, oracle.ongoing_trials) == (set(), {})
    assert len({report[:2] for report in workers.reports}) == len(workers.reports)  # no epoch twice
    for values in proposals(oracle):
        oracle.space.validate(values)
    assert oracle.get_best_trials(1)[0].score == oracle.best < float("inf")
    assert oracle.trials[f"{4:0{len(str(oracle.max_trials))}d}"].score != oracle.best  # it diverged


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("epochs", [1, 5, 18])
def test_the_budget_is_never_exceeded(make, request, epochs, count):
    is_auto = request.node.callspec.params["make"] == "auto"
    limit = "budget" if is_auto else "max_total_epochs"
    oracle = make(**{limit: epochs})
    workers = Workers(oracle, by_values, count).run()
    assert oracle.search.history.total_epochs == len(workers.reports) == epochs
    assert oracle.stop_reason == f"{limit}={epochs} reached"


@pytest.mark.parametrize("snapshot", [False, True])
def test_goes_on_with_the_decisions_of_the_unbroken_search(make, tmp_path, snapshot):
    """Killed early, and where the searcher's model has taken over."""
    unbroken = make(tmp_path, "unbroken")
    Workers(unbroken, by_values).run()
    total = len(journal(tmp_path / "unbroken"))
    for lines in (1, total // 3, total // 2, total - 9, total - 1):
        first = make(tmp_path, f"first{lines}")
        workers = Workers(first, by_values)
        while len(journal(tmp_path / f"first{lines}")) < lines:
            workers.step()
        if snapshot:
            first.save()
        directory = killed(tmp_path / f"first{lines}", tmp_path / f"second{lines}")
        if not snapshot:
            (directory / "snapshot.json").unlink(missing_ok=True)
        on_record = {(event["trial"], event["epoch"]) for event in journal(directory) if event["e"] == "tell"}
        second = make(tmp_path, f"second{lines}")
        workers = Workers(second, by_values).run()
        assert {(int(trial), epoch) for trial, epoch, _ in workers.reports} & on_record == set()
        assert decisions(directory) == decisions(tmp_path / "unbroken")
        assert found(second) == found(unbroken)
        assert second.stop_reason == unbroken.stop_reason


def test_killed_with_four_workers(make, tmp_path):
    first = make(tmp_path, "first")
    Workers(first, by_values, 4).run(steps=60)
    on_record = {(e["trial"], e["epoch"]) for e in journal(tmp_path / "first") if e["e"] == "tell"}
    killed(tmp_path / "first", tmp_path / "second")
    second = make(tmp_path, "second")
    workers = Workers(second, by_values, 4).run()
    reports = [(int(trial), epoch) for trial, epoch, _ in workers.reports]
    assert len(on_record | set(reports)) == len(on_record) + len(reports)
    assert len(second.trials) == second.max_trials
    assert (second.tuner_ids, second.ongoing_trials, second.search.running) == (set(), {}, 0)


def test_more_trials_go_on_as_if_it_had_been_so_from_the_start(make, tmp_path):
    few = make(tmp_path, "few", max_trials=8)
    Workers(few, by_values).run()
    few.finish()
    more = make(tmp_path, "few", max_trials=12)
    Workers(more, by_values).run()
    assert len(more.trials) == 12
    known = proposals(few)
    assert proposals(more)[:8] == known


def test_states_are_json(make, tmp_path):
    oracle = make(tmp_path)
    Workers(oracle, by_values).run()
    state = oracle.get_state()
    assert json.loads(json.dumps(state, allow_nan=False)) == state
    search = json.loads(json.dumps(oracle.search.state()))
    oracle.finish()
    again = make(tmp_path)
    again.reload()
    assert json.loads(json.dumps(again.search.state())) == search
    assert outcome(again) == outcome(oracle)


def test_seeds(make):
    def searched(seed: Any) -> SchedulerOracle:
        oracle = make(seed=seed)
        Workers(oracle, by_values).run()
        return oracle

    of_0, again, numpy_0, of_1 = (searched(seed) for seed in (0, 0, np.int64(0), 1))
    assert of_0.seed == 0
    assert outcome(of_0) == outcome(again) == outcome(numpy_0)
    assert all(one != other for one, other in zip(proposals(of_0), proposals(of_1), strict=False))


def registers_late(trial: Any, epoch: int) -> dict[str, float]:
    """As HyperModel.fit does, from the seventh trial on: one that nobody knew, and one that depends on another."""
    hp = trial.hyperparameters
    if int(trial.trial_id) >= 6:
        hp.Float("late", 0.0, 1.0, default=0.5)
        with hp.conditional_scope("kind", ["a"]):
            hp.Int("only_a", 1, 9)
    return by_values(trial, epoch)


@pytest.mark.parametrize("wire", [False, True])
def test_a_space_that_grows(make, tmp_path, wire):
    oracle = make(tmp_path, "whole", hyperparameters=small_space())
    Workers(oracle, registers_late, wire=wire).run()
    assert sorted(hp.name for hp in oracle.get_space().space) == ["kind", "late", "only_a", "rate", "units"]
    own = [own_values(oracle.trials[trial_id].hyperparameters.values) for trial_id in oracle.start_order]
    assert own == proposals(oracle)
    for values in own[6:]:
        Space(oracle.space.parameters).validate(values)
        assert ("only_a" in values) == (values["kind"] == "a")
    assert own[6]["late"] == 0.5  # the default
    assert len({values["late"] for values in own[7:]}) == len(own) - 7  # proposed

    killed(tmp_path / "whole", tmp_path / "second", len(journal(tmp_path / "whole")) - 7)
    (tmp_path / "second" / "snapshot.json").unlink(missing_ok=True)
    second = make(tmp_path, "second", hyperparameters=small_space())
    Workers(second, registers_late, wire=wire).run()
    assert proposals(second) == own


def of_three() -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    hp.Int("units", 1, 3)
    return hp


@pytest.mark.parametrize("count", [1, 4])
def test_a_space_that_is_smaller_than_max_trials(make, count):
    oracle = make(hyperparameters=of_three())
    Workers(oracle, by_values, count).run()
    assert sorted(values["units"] for values in proposals(oracle)) == [1, 2, 3]
    assert oracle.stop_reason == "the search space is exhausted: 3 trials tried every configuration"


def test_every_objective_is_nan(make):
    """Nothing hangs, and no number is made up."""
    oracle = make()
    Workers(oracle, lambda trial, epoch: {"loss": float("nan")}, 2).run()
    assert len(oracle.trials) >= 2
    assert oracle.best == float("inf")
    assert oracle.search.running == 0


def by_loss(trial: Any, epoch: int) -> dict[str, float]:
    return {"loss": abs(trial.hyperparameters.values["units"] - 80) / 100 + 0.1 / epoch}


@pytest.mark.parametrize(
    ("oracle_class", "arguments", "start"),
    [
        (BOHBOracle, {"max_epochs": 4, "factor": 2, "max_trials": 40}, 20),
        (BayesianOracle, {"max_epochs": 1, "max_trials": 24, "searcher": GPSearcher(n_startup=8)}, 8),
        (BayesianOracle, {"max_epochs": 1, "max_trials": 24, "searcher": SMALL_FOREST}, 8),
        (AutoOracle, {"max_epochs": 4, "max_trials": 24}, 10),
    ],
    ids=["bohb", "gp", "forest", "auto"],
)
def test_learns_where_the_best_values_are(oracle_class, arguments, start):
    """With 2 workers; and as well where the objective is to be maximised."""
    for objective, sign in ((LOSS, 1), (keras_tuner.Objective("loss", "max"), -1)):
        oracle = placed(oracle_class(objective, seed=0, hyperparameters=small_space(), **arguments), None)
        Workers(oracle, lambda trial, epoch, sign=sign: {"loss": sign * by_loss(trial, epoch)["loss"]}, 2).run()
        away = [abs(values["units"] - 80) for values in proposals(oracle)]
        assert np.mean(away[start:]) < np.mean(away[:start]) / 2
        assert min(away) <= 3
