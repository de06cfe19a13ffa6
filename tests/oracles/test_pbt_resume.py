"""Wherever a population's search is killed, it goes on with the same members, exploits and values."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from oracles.oracle_driving import branching_space, decisions, journal, killed, without_waiting_for_the_disk
from oracles.population_driving import Population, assert_lineage_is_what_was_trained, pbt, values_of

STRUCTURAL = ["kind"]


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    with without_waiting_for_the_disk(monkeypatch):
        yield


def begun(directory, name, **changed):
    """A new oracle that has been told which hyperparameters shape the model, or knows it from its journal."""
    oracle = pbt(directory, name, **changed)
    oracle.reload()
    if not oracle.declared:
        oracle.declare(STRUCTURAL)
    return oracle


def unbroken_search(tmp_path, **changed):
    oracle = begun(tmp_path, "unbroken", **changed)
    oracle.changed = changed
    population = Population(oracle).run()
    assert oracle.search.history.total_epochs == 5 * 7
    assert len(oracle.search.takeovers) >= 2
    return oracle, population, tmp_path / "unbroken"


def lineage(oracle):
    return [(takeover.trial_id, takeover.epoch, member) for member, takeover in oracle.search.takeovers]


def assert_goes_on(unbroken, before, project, directory, late=False):
    """A new oracle on ``directory`` ends where the unbroken search ended, and trains no epoch that is on the disk."""
    lines = len(journal(directory))
    on_record = {(event["trial"], event["epoch"]) for event in journal(directory) if event["e"] == "tell"}
    disk = before.disk_at(lines, late)
    saved = {(member, epoch) for member, own in disk.items() for epoch in range(1, max(own) + 1)}
    oracle = begun(directory.parent, directory.name, **unbroken.changed)
    population = Population(oracle, disk=disk).run()
    assert set(population.reports) & on_record == set()
    assert {(member, len(state)) for member, state in population.trained} & saved == set()
    assert decisions(directory) == decisions(project)
    assert lineage(oracle) == lineage(unbroken)
    assert values_of(oracle) == values_of(unbroken)
    assert (oracle.best, oracle.end_order) == (unbroken.best, unbroken.end_order)
    assert (oracle.tuner_ids, oracle.ongoing_trials) == (set(), {})
    assert [event["e"] for event in journal(directory)].count("declare") == 1
    assert_lineage_is_what_was_trained(oracle, population)
    assert str(population.disk) == str(before.disk)  # text, since NaN is not equal to itself


@pytest.mark.parametrize("late", [False, True], ids=["at once", "after the next checkpoints"])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"exploit": "tournament", "hyperparameters": branching_space},
        {"exploit": "ttest", "perturbation_interval": 1, "burn_in": 3},
    ],
    ids=["truncation", "tournament-branching", "ttest"],
)
def test_from_every_line_of_the_journal(tmp_path, changed, late):
    if "hyperparameters" in changed:
        changed = {**changed, "hyperparameters": changed["hyperparameters"]()}
    unbroken, before, project = unbroken_search(tmp_path, **changed)
    assert_lineage_is_what_was_trained(unbroken, before)
    for lines in range(len(journal(project)) + 1):
        directory = killed(project, tmp_path / f"killed{lines}", lines, torn=late)
        (directory / "snapshot.json").unlink(missing_ok=True)
        assert_goes_on(unbroken, before, project, directory, late)


@pytest.mark.parametrize("kind", ["older", "newer"])
@pytest.mark.slow
def test_with_snapshots_from_other_moments(tmp_path, kind):
    unbroken = begun(tmp_path, "unbroken")
    unbroken.changed = {}
    project = tmp_path / "unbroken"
    snapshots = {}
    before = Population(unbroken)
    while before.step():
        unbroken.save()
        snapshots[unbroken.files.lines] = (project / "snapshot.json").read_bytes()
    total = len(journal(project))
    for lines in range(3, total + 1):
        directory = killed(project, tmp_path / f"{kind}{lines}", lines)
        of_kind = [at for at in snapshots if (at <= lines) == (kind == "older")]
        for at in {*of_kind[::15], *(of_kind[-1:] if kind == "older" else of_kind[:1])}:
            copy = shutil.copytree(directory, tmp_path / f"{kind}{lines}-{at}")
            (copy / "snapshot.json").write_bytes(snapshots[at])
            assert_goes_on(unbroken, before, project, copy)


def test_a_snapshot_holds_everything(tmp_path):
    unbroken, _, project = unbroken_search(tmp_path)
    unbroken.save()
    state = json.loads(json.dumps(unbroken.search.state()))
    killed(project, tmp_path / "copy")
    oracle = pbt(tmp_path, "copy")
    oracle.reload()
    assert json.loads(json.dumps(oracle.search.state())) == state
    assert values_of(oracle) == values_of(unbroken)
    assert oracle.declared


@pytest.mark.parametrize("synchronous", [True, False, "auto"])
@pytest.mark.parametrize("counts", [(3, 3), (2, 4), (4, 1)])
def test_with_another_number_of_workers(tmp_path, counts, synchronous):
    first = begun(tmp_path, "first", synchronous=synchronous)
    before = Population(first, counts[0], order=np.random.default_rng(counts[1])).run()
    for lines in range(3, len(journal(tmp_path / "first")), 3):
        directory = killed(tmp_path / "first", tmp_path / f"killed{lines}", lines)
        (directory / "snapshot.json").unlink(missing_ok=True)
        on_record = [(event["trial"], event["epoch"]) for event in journal(directory) if event["e"] == "tell"]
        oracle = begun(tmp_path, f"killed{lines}", synchronous=synchronous)
        population = Population(oracle, counts[1], disk=before.disk_at(lines, late=False)).run()
        every_epoch_once = [(member, epoch) for member in range(5) for epoch in range(1, 8)]
        assert sorted(on_record + population.reports) == every_epoch_once
        assert_lineage_is_what_was_trained(oracle, population)
        assert (oracle.tuner_ids, oracle.ongoing_trials, oracle.search.running) == (set(), {}, 0)


def test_killed_again_and_again(tmp_path):
    unbroken, before, project = unbroken_search(tmp_path)
    disk = None
    for turn in range(200):
        oracle = begun(tmp_path, f"life{turn}")
        population = Population(oracle, disk=disk)
        if not all([population.step() for _ in range(5)]):
            break
        disk = population.disk
        killed(tmp_path / f"life{turn}", tmp_path / f"life{turn + 1}")
    assert turn > 10
    assert decisions(tmp_path / f"life{turn}") == decisions(project)
    assert values_of(oracle) == values_of(unbroken)
    assert str(population.disk) == str(before.disk)


@pytest.mark.parametrize("population_size, max_epochs", [(40, 12), (10, 48)])
def test_an_event_takes_as_much_of_the_journal_however_many_there_were(tmp_path, population_size, max_epochs):
    oracle = begun(tmp_path, "long", population_size=population_size, max_epochs=max_epochs)
    Population(oracle).run()
    lines = (tmp_path / "long" / "journal.jsonl").read_bytes().splitlines()
    members, boundaries = population_size, max_epochs // 2 - 1
    tells, asks = members * max_epochs, members * (1 + boundaries)
    assert tells <= len(lines) - 2 <= tells + asks  # after the header and the declaration
    assert {event["e"] for event in journal(tmp_path / "long")[2:]} == {"ask", "tell"}
    assert max(map(len, lines[2:])) < 400
    half = len(lines) // 2
    assert sum(map(len, lines[half:])) < 1.1 * sum(map(len, lines[2 : half + 2]))
