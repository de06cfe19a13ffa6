"""BOHB on Keras Tuner's own chief and two workers: the model is the chief's alone."""

from __future__ import annotations

from typing import Any

import pytest

from distributed.test_chief_and_workers import Cluster, replayed
from distributed.user_script import tuner_of
from kt_ext.schedulers import Hyperband

pytestmark = pytest.mark.nightly
TRIALS = 16


@pytest.fixture(scope="module")
def bohb(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return Cluster(tmp_path_factory.mktemp("bohb"), "bohb")


def test_the_chief_decided_by_hyperband(bohb: Cluster) -> None:
    search = replayed(bohb.events, Hyperband(4, factor=2, max_trials=TRIALS))
    assert (len(search.history), search.running) == (TRIALS, 0)
    told = [(event["trial"], event["epoch"]) for event in bohb.events if event["e"] == "tell"]
    assert sorted((note["trial"], note["epoch"]) for _, note in bohb.epochs) == sorted(told)
    assert len(set(told)) == len(told)
    assert {name for name, _ in bohb.epochs} == {"worker0", "worker1"}
    assert f"Search ended: all {TRIALS} trials are done" in bohb.output["chief"]
    assert all("Traceback" not in output for output in bohb.output.values())


def test_values_are_the_spaces_and_none_is_tried_twice(bohb: Cluster) -> None:
    tuner: Any = tuner_of("bohb", directory=str(bohb.directory), project_name="search")
    proposed = [event["values"] for event in bohb.events if "values" in event]
    for values in proposed:
        tuner.oracle.space.validate(values)
    assert len({frozenset(values.items()) for values in proposed}) == len(proposed) == TRIALS


def test_the_best_model_is_there_for_a_process_on_its_own(bohb: Cluster) -> None:
    score, loss = bohb.best()
    assert score == min(event["metrics"]["val_loss"] for event in bohb.events if event["e"] == "tell")
    assert loss == pytest.approx(score, abs=1e-5)
