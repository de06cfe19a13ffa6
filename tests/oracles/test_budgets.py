"""A search ends at its budget, never beyond, and goes on from there when it is given more."""

from __future__ import annotations

import math
from types import SimpleNamespace

import keras_tuner
import pytest

from kt_ext.oracles import SchedulerOracle
from kt_ext.oracles.budget import Budget
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import (
    Workers,
    asha,
    by_values,
    decisions,
    outcome,
    placed,
    small_space,
    without_waiting_for_the_disk,
)


@pytest.mark.parametrize("count", [1, 2, 4, 7])
@pytest.mark.parametrize("epochs", [1, 2, 5, 10, 20])
def test_total_epochs_are_exact(epochs, count):
    oracle = asha(max_total_epochs=epochs, max_trials=27)
    workers = Workers(oracle, by_values, count).run()
    assert oracle.search.history.total_epochs == len(workers.reports) == epochs
    assert oracle.stop_reason == f"max_total_epochs={epochs} reached"
    assert (oracle.tuner_ids, oracle.ongoing_trials) == (set(), {})


def test_a_worker_restarted_after_the_budget_was_reached_trains_no_more():
    oracle = asha(variant="stopping", max_total_epochs=1)
    oracle.create_trial("tuner0")
    assert oracle.update_trial("0", {"loss": 1.0}, step=1).status == "STOPPED"
    assert oracle.create_trial("tuner0").status == "STOPPED"
    assert oracle.ongoing_trials == {}


@pytest.mark.parametrize(("direction", "target", "sign"), [("min", 0.3, 1), ("max", -0.3, -1)])
@pytest.mark.parametrize("count", [1, 4])
def test_target(direction, target, sign, count):
    objective, space = keras_tuner.Objective("m", direction), small_space()
    oracle = SchedulerOracle(FIFO(50, 3), "random", objective, target=target, seed=0, hyperparameters=space)
    placed(oracle, None)
    workers = Workers(oracle, lambda t, epoch: {"m": sign * (1.0 - int(t.trial_id) / 10 - 0.01 * epoch)}, count).run()
    first = next(i for i, (t, epoch, _) in enumerate(workers.reports) if 1.0 - int(t) / 10 - 0.01 * epoch <= 0.3)
    assert workers.reports[first][2] == "STOPPED"
    assert all(status == "STOPPED" for _, _, status in workers.reports[first:])  # each at its next report
    assert len(workers.reports) - first <= count
    best = -oracle.best if direction == "max" else oracle.best
    assert oracle.stop_reason == f"target={target:g} reached with {best:g}"


@pytest.mark.parametrize("on_disk", [False, True])
def test_seconds(tmp_path, monkeypatch, on_disk):
    now = [1000.0]
    monkeypatch.setattr("kt_ext.oracles.clock.time", SimpleNamespace(monotonic=lambda: now[0]))

    def curve(trial, epoch):
        now[0] += 2.0
        return by_values(trial, epoch)

    oracle = asha(tmp_path if on_disk else None, max_seconds=9)
    workers = Workers(oracle, curve).run()
    assert len(workers.reports) == 5  # the fifth report comes after ten seconds
    assert oracle.stop_reason == "max_seconds=9 reached"
    oracle.finish()
    now[0] += 1e6  # a pause between sessions does not count
    assert oracle.clock.seconds == 10.0
    if on_disk:
        oracle = asha(tmp_path, max_seconds=13)
        workers = Workers(oracle, curve).run()
        assert len(workers.reports) == 2
        assert oracle.stop_reason == "max_seconds=13 reached"


@pytest.mark.parametrize("variant", ["promotion", "stopping"])
def test_going_on_with_a_larger_budget_decides_as_if_it_had_been_there(tmp_path, monkeypatch, variant):
    with without_waiting_for_the_disk(monkeypatch):
        whole = asha(tmp_path, "whole", max_total_epochs=20, variant=variant)
        Workers(whole, by_values).run()
        assert whole.search.history.total_epochs == 20
        for epochs in range(1, 20):
            name = f"first{epochs}"
            first = asha(tmp_path, name, max_total_epochs=epochs, variant=variant)
            Workers(first, by_values).run()
            interrupted = [number for number, where in first.search.where.items() if where == "queued"]
            first.finish()
            second = asha(tmp_path, name, max_total_epochs=20, variant=variant)
            workers = Workers(second, by_values).run()
            if interrupted:
                assert int(workers.handed_out[0].trial_id) == interrupted[0]
            assert len(workers.reports) == 20 - epochs
            assert decisions(tmp_path / name) == decisions(tmp_path / "whole")
            assert own_outcome(second) == own_outcome(whole)


def own_outcome(oracle):
    """Without the steering values: an interrupted segment goes on from another epoch."""
    return {trial_id: found | {"values": None} for trial_id, found in outcome(oracle).items()}


def test_budget_is_validated():
    for value in (0, -1, 1.5, True, "9"):
        with pytest.raises(ValueError, match=rf"^max_total_epochs={value!r}: must be an integer >= 1"):
            Budget(max_total_epochs=value)
    for value in (0, -1.0, True, math.nan, "9"):
        with pytest.raises(ValueError, match=rf"^max_seconds={value!r}: must be a number > 0"):
            Budget(max_seconds=value)
    for value in (math.nan, math.inf, True, "9"):
        with pytest.raises(ValueError, match=rf"^target={value!r}: must be a finite value"):
            Budget(target=value)
