"""ASHA by way of Keras Tuner's calls: who is handed out when, and what workers are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kt_ext.oracles import ASHAOracle, SchedulerOracle
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import LOSS, HandOut, Workers, asha, by_values, hand_out, over_the_wire, placed

BASE = (0.9, 0.1, 0.5, 0.7, 0.3, 0.2, 0.8, 0.4, 0.6)


def nine(trial, epoch):
    """Level, but for a dip at epoch 2."""
    return {"loss": BASE[int(trial.trial_id)] - (0.05 if epoch == 2 else 0.0)}


NINE_SEGMENTS = [
    HandOut("0", 0, 1, None),
    HandOut("1", 0, 1, None),
    HandOut("2", 0, 1, None),
    HandOut("1", 1, 3, "1"),  # the best of three
    HandOut("3", 0, 1, None),
    HandOut("4", 0, 1, None),
    HandOut("5", 0, 1, None),
    HandOut("5", 1, 3, "5"),  # two of six
    HandOut("6", 0, 1, None),
    HandOut("7", 0, 1, None),
    HandOut("8", 0, 1, None),
    HandOut("4", 1, 3, "4"),  # three of nine
    HandOut("1", 3, 9, "1"),  # the best of three at the second rung
]


@pytest.mark.parametrize("wire", [False, True])
@pytest.mark.parametrize("on_disk", [False, True])
def test_nine_trials(tmp_path, on_disk, wire):
    oracle = asha(tmp_path if on_disk else None)
    workers = Workers(oracle, nine, wire=wire).run()
    assert workers.handed_out == NINE_SEGMENTS
    assert workers.reports == [
        (segment.trial_id, epoch, "STOPPED" if epoch == segment.until else "RUNNING")
        for segment in NINE_SEGMENTS
        for epoch in range(segment.initial + 1, segment.until + 1)
    ]
    assert oracle.stop_reason == "all 9 trials are done (max_trials=9)"
    assert oracle.search.history.total_epochs == 9 + 2 * 3 + 6


def test_a_trial_keeps_its_object_and_paused_ones_are_completed():
    oracle = asha()
    first = oracle.create_trial("tuner0")
    for _ in range(2):
        trial = oracle.create_trial("tuner0")
        oracle.update_trial(trial.trial_id, {"loss": 0.9}, step=1)
        oracle.end_trial(trial)
        assert trial.status == "COMPLETED"
        trial = oracle.create_trial("tuner0")
    assert first is oracle.trials["0"]

    oracle = asha()
    Workers(oracle, nine).run()
    best = oracle.get_best_trials(9)
    assert [(t.trial_id, round(t.score, 9), t.best_step, t.status) for t in best] == [
        ("1", 0.05, 2, "COMPLETED"),
        ("5", 0.15, 2, "COMPLETED"),
        ("4", 0.25, 2, "COMPLETED"),
        ("7", 0.4, 1, "COMPLETED"),
        ("2", 0.5, 1, "COMPLETED"),
        ("8", 0.6, 1, "COMPLETED"),
        ("3", 0.7, 1, "COMPLETED"),
        ("6", 0.8, 1, "COMPLETED"),
        ("0", 0.9, 1, "COMPLETED"),
    ]
    assert oracle.end_order == [str(number) for number in range(9)]
    assert oracle.start_order == oracle.end_order


def test_stopping_variant_tells_a_running_trial_to_stop():
    oracle = asha(variant="stopping", max_trials=4)
    workers = Workers(oracle, nine).run()
    assert workers.handed_out == [HandOut(str(number), 0, 9, None) for number in range(4)]
    # 0.9 and 0.1 come first and go on; 0.5 and 0.7 are not the best of three and four at epoch 1.
    assert [max(epoch for trial, epoch, _ in workers.reports if trial == str(n)) for n in range(4)] == [9, 9, 1, 1]
    assert [report for report in workers.reports if report[2] == "STOPPED"] == [
        ("0", 9, "STOPPED"),
        ("1", 9, "STOPPED"),
        ("2", 1, "STOPPED"),
        ("3", 1, "STOPPED"),
    ]


def test_idle_while_others_run_and_nothing_can_be_promoted():
    oracle = asha(max_trials=2)
    a, b = oracle.create_trial("a"), oracle.create_trial("b")
    idle = oracle.create_trial("c")
    assert (idle.status, idle.trial_id, idle.hyperparameters.values) == ("IDLE", "", {})
    assert oracle.tuner_ids == {"a", "b", "c"}
    for trial in (a, b):
        assert oracle.update_trial(trial.trial_id, {"loss": 1.0}, step=1).status == "STOPPED"
    oracle.end_trial(a)
    oracle.end_trial(b)
    assert [oracle.create_trial(name).status for name in "abc"] == ["STOPPED"] * 3
    assert (oracle.tuner_ids, oracle.ongoing_trials) == (set(), {})  # what Keras Tuner's chief waits for


@pytest.mark.parametrize("wire", [False, True])
def test_four_workers_end_and_train_no_epoch_twice(tmp_path, wire):
    oracle = asha(tmp_path, max_trials=27)
    workers = Workers(oracle, by_values, count=4, wire=wire).run()
    assert len(oracle.trials) == 27
    assert len({(trial, epoch) for trial, epoch, _ in workers.reports}) == len(workers.reports)
    for trial_id in oracle.trials:
        epochs = [epoch for trial, epoch, _ in workers.reports if trial == trial_id]
        assert epochs == list(range(1, len(epochs) + 1))
    assert (oracle.tuner_ids, oracle.ongoing_trials) == (set(), {})
    assert oracle.search.running == 0


def test_a_worker_that_asks_again_goes_on_from_its_last_report():
    oracle = placed(SchedulerOracle(FIFO(2, 5), "random", LOSS, seed=0), None)
    trial = oracle.create_trial("tuner0")
    assert hand_out(trial) == HandOut("0", 0, 5, None)
    for epoch in (1, 2, 3):
        oracle.update_trial("0", {"loss": 1.0}, step=epoch)
    again = oracle.create_trial("tuner0")
    assert again is trial
    assert hand_out(again) == HandOut("0", 3, 5, "0")
    assert again.status == "RUNNING"


def test_a_worker_restarted_after_it_was_told_to_stop_gets_the_next_trial():
    oracle = asha()
    oracle.create_trial("tuner0")
    assert oracle.update_trial("0", {"loss": 1.0}, step=1).status == "STOPPED"
    assert oracle.create_trial("tuner0").trial_id == "1"
    assert (oracle.trials["0"].status, oracle.trials["0"].score) == ("COMPLETED", 1.0)
    assert list(oracle.ongoing_trials) == ["tuner0"]


def test_steering_values_survive_the_wire():
    oracle = asha()
    Workers(oracle, nine).run(steps=3 * 3)  # each trial takes three turns
    trial = oracle.create_trial("tuner9")
    assert hand_out(trial) == hand_out(over_the_wire(trial)) == HandOut("1", 1, 3, "1")
    assert over_the_wire(trial).hyperparameters.values == trial.hyperparameters.values
    assert over_the_wire(oracle.update_trial("1", {"loss": 0.1}, step=2)).status == "RUNNING"
    assert over_the_wire(oracle.update_trial("1", {"loss": 0.1}, step=3)).status == "STOPPED"


def test_arguments_are_checked():
    with pytest.raises(TypeError, match=r"^scheduler='asha': must be a kt_ext scheduler"):
        SchedulerOracle("asha", objective=LOSS)
    for seed in (-1, True, 1.5, 2**63):
        with pytest.raises(ValueError, match=rf"^seed={seed}: must be an integer from 0 to"):
            ASHAOracle(LOSS, seed=seed)
    with pytest.raises(ValueError, match=r"^factor=1: must be an integer >= 2"):
        ASHAOracle(LOSS, factor=1)
    with pytest.raises(RuntimeError, match="decides in create_trial"):
        asha().populate_space("0")


def test_a_trial_is_not_handed_out_before_its_worker_has_let_go_of_it():
    oracle = asha(max_trials=3)
    trials = {name: oracle.create_trial(name) for name in "abc"}
    for name, loss in (("a", 0.9), ("c", 0.5), ("b", 0.1)):
        assert oracle.update_trial(trials[name].trial_id, {"loss": loss}, step=1).status == "STOPPED"
    oracle.end_trial(trials["a"])
    assert oracle.create_trial("a").status == "IDLE"  # trial 1 is promoted, and still with worker b
    assert oracle.update_trial("1", {"loss": 0.0}, step=2).status == "STOPPED"
    oracle.end_trial(trials["b"])
    assert hand_out(oracle.create_trial("a")) == HandOut("1", 1, 3, "1")
    assert oracle.create_trial("b").status == "IDLE"
    oracle.end_trial(trials["c"])
    assert oracle.update_trial("1", {"loss": 0.1}, step=2).status == "RUNNING"


def test_a_budget_that_ends_while_a_promoted_trial_waits():
    oracle = asha(max_trials=3, max_total_epochs=4)
    trials = {name: oracle.create_trial(name) for name in "abc"}
    for name, loss in (("a", 0.9), ("c", 0.5), ("b", 0.1)):
        oracle.update_trial(trials[name].trial_id, {"loss": loss}, step=1)
    oracle.end_trial(trials["a"])
    for _ in range(2):  # the trial that waits trains nothing: there is an epoch left for it
        assert oracle.create_trial("a").status == "IDLE"
    oracle.budget = replace(oracle.budget, max_total_epochs=3)  # as if time had run out
    assert oracle.create_trial("a").status == "STOPPED"
    for name in "bc":
        oracle.end_trial(trials[name])
        assert oracle.create_trial(name).status == "STOPPED"
    assert oracle.search.where == {0: "paused", 1: "queued", 2: "paused"}
    assert (oracle.tuner_ids, oracle.ongoing_trials) == (set(), {})
