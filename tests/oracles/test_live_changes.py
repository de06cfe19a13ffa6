"""What a scheduler changes in a running trial: its values, and whose state it goes on from."""

from __future__ import annotations

import keras_tuner
import pytest

from kt_ext.core.decision import CheckpointRef, Run, Stop, Wait
from kt_ext.oracles import SchedulerOracle
from kt_ext.oracles.hyperparameters import own_values
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import LOSS, HandOut, hand_out, killed, outcome, over_the_wire, placed

NEW = {"kind": "b", "rate": 0.25}


class Exploiter(FIFO):
    """Two trials of six epochs; after its second epoch trial 1 takes over the state of trial 0 and other values."""

    def observe(self, observation, rng):
        decision = super().observe(observation, rng)
        if (observation.trial_id, observation.epoch) == (1, 2):
            return Run(1, 6, NEW, CheckpointRef(0, 4))
        return decision


def conditional_space():
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    hp.Float("rate", 0.0, 1.0)
    with hp.conditional_scope("kind", ["a"]):
        hp.Int("depth", 1, 9)
    return hp


def exploiting(directory, name="project"):
    oracle = SchedulerOracle(Exploiter(2, 6), "random", LOSS, seed=SEED, hyperparameters=conditional_space())
    return placed(oracle, directory, name)


SEED = 1  # with which trial 1 is of kind "a"


def up_to_the_exploit(oracle):
    oracle.create_trial("a")
    second = oracle.create_trial("b")
    assert own_values(second.hyperparameters.values).keys() == {"kind", "rate", "depth"}
    for epoch in (1, 2, 3, 4):
        oracle.update_trial("0", {"loss": 1.0}, step=epoch)
    oracle.update_trial("1", {"loss": 2.0}, step=1)
    return oracle.update_trial("1", {"loss": 2.0}, step=2)


def test_the_answer_to_a_report_tells_donor_and_values(tmp_path):
    oracle = exploiting(tmp_path)
    answer = over_the_wire(up_to_the_exploit(oracle))
    assert answer.status == "RUNNING"
    assert hand_out(answer) == HandOut("1", 2, 6, "0")
    assert own_values(answer.hyperparameters.values) == NEW  # without the depth, which is no longer active
    assert oracle.search.history.values(1) == NEW
    assert oracle.search.history.contains(NEW)


def test_a_worker_restarted_before_it_trained_on_it_is_told_again(tmp_path):
    oracle = exploiting(tmp_path)
    up_to_the_exploit(oracle)
    assert hand_out(oracle.create_trial("b")) == HandOut("1", 2, 6, "0")
    oracle.update_trial("1", {"loss": 0.5}, step=3)
    assert hand_out(oracle.create_trial("b")) == HandOut("1", 3, 6, "1")


@pytest.mark.parametrize("snapshot", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_after_a_kill_too(tmp_path, snapshot, trained):
    oracle = exploiting(tmp_path, "first")
    up_to_the_exploit(oracle)
    if trained:
        oracle.update_trial("1", {"loss": 0.5}, step=3)
    if snapshot:
        oracle.save()
    killed(tmp_path / "first", tmp_path / "second")
    reader = exploiting(tmp_path, "second")
    reader.reload()
    assert outcome(reader)["1"]["values"] == outcome(oracle)["1"]["values"]
    again = exploiting(tmp_path, "second")
    assert again.create_trial("a").trial_id == "0"
    trial = again.create_trial("a2")
    assert hand_out(trial) == (HandOut("1", 3, 6, "1") if trained else HandOut("1", 2, 6, "0"))
    assert own_values(trial.hyperparameters.values) == NEW


def test_the_words_are_complete():
    """A scheduler of one's own may answer with any of the words."""

    class OneByOne(FIFO):
        def suggest(self, rng):
            return Wait() if len(self._running) else super().suggest(rng)

        def observe(self, observation, rng):
            decision = super().observe(observation, rng)
            return decision if isinstance(decision, Stop) else Run(observation.trial_id, 6)

    oracle = placed(SchedulerOracle(OneByOne(2, 6), "random", LOSS, seed=0, hyperparameters=conditional_space()), None)
    first = oracle.create_trial("a")
    assert oracle.create_trial("b").status == "IDLE"
    for epoch in range(1, 7):
        oracle.update_trial("0", {"loss": 1.0}, step=epoch)
    oracle.end_trial(first)
    assert oracle.create_trial("b").trial_id == "1"
    assert oracle.create_trial("c").status == "IDLE"
