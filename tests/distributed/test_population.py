"""A population on Keras Tuner's own chief and two workers: states go from one member to another through the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distributed.test_chief_and_workers import STEPS_PER_EPOCH, Cluster
from distributed.user_script import tuner_of
from kt_ext.core import lineage
from kt_ext.core.lineage import Schedule

pytestmark = pytest.mark.slow

MEMBERS, EPOCHS, INTERVAL = 4, 8, 2


@pytest.fixture(scope="module")
def pbt(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return Cluster(tmp_path_factory.mktemp("pbt"), "pbt")


@pytest.fixture(scope="module")
def tuner(pbt: Cluster) -> Any:
    """The same script's, in this process."""
    return tuner_of("pbt", directory=str(pbt.directory), project_name="search")


def test_every_member_trains_every_epoch_once(pbt: Cluster) -> None:
    told = sorted((event["trial"], event["epoch"]) for event in pbt.events if event["e"] == "tell")
    assert told == [(member, epoch) for member in range(MEMBERS) for epoch in range(1, EPOCHS + 1)]
    assert sorted((note["trial"], note["epoch"]) for _, note in pbt.epochs) == told
    assert {name for name, _ in pbt.epochs} == {"worker0", "worker1"}
    assert {event["e"] for event in pbt.events} - {"given"} == {"search", "declare", "ask", "tell"}
    assert all("cannot take over" not in output and "Traceback" not in output for output in pbt.output.values())


def test_the_chief_finds_what_shapes_the_model(pbt: Cluster) -> None:
    assert [event["structural"] for event in pbt.events if event["e"] == "declare"] == [["units"]]
    assert "Building the model" in pbt.output["chief"]
    assert "Building the model" not in pbt.output["worker0"] + pbt.output["worker1"]


def test_states_come_from_members_that_another_worker_trained(pbt: Cluster, tuner: Any) -> None:
    worker = {(note["trial"], note["epoch"]): name for name, note in pbt.epochs}
    rows = tuner.lineage()
    assert [row.epoch for row in rows].count(INTERVAL) == 2
    assert len(rows) == 2 * 3
    moved = [row for row in rows if worker[int(row.donor), row.epoch] != worker[int(row.member), row.epoch + 1]]
    assert moved
    for row in rows:
        assert row.donor_score <= row.score
        assert row.new_values["units"] == row.donor_values["units"]
        assert row.new_values["rate"] != row.donor_values["rate"]
    for _, note in pbt.epochs:
        assert note["steps"] == note["epoch"] * STEPS_PER_EPOCH  # the optimizer's own count comes with the state


def test_every_step_used_the_rate_of_the_lineage(pbt: Cluster, tuner: Any) -> None:
    history = tuner.oracle.search.history
    changed = set()
    for notes in pbt.did.values():
        rates: dict[int, list[float]] = {}  # of the steps since the trial's last epoch
        for note in notes:
            if note["did"] == "step":
                rates.setdefault(note["trial"], []).append(note["rate"])
            elif note["did"] == "epoch":
                expected = history.values_at(note["trial"], note["epoch"])["rate"]
                assert rates.pop(note["trial"]) == pytest.approx([expected] * STEPS_PER_EPOCH, rel=1e-6)
                changed.add((note["trial"], expected))
    given = {(member, history.values_at(member, 1)["rate"]) for member in range(MEMBERS)}
    assert changed == given | {(int(row.member), row.new_values["rate"]) for row in tuner.lineage()}


def test_workers_see_the_schedule_of_the_best_trial(pbt: Cluster, tuner: Any) -> None:
    search = tuner.oracle.search
    seeds = {int(trial_id): t.hyperparameters.values["kt_ext/seed"] for trial_id, t in tuner.oracle.trials.items()}
    for notes in pbt.did.values():
        seen = [note for note in notes if note["did"] == "best"]
        assert seen
        for note in seen:
            schedule = Schedule.from_json(note["schedule"])
            assert schedule == lineage.schedule(search, note["trial"], schedule.epochs, seeds)


def test_the_best_members_checkpoint_alone_is_left_of_each(pbt: Cluster, tuner: Any) -> None:
    for member in range(MEMBERS):
        left = sorted(path.name for path in _trial(pbt.directory, member).glob("execution0/*"))
        best = tuner.oracle.trials[str(member)].best_step
        assert left == [f"epoch-{best:05d}.ckpt"]
        saved = json.loads((_trial(pbt.directory, member) / "trial.json").read_text())
        assert "kt_ext/schedule" in saved["hyperparameters"]["values"]
    score, loss = pbt.best()
    assert score == min(event["metrics"]["val_loss"] for event in pbt.events if event["e"] == "tell")
    assert loss == pytest.approx(score, abs=1e-5)


def _trial(directory: Path, member: int) -> Path:
    return directory / "search" / f"trial_{member}"
