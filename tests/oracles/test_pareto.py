"""Several objectives by domination: what the scheduler sees, who is on the front, and that it survives a kill."""

from __future__ import annotations

import math

import keras_tuner
import pytest

from kt_ext.oracles import SchedulerOracle
from kt_ext.oracles.hyperparameters import KEEP
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import (
    LOSS,
    Workers,
    asha,
    decisions,
    journal,
    killed,
    outcome,
    placed,
    small_space,
    without_waiting_for_the_disk,
)

TWO = [LOSS, keras_tuner.Objective("accuracy", "max")]


def fifo(directory=None, name="project", trials=4, epochs=3, **changed):
    settings = {"objective": TWO, "multi_objective": "pareto", "seed": 3, "hyperparameters": small_space(), **changed}
    return placed(SchedulerOracle(FIFO(trials, epochs), **settings), directory, name)


# (loss, accuracy) of four trials at epochs 1, 2, 3
CURVES = {
    "0": [(3.0, 0.3), (2.0, 0.5), (1.0, 0.6)],  # its last epoch dominates its others
    "1": [(2.0, 0.4), (2.5, 0.7), (9.0, 0.1)],  # its first two do not dominate each other
    "2": [(4.0, 0.2), (3.0, 0.3), (2.0, 0.5)],  # dominated by trial 0
    "3": [(5.0, 0.1), (math.nan, 0.99), (4.0, 0.9)],  # best accuracy, but for an epoch that diverged
}


def by_curves(trial, epoch):
    loss, accuracy = CURVES[trial.trial_id][epoch - 1]
    return {"loss": loss, "accuracy": accuracy}


def test_ranks_and_front(tmp_path):
    oracle = fifo(tmp_path)
    Workers(oracle, by_curves).run()
    oracle.finish()
    told = {(e["trial"], e["epoch"]): e["objective"] for e in journal(tmp_path / "project") if e["e"] == "tell"}
    assert [told[number, 1] for number in range(4)] == [1 / 2, 1 / 3, 3 / 4, 4 / 5]
    assert [told[number, 2] for number in range(4)] == [1 / 2, 1 / 3, 3 / 4, math.inf]
    assert [told[number, 3] for number in range(4)] == [1 / 2, 2 / 3, 2 / 4, 1 / 5]
    assert {i: (t.status, t.best_step, t.score) for i, t in oracle.trials.items()} == {
        "0": ("COMPLETED", 3, 1 / 2),
        "1": ("COMPLETED", 1, 1 / 3),  # its second epoch ranks no better
        "2": ("COMPLETED", 3, 2 / 4),
        "3": ("COMPLETED", 3, 1 / 5),
    }
    assert [t.trial_id for t in oracle.pareto_front()] == ["3", "0"]
    assert [t.trial_id for t in oracle.get_best_trials(9)] == ["3", "0", "2", "1"]
    metrics = oracle.trials["1"].metrics.metrics["multi_objective"].get_history()
    assert [o.value for o in metrics] == [[1 / 3], [1 / 3], [2 / 3]]


def test_trial_1_is_judged_by_its_first_epoch():
    oracle = fifo()
    Workers(oracle, by_curves).run()
    assert oracle.ranks.judged(1).point == (2.0, -0.4)
    assert oracle.ranks.dominators(range(4)) == {0: 0, 1: 2, 2: 1, 3: 0}


def test_workers_are_told_to_keep_the_checkpoint_of_the_epoch_that_a_trial_is_judged_by():
    kept = {}

    def looking(trial, epoch):
        kept[trial.trial_id, epoch] = trial.hyperparameters.values.get(KEEP)
        return by_curves(trial, epoch)

    Workers(fifo(), looking).run()
    # what stands there when an epoch begins
    assert [kept["0", epoch] for epoch in (1, 2, 3)] == [None, "[1]", "[2]"]
    assert [kept["1", epoch] for epoch in (1, 2, 3)] == [None, "[1]", "[1]"]


def test_an_epoch_that_breaks_a_bound_is_on_no_front():
    oracle = fifo(constraints={"accuracy": (0.25, None), "loss": 3.5})
    Workers(oracle, by_curves).run()
    assert [t.trial_id for t in oracle.pareto_front()] == ["0"]
    assert oracle.trials["3"].message == "infeasible by the constraints, at epoch 3: loss=4 is not <= 3.5"


def test_the_sum_is_the_default():
    oracle = fifo(multi_objective="sum")
    Workers(oracle, by_curves).run()
    assert oracle.trials["0"].score == pytest.approx(0.4)
    with pytest.raises(ValueError, match=r"^multi_objective='sum': .* has no Pareto front; give a list of objectives"):
        oracle.pareto_front()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"multi_objective": "product"}, "^multi_objective='product': must be 'sum' or 'pareto'"),
        ({"objective": LOSS}, "^multi_objective='pareto' with .*loss.*: needs a list of objectives"),
        ({"target": 1.0}, "^target=1.0: several objectives have no one value to reach"),
    ],
)
def test_wrong_arguments(changed, message):
    with pytest.raises(ValueError, match=message):
        fifo(**changed)


def small_or_good(trial, epoch):
    units = trial.hyperparameters.values["units"]
    return {"loss": units / 10 + 1 / epoch, "accuracy": (units % 10) / 10 + epoch / 100}


@pytest.mark.parametrize("variant", ["promotion", "stopping"])
def test_a_killed_search_goes_on_with_the_same_ranks(tmp_path, monkeypatch, variant):
    settings = {"objective": TWO, "multi_objective": "pareto", "variant": variant}
    with without_waiting_for_the_disk(monkeypatch):
        whole = asha(tmp_path, "whole", **settings)
        Workers(whole, small_or_good).run()
        whole.finish()
        assert len({t.score for t in whole.trials.values()}) > 2
        for lines in range(2, len(journal(tmp_path / "whole")), 3):
            directory = killed(tmp_path / "whole", tmp_path / f"killed{lines}", lines)
            (directory / "snapshot.json").unlink()
            first = asha(tmp_path, directory.name, **settings)
            Workers(first, small_or_good).run(steps=4)
            first.save()  # from here on a snapshot tells what was before
            again = asha(tmp_path, killed(directory, tmp_path / f"again{lines}").name, **settings)
            Workers(again, small_or_good).run()
            assert decisions(tmp_path / f"again{lines}") == decisions(tmp_path / "whole")
            assert [t.trial_id for t in again.pareto_front()] == [t.trial_id for t in whole.pareto_front()]
            assert {i: (f["score"], f["best_step"], f["metrics"]) for i, f in outcome(again).items()} == {
                i: (f["score"], f["best_step"], f["metrics"]) for i, f in outcome(whole).items()
            }


def test_a_search_is_gone_on_with_by_the_same_rule_only(tmp_path):
    oracle = fifo(tmp_path)
    Workers(oracle, by_curves).run()
    oracle.finish()
    with pytest.raises(ValueError, match=r"objective: Multi.* by Pareto rank -> Multi"):
        fifo(tmp_path, multi_objective="sum").reload()
