"""Reports that are late, repeated or wrong; trials that diverge or crash."""

from __future__ import annotations

import math
import threading

import keras_tuner
import pytest
from keras_tuner.src import protos

from kt_ext.oracles import SchedulerOracle
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import LOSS, HandOut, Workers, asha, placed, small_space


def fifo(trials=3, epochs=4, objective=LOSS, **kwargs):
    return placed(
        SchedulerOracle(FIFO(trials, epochs), "random", objective, seed=0, hyperparameters=small_space(), **kwargs),
        None,
    )


def test_a_report_after_the_end_is_answered_by_stopped():
    oracle = asha()
    trial = oracle.create_trial("tuner0")
    assert oracle.update_trial("0", {"loss": 1.0}, step=1).status == "STOPPED"
    assert oracle.update_trial("0", {"loss": 9.0}, step=2).status == "STOPPED"
    oracle.end_trial(trial)
    assert oracle.update_trial("0", {"loss": 9.0}, step=2).status == "STOPPED"
    assert oracle.search.history.epochs_of(0) == 1
    assert [o.step for o in trial.metrics.get_history("loss")] == [1]


def test_a_repeated_epoch_counts_once():
    oracle = fifo()
    oracle.create_trial("tuner0")
    for step, loss in ((1, 3.0), (2, 2.0), (2, 0.0), (1, 0.0), (3, 1.0)):
        assert oracle.update_trial("0", {"loss": loss}, step=step).status == "RUNNING"
    assert oracle.search.history.curve(0)[1].tolist() == [3.0, 2.0, 1.0]
    assert oracle.search.history.total_epochs == 3
    assert [o.value for o in oracle.trials["0"].metrics.get_history("loss")] == [[3.0], [2.0], [1.0]]


@pytest.mark.parametrize(
    ("trial_id", "metrics", "step", "message"),
    [
        ("7", {"loss": 1.0}, 1, r"^trial_id='7': no such trial"),
        ("0", {"loss": 1.0}, 0, r"^step=0: must be the number of epochs that trial 0 has done, an integer from 1 to 4"),
        ("0", {"loss": 1.0}, 5, r"^step=5: must be"),
        ("0", {"loss": 1.0}, 1.5, r"^step=1.5: must be"),
        ("0", {"loss": 1.0}, True, r"^step=True: must be"),
        ("0", {"loss": 1.0}, "1", r"^step='1': must be"),
        ("0", {"loss": 1.0}, None, r"^step=None: must be"),
        ("0", {"loss": 1.0}, math.nan, r"^step=nan: must be"),
        ("0", {"accuracy": 1.0}, 1, r"^objective 'loss' is missing from the metrics of epoch 1 \(found: accuracy\)"),
        ("0", {}, 1, r"\(found: none\)"),
    ],
)
def test_wrong_reports_are_refused_and_change_nothing(trial_id, metrics, step, message):
    oracle = fifo()
    oracle.create_trial("tuner0")
    before = oracle.search.state()
    with pytest.raises(ValueError, match=message):
        oracle.update_trial(trial_id, metrics, step=step)
    assert oracle.search.state() == before
    assert oracle.update_trial("0", {"loss": 1.0}, step=1).status == "RUNNING"


def test_the_oracle_is_free_for_other_threads_after_each_exception():
    oracle = fifo()
    oracle.create_trial("tuner0")
    with pytest.raises(ValueError, match="no such trial"):
        oracle.update_trial("no", {"loss": 1.0}, step=1)
    with pytest.raises(KeyError, match="no"):
        oracle.get_trial("no")
    answers = []
    other = threading.Thread(target=lambda: answers.append(oracle.update_trial("0", {"loss": 1.0}, step=1).status))
    other.start()
    other.join(timeout=60)
    assert answers == ["RUNNING"]


def test_epochs_between_rungs_may_be_left_out_and_rungs_may_not():
    oracle = asha(min_epochs=3)
    oracle.create_trial("tuner0")
    assert oracle.update_trial("0", {"loss": 1.0}, step=3).status == "STOPPED"  # one report for the whole segment
    assert oracle.search.history.total_epochs == 3
    oracle = asha(variant="stopping")
    oracle.create_trial("tuner0")
    with pytest.raises(ValueError, match=r"^trial 0 reported epoch 2 without epoch 1, where trials are compared"):
        oracle.update_trial("0", {"loss": 1.0}, step=2)
    assert oracle.update_trial("0", {"loss": 1.0}, step=1).status == "RUNNING"
    assert oracle.update_trial("0", {"loss": 1.0}, step=3.0).status == "RUNNING"
    assert oracle.update_trial("0", {"loss": 1.0}, step=9).status == "STOPPED"
    assert oracle.search.history.total_epochs == 9


def test_metrics_may_be_a_protobuf_map():
    oracle = fifo()
    oracle.create_trial("tuner0")
    request = protos.get_service().UpdateTrialRequest(trial_id="0", metrics={"loss": 0.5, "accuracy": 0.25}, step=1)
    oracle.update_trial(request.trial_id, request.metrics, step=request.step)
    assert oracle.trials["0"].metrics.get_last_value("loss") == 0.5
    assert oracle.trials["0"].metrics.get_last_value("accuracy") == 0.25


def test_end_trial_twice_is_ignored():
    oracle = asha()
    trial = oracle.create_trial("tuner0")
    oracle.update_trial("0", {"loss": 1.0}, step=1)
    oracle.end_trial(trial)
    second = oracle.create_trial("tuner0")
    trial.status, trial.message = "FAILED", "late"
    oracle.end_trial(trial)
    assert oracle.end_order == ["0"]
    assert oracle.search.where == {0: "paused", 1: "running"}
    assert oracle.ongoing_trials == {"tuner0": second}


@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_the_worst(direction, bad):
    oracle = fifo(3, 2, keras_tuner.Objective("loss", direction))
    curves = {"0": [bad, bad], "1": [0.5, bad], "2": [0.4, 0.3]}
    Workers(oracle, lambda trial, epoch: {"loss": curves[trial.trial_id][epoch - 1]}).run()
    assert [oracle.trials[t].status for t in "012"] == ["FAILED", "COMPLETED", "COMPLETED"]
    assert oracle.trials["0"].message == "loss was never finite: the training diverged"
    assert (oracle.trials["0"].score, oracle.trials["1"].score, oracle.trials["1"].best_step) == (None, 0.5, 1)
    best = {"min": ["2", "1"], "max": ["1", "2"]}[direction]
    assert [t.trial_id for t in oracle.get_best_trials(2)] == best


def test_diverging_is_no_crash():
    oracle = fifo(8, 2, max_consecutive_failed_trials=2)
    Workers(oracle, lambda trial, epoch: {"loss": math.nan}).run()
    assert len(oracle.trials) == 8
    assert not oracle.failing
    assert oracle.stop_reason == "all 8 trials are done (max_trials=8)"
    assert oracle.best == math.inf


def test_a_diverged_trial_stops_at_once_in_asha():
    oracle = asha(variant="stopping", max_trials=1)
    workers = Workers(oracle, lambda trial, epoch: {"loss": math.nan if epoch == 2 else 1.0}).run()
    assert workers.reports == [("0", 1, "RUNNING"), ("0", 2, "STOPPED")]
    assert (oracle.trials["0"].status, oracle.trials["0"].score) == ("COMPLETED", 1.0)


def test_a_trial_that_reports_nothing_fails_and_says_so():
    oracle = fifo(1)
    trial = oracle.create_trial("tuner0")
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    assert (trial.status, trial.message) == ("FAILED", "the trial ended without reporting loss")


def test_a_trial_that_ends_itself_keeps_its_score_and_is_not_resumed():
    oracle = asha(variant="stopping", max_trials=1)
    trial = oracle.create_trial("tuner0")
    oracle.update_trial("0", {"loss": 0.5}, step=1)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    assert (trial.status, trial.score) == ("COMPLETED", 0.5)
    assert oracle.create_trial("tuner0").status == "STOPPED"


def crash_at(crashes):
    """Each (trial, epoch) of the list raises once."""
    left = list(crashes)

    def curve(trial, epoch):
        if (trial.trial_id, epoch) in left:
            left.remove((trial.trial_id, epoch))
            return RuntimeError(f"crash in epoch {epoch}")
        return {"loss": 1.0 + int(trial.trial_id)}

    return curve


def test_a_crashed_trial_is_handed_out_again_from_where_it_was():
    oracle = fifo(2, 4, max_retries_per_trial=2)
    workers = Workers(oracle, crash_at([("0", 1), ("0", 3)])).run()
    assert workers.handed_out == [
        HandOut("0", 0, 4, None),
        HandOut("0", 0, 4, None),
        HandOut("0", 2, 4, "0"),
        HandOut("1", 0, 4, None),
    ]
    assert [oracle.trials[t].status for t in "01"] == ["COMPLETED", "COMPLETED"]
    assert oracle.trials["0"].message is None
    assert oracle.end_order == ["0", "1"]


def test_a_trial_fails_when_its_retries_are_used_up():
    oracle = fifo(2, 4, max_retries_per_trial=1)
    trial = oracle.create_trial("tuner0")
    trial.status, trial.message = "INVALID", "first"
    oracle.end_trial(trial)
    assert (trial.status, oracle.end_order) == ("INVALID", [])
    trial = oracle.create_trial("tuner0")
    assert (trial.trial_id, trial.status, trial.message) == ("0", "RUNNING", None)
    trial.status, trial.message = "INVALID", "second"
    oracle.end_trial(trial)
    assert (trial.status, trial.message, oracle.end_order) == ("FAILED", "second", ["0"])
    assert oracle.search.where == {0: "failed"}
    assert oracle.scheduler.state()["running"] == []  # the scheduler forgot it
    assert oracle.create_trial("tuner0").trial_id == "1"


def test_failed_is_not_retried():
    oracle = fifo(1, 4, max_retries_per_trial=3)
    trial = oracle.create_trial("tuner0")
    trial.status = "FAILED"
    oracle.end_trial(trial)
    assert oracle.trials["0"].status == "FAILED"
    assert oracle.create_trial("tuner0").status == "STOPPED"


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("count", [1, 3])
def test_too_many_failures_in_a_row_end_the_search(retries, count):
    oracle = fifo(20, 4, max_retries_per_trial=retries, max_consecutive_failed_trials=3)
    # Each crash comes after a finite epoch, and the retried trials are no success in between.
    Workers(oracle, lambda t, epoch: RuntimeError("no") if epoch == 2 else {"loss": 1.0}, count=count).run()
    assert oracle.failing
    assert oracle.stop_reason == "3 trials failed in a row (max_consecutive_failed_trials)"
    failed = [t for t in oracle.trials.values() if t.status == "FAILED"]
    assert 3 <= len(failed) <= 2 + count
    assert (oracle.tuner_ids, oracle.ongoing_trials) == (set(), {})


def test_a_success_between_failures_starts_the_count_again():
    oracle = fifo(9, 1, max_consecutive_failed_trials=2)
    Workers(oracle, lambda t, epoch: RuntimeError("no") if int(t.trial_id) % 2 else {"loss": 1.0}).run()
    assert len(oracle.trials) == 9
    assert not oracle.failing
