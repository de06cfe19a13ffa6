"""What an oracle tells the workers of a population to keep, take over and train is what its lineage says."""

from __future__ import annotations

import numpy as np
import pytest

from oracles.oracle_driving import journal, without_waiting_for_the_disk
from oracles.population_driving import Population, assert_lineage_is_what_was_trained, pbt

SEEDS = range(8)


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    with without_waiting_for_the_disk(monkeypatch):
        yield


def takeovers(oracle):
    return sorted((member, donor.trial_id, donor.epoch) for member, donor in oracle.search.takeovers)


@pytest.mark.parametrize("synchronous", [True, False, "auto"])
@pytest.mark.parametrize("wire", [False, True])
@pytest.mark.parametrize("size", [2, 3, 5, 8])
def test_what_is_taken_over_was_kept(tmp_path, synchronous, wire, size):
    count = 0
    for seed in SEEDS:
        oracle = pbt(tmp_path, f"seed{seed}", population_size=size, max_epochs=9, synchronous=synchronous)
        oracle.declare(["kind"])
        population = Population(oracle, 3, wire, np.random.default_rng(seed) if seed else None).run()
        assert sorted(population.reports) == [(m, e) for m in range(size) for e in range(1, 10)]
        assert sorted(population.taken_over) == takeovers(oracle)
        count += len(population.taken_over)
        assert_lineage_is_what_was_trained(oracle, population)
        events = {event["e"] for event in journal(tmp_path / f"seed{seed}")} - {"given"}
        assert events == {"search", "declare", "ask", "tell"}
        assert all(len(own) == 1 for own in population.disk.values())  # of each the best alone is left
    assert count >= 4


@pytest.mark.parametrize("synchronous", [True, False, "auto"])
def test_with_members_that_crash(tmp_path, synchronous):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        oracle = pbt(
            tmp_path, f"seed{seed}", max_epochs=9, synchronous=synchronous,
            max_retries_per_trial=1, max_consecutive_failed_trials=99,
        )  # fmt: skip
        oracle.declare(["kind"])
        population = Population(oracle, 3, order=rng, crash=lambda m, e, rng=rng: rng.random() < 0.1).run()
        assert_lineage_is_what_was_trained(oracle, population)
        assert {"FAILED", "COMPLETED"} >= {trial.status for trial in oracle.trials.values()}
        assert oracle.search.running == 0
        assert [oracle.kept_epochs(trial_id) for trial_id in oracle.trials] == [set()] * 5


def test_values_given_while_the_last_worker_has_not_let_go(tmp_path):
    oracle = pbt(tmp_path, population_size=2, quantile_fraction=0.5, max_epochs=6, synchronous=True)
    oracle.declare([])
    loser, winner = oracle.create_trial("a"), oracle.create_trial("b")
    assert oracle.create_trial("c").status == "IDLE"
    for trial, loss in ((loser, 9.0), (winner, 1.0)):
        for epoch in (1, 2):
            answer = oracle.update_trial(trial.trial_id, {"loss": loss}, step=epoch)
    assert answer.status == "RUNNING"
    assert oracle.create_trial("c").status == "IDLE"  # the loser is decided, and still with its worker
    decided = journal(tmp_path / "project")[-1]
    assert (decided["trial"], decided["restore"]) == (0, [1, 2])
    loser.status = "COMPLETED"
    oracle.end_trial(loser)
    again = oracle.create_trial("c")
    assert again.trial_id == "0"
    assert decided["values"].items() <= again.hyperparameters.values.items()
    assert oracle.search.history.values(0) == decided["values"]
    assert decided["worker"] is None
    assert journal(tmp_path / "project")[-2:] == [decided, {"e": "given", "trial": 0, "worker": "c"}]
