"""Initial values, warm starts, Pareto ranks and constraints over a real chief: a worker is told all it must know."""

from __future__ import annotations

import keras_tuner
import pytest

from kt_ext.execution import Chief, ChiefClient
from kt_ext.oracles import SchedulerOracle
from kt_ext.oracles.hyperparameters import KEEP, own_values
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import LOSS, Workers, decisions, outcome, placed, small_space

TWO = [LOSS, keras_tuner.Objective("accuracy", "max")]


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    monkeypatch.setenv("KT_EXT_CHIEF_PATIENCE", "60")


def fifo(directory, name, **changed):
    settings = {"objective": LOSS, "seed": 3, "hyperparameters": small_space(), **changed}
    return placed(SchedulerOracle(FIFO(3, 3), **settings), directory, name)


def curve(trial, epoch):
    """Numbers that 32 bits hold exactly, and in the order of their names: the wire has no other."""
    number = int(trial.trial_id)
    return {"accuracy": number / 4 - epoch / 8, "loss": 4.0 - number / 4 + epoch / 8, "size": float(number)}


def over_grpc(oracle, steps=None):
    with Chief(oracle) as chief:
        client = ChiefClient(oracle, "tuner0", f"127.0.0.1:{chief.port}")
        try:
            Workers(client, curve).run(*(() if steps is None else (steps,)))
        finally:
            client.close()
    oracle.finish()


@pytest.mark.parametrize(
    "changed",
    [
        {"initial_values": [{"units": 7, "kind": "b"}, {"rate": 0.05}]},
        {"warm_start": "earlier", "warm_start_best": 2},
        {"objective": TWO, "multi_objective": "pareto"},
        {"constraints": {"size": 0.5}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_same_search_with_and_without_a_chief(tmp_path, changed):
    if "warm_start" in changed:
        earlier = fifo(tmp_path, "earlier", seed=5)
        Workers(earlier, curve).run()
        changed = {**changed, "warm_start": str(tmp_path / "earlier")}
    alone = fifo(tmp_path, "alone", **changed)
    Workers(alone, curve).run()
    served = fifo(tmp_path, "served", **changed)
    over_grpc(served, steps=5)
    again = fifo(tmp_path, "served", **changed)
    over_grpc(again)

    def same(found):
        steering = ("tuner/trial_id", "tuner/initial_epoch")
        values = {name: value for name, value in found["values"].items() if name not in steering}
        return {**found, "values": values}

    found, expected = outcome(again), outcome(alone)
    assert {i: same(each) for i, each in found.items()} == {i: same(each) for i, each in expected.items()}
    assert [e for e in decisions(tmp_path / "served") if e["e"] == "tell"] == [
        e for e in decisions(tmp_path / "alone") if e["e"] == "tell"
    ]
    assert [t.trial_id for t in again.get_best_trials(3)] == [t.trial_id for t in alone.get_best_trials(3)]


def test_what_a_worker_sees(tmp_path):
    oracle = fifo(
        tmp_path,
        "project",
        objective=TWO,
        multi_objective="pareto",
        constraints={"params": 1000},
        initial_values=[{"units": 7}],
    )
    with Chief(oracle) as chief:
        client = ChiefClient(oracle, "tuner0", f"127.0.0.1:{chief.port}")
        try:
            trial = client.create_trial("tuner0")
            assert own_values(trial.hyperparameters.values) == {"units": 7, "kind": "a", "rate": 1e-4}
            assert client.update_trial("0", {"params": 10.0}, step=0).status == "RUNNING"
            answer = client.update_trial("0", {**curve(trial, 1), "params": 10.0}, step=1)
            assert (answer.status, answer.hyperparameters.values[KEEP]) == ("RUNNING", "[1]")
            client.update_trial("0", {**curve(trial, 2), "params": 10.0}, step=2)
            client.update_trial("0", {**curve(trial, 3), "params": 10.0}, step=3)
            client.end_trial(trial)
            second = client.create_trial("tuner0")
            for _ in range(2):  # an answer that was lost is asked for again
                assert client.update_trial("1", {"params": 1001.0}, step=0).status == "STOPPED"
            client.end_trial(second)
            assert [trial.trial_id for trial in client.get_best_trials(1)] == ["0"]
        finally:
            client.close()
    assert oracle.search.history.total_epochs == 3
    assert oracle.trials["1"].message == (
        "infeasible by the constraints, so it was not trained: params=1001 is not <= 1000"
    )
    oracle.finish()
