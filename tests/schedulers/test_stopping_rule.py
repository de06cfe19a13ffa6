"""What all stopping rules share: who decides, what is handed through, and what is kept."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.core.simulate import simulate
from kt_ext.schedulers import ASHA, FIFO, PASHA, PBT, MedianRule, Patience, Target

RNG = np.random.default_rng(0)


def test_the_attributes_are_the_inner_schedulers():
    rule = Target(MedianRule(ASHA(9, max_trials=20)), 0.1)
    assert (rule.max_trials, rule.max_epochs, rule.rung_epochs) == (20, 9, (1, 3, 9))
    assert (rule.repeats, rule.explorer, rule.failure, list(rule.pinned())) == (False, None, None, [])
    assert rule.stops_in_flight and not ASHA(9).stops_in_flight


def test_the_inner_scheduler_decides_first():
    rule = Target(ASHA(9), 0.5)
    assert rule.suggest(RNG) == Run(0, until=1)
    assert rule.observe(Observation(0, 1, 0.1), RNG) == Pause(0)  # at a rung: ASHA's word, though the target is reached
    for trial_id in (1, 2):
        assert rule.suggest(RNG) == Run(trial_id, until=1)
        assert rule.observe(Observation(trial_id, 1, 0.9), RNG) == Pause(trial_id)
    assert rule.suggest(RNG) == Run(0, until=3, restore=CheckpointRef(0, 1))
    assert rule.observe(Observation(0, 2, 0.1), RNG) == Stop(0)  # between rungs: ASHA would let it go on
    assert rule.suggest(RNG) == Run(3, until=1)


def test_a_stopped_trial_has_left_the_inner_scheduler():
    rule = Target(FIFO(1, 3), 0.5)
    rule.suggest(RNG)
    assert rule.observe(Observation(0, 1, 0.4), RNG) == Stop(0)
    assert rule.suggest(RNG) == Done()
    with pytest.raises(ValueError, match="trial_id=0: is unknown or not running"):
        rule.forget(0)


def reached(scheduler: AbstractScheduler) -> list[int]:
    """How many trials each rung counts."""
    rungs = scheduler.state()["rungs"]
    return [rung["reached"] for rung in (rungs[0] if isinstance(rungs[0], list) else rungs)]


@pytest.mark.parametrize("make", [lambda: ASHA(9, min_epochs=3), lambda: PASHA(9, min_epochs=3)])
def test_a_retired_trial_counts_at_the_rung_it_was_on_its_way_to(make):
    scheduler = make()
    for trial_id, end in enumerate((scheduler.retire, scheduler.forget)):
        assert scheduler.suggest(RNG) == Run(trial_id, until=3)
        assert scheduler.observe(Observation(trial_id, 1, 0.5), RNG) == Run(trial_id, until=3)
        end(trial_id)
        with pytest.raises(ValueError, match=f"trial_id={trial_id}: is unknown or not running"):
            scheduler.retire(trial_id)
    assert reached(scheduler) == [1, 0]


def test_where_trials_run_through_the_rung_is_the_next_one():
    scheduler = ASHA(9, variant="stopping")
    scheduler.suggest(RNG)
    assert scheduler.observe(Observation(0, 1, 0.5), RNG) == Run(0, until=9)
    scheduler.retire(0)
    assert reached(scheduler) == [1, 1, 0]


def test_a_trial_that_is_stopped_for_doing_well_is_not_counted_among_the_worst():
    inner = ASHA(9, min_epochs=3)
    for rule, expected in ((Target(inner, 0.5), [0, 0]), (Patience(inner, 1), [1, 0])):
        run = rule.suggest(RNG)
        decision = rule.observe(Observation(run.trial_id, 1, 0.5), RNG)
        if isinstance(decision, Run):
            decision = rule.observe(Observation(run.trial_id, 2, 0.5), RNG)
        assert decision == Stop(run.trial_id)
        assert reached(inner) == expected


def test_nested_rules_each_stop_trials():
    curves = [[5.0, 5.0, 5.0, 5.0], [4.0, 3.0, 2.0, 1.0], [6.0, 4.0, 1.0, 0.0], [3.0, 2.9, 2.8, 2.7]]

    def epochs(rule):
        return simulate(rule, lambda trial, epoch: curves[trial][epoch - 1], workers=1).epochs

    assert epochs(Target(FIFO(4, 4), 1.0)) == {0: 4, 1: 4, 2: 3, 3: 4}
    assert epochs(Patience(FIFO(4, 4), 2)) == {0: 3, 1: 4, 2: 4, 3: 4}
    assert epochs(Target(Patience(FIFO(4, 4), 2), 1.0)) == {0: 3, 1: 4, 2: 3, 3: 4}
    assert epochs(Patience(Target(FIFO(4, 4), 1.0), 2)) == {0: 3, 1: 4, 2: 3, 3: 4}


def test_an_epoch_left_out_counts_as_the_next_one_reported():
    rule = Patience(FIFO(1, 9), patience=3)
    rule.suggest(RNG)
    assert rule.observe(Observation(0, 2, 1.0), RNG) == Run(0, until=9)
    assert rule.observe(Observation(0, 4, 1.0), RNG) == Stop(0)
    assert rule.state()["curves"] == [[0, [1.0, 1.0, 1.0, 1.0]]]


def test_every_objective_that_is_not_finite_is_the_worst():
    rule = Target(FIFO(1, 4), 0.0)
    rule.suggest(RNG)
    for epoch, objective in enumerate((math.nan, -math.inf, math.inf), 1):
        assert rule.observe(Observation(0, epoch, objective), RNG) == Run(0, until=4)
    assert rule.state()["curves"] == [[0, [None, None, None]]]


def test_the_arguments_in_the_state_are_the_schedulers_and_the_rules():
    assert Target(Patience(FIFO(4, 9), 2), 1.0).state()["configuration"] == {
        "scheduler": "FIFO",
        "max_trials": 4,
        "max_epochs": 9,
        "rules": [
            {"rule": "Patience", "patience": 2, "min_delta": 0.0},
            {"rule": "Target", "target": 1.0, "direction": "min"},
        ],
    }


@pytest.mark.parametrize(
    "other",
    [
        lambda: Target(FIFO(4, 9), 1.0),
        lambda: Patience(Target(FIFO(4, 9), 1.0), 2),
        lambda: Target(Patience(FIFO(4, 9), 3), 1.0),
        lambda: Target(Patience(FIFO(4, 8), 2), 1.0),
        lambda: FIFO(4, 9),
    ],
)
def test_a_state_of_other_rules_or_arguments_is_refused(other):
    with pytest.raises(ValueError, match=r"^state: .*was saved, this one has"):
        Target(Patience(FIFO(4, 9), 2), 1.0).load_state(json.loads(json.dumps(other().state())))
    with pytest.raises(ValueError, match=r"^state: .*was saved, this one has"):
        other().load_state(json.loads(json.dumps(Target(Patience(FIFO(4, 9), 2), 1.0).state())))


def test_max_trials_may_be_raised_in_a_state_as_in_any_schedulers():
    """That is how a search is resumed with more trials; the inner scheduler must hear of it."""
    small = Target(MedianRule(FIFO(1, 2)), 0.0)
    simulate(small, lambda trial, epoch: 1.0, workers=1)
    state = json.loads(json.dumps(small.state()))
    state["configuration"]["max_trials"] = 2
    large = Target(MedianRule(FIFO(2, 2)), 0.0)
    large.load_state(state)
    assert large.suggest(RNG) == Run(1, until=2)


@pytest.mark.parametrize("scheduler", [None, "asha", ASHA])
def test_what_is_no_scheduler_is_refused(scheduler):
    with pytest.raises(TypeError, match=r"^scheduler=.*: must be a scheduler such as"):
        MedianRule(scheduler)


def test_population_based_training_is_refused():
    with pytest.raises(ValueError, match=r"^scheduler=PBT: its trials take over one another's state"):
        MedianRule(PBT(4, 8))


class Takeover(AbstractScheduler):
    """Trial 1 goes on from trial 0's state."""

    max_trials, max_epochs, rung_epochs = 2, 2, (1, 2)

    def suggest(self, rng):
        return Run(1, until=2, restore=CheckpointRef(0, 1))

    def observe(self, observation, rng):
        return Run(1, until=2, restore=CheckpointRef(0, 1))

    def forget(self, trial_id):
        pass

    def exhaust(self):
        pass

    def state(self):
        return {"configuration": {}}

    def load_state(self, state):
        pass


def test_a_takeover_of_any_scheduler_is_refused():
    message = "scheduler=Takeover: sends trial 1 on from the state of trial 0"
    with pytest.raises(ValueError, match=message):
        MedianRule(Takeover()).suggest(RNG)
    with pytest.raises(ValueError, match=message):
        MedianRule(Takeover()).observe(Observation(1, 1, 0.0), RNG)
