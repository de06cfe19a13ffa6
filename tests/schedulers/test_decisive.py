"""ASHA's decisive variant: exact decisions."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait
from kt_ext.schedulers import ASHA


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def arrive(asha, rng, objectives):
    """Each objective is a new trial's at the first rung; what it was told."""
    answers = []
    for objective in objectives:
        run = asha.suggest(rng)
        answers.append(asha.observe(Observation(run.trial_id, 1, objective), rng))
    return answers


def test_the_first_pause_and_the_others_are_decided_on_arrival(rng):
    asha = ASHA(9, variant="decisive", max_trials=9)
    # Of three the best is in the top third; the third is not, nor is the fourth. The sixth makes two of six.
    assert arrive(asha, rng, [0.5]) == [Pause(0)]
    assert arrive(asha, rng, [0.4]) == [Pause(1)]
    assert arrive(asha, rng, [0.6]) == [Stop(2)]
    assert asha.suggest(rng) == Run(1, 9, restore=CheckpointRef(1, 1))  # the best of the three, sent to the end
    assert arrive(asha, rng, [0.3, 0.7, 0.35]) == [Run(3, 9), Stop(4), Run(5, 9)]
    assert asha.suggest(rng) == Run(6, 9)  # trial 0 has no place among two of six


def test_one_that_paused_is_promoted_when_the_quota_has_grown(rng):
    asha = ASHA(9, variant="decisive", max_trials=6)
    arrive(asha, rng, [0.4, 0.5, 0.6])
    assert asha.suggest(rng).trial_id == 0
    assert arrive(asha, rng, [0.7, 0.8, 0.9]) == [Stop(3), Stop(4), Stop(5)]
    assert asha.suggest(rng) == Run(1, 9, restore=CheckpointRef(1, 1))  # the second of six
    assert asha.suggest(rng) == Wait()


def test_the_first_at_a_higher_rung_pause_too(rng):
    asha = ASHA(9, variant="decisive", max_trials=9)
    arrive(asha, rng, [0.4, 0.5, 0.6])
    assert asha.suggest(rng) == Run(0, 9, restore=CheckpointRef(0, 1))
    assert asha.observe(Observation(0, 2, 0.3), rng) == Run(0, 9)
    assert asha.observe(Observation(0, 3, 0.3), rng) == Pause(0)


def test_a_diverged_trial_counts_and_never_goes_on(rng):
    asha = ASHA(9, variant="decisive", max_trials=9)
    assert arrive(asha, rng, [float("inf"), 0.5, 0.4]) == [Stop(0), Pause(1), Run(2, 9)]


def test_the_state_goes_on_the_same(rng):
    asha, again = (ASHA(9, variant="decisive", max_trials=9) for _ in range(2))
    arrive(asha, rng, [0.4, 0.5])
    again.load_state(json.loads(json.dumps(asha.state())))
    assert arrive(asha, rng, [0.3, 0.45, 0.41]) == arrive(again, rng, [0.3, 0.45, 0.41])
    assert again.state() == asha.state()


def test_when_no_others_come_the_best_goes_on_to_the_end(rng):
    asha = ASHA(9, variant="decisive", max_trials=2)
    arrive(asha, rng, [0.5, 0.4])
    for epoch in (1, 3):
        assert asha.suggest(rng) == Run(1, 9, restore=CheckpointRef(1, epoch))
        for reached in range(epoch + 1, epoch * 3):
            assert asha.observe(Observation(1, reached, 0.3), rng) == Run(1, 9)
        last = asha.observe(Observation(1, epoch * 3, 0.3), rng)
        assert last == (Pause(1) if epoch == 1 else Stop(1))
    assert asha.suggest(rng) == Done()
