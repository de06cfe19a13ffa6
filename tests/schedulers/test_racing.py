"""Iterated racing by exact decisions; tests/reference compares it with the paper's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait
from kt_ext.core.simulate import simulate
from kt_ext.schedulers import Racing

RNG = np.random.default_rng(0)  # a race draws nothing


def race(**settings: Any) -> Racing:
    """Two races of three trials on four instances, tested from the second on; one elite."""
    defaults = {"max_instances": 4, "max_trials": 6, "first_test": 2, "min_survivors": 1, "trials_per_race": 3}
    return Racing(**{**defaults, "test": "t", **settings})


def again(trial_id: int, until: int, done: int) -> Run:
    return Run(trial_id, until, restore=CheckpointRef(trial_id, done))


def tell(scheduler: Racing, run: Run, *objectives: float) -> list[Any]:
    """Report a segment's instances."""
    first = run.restore.epoch + 1 if run.restore else 1
    return [
        scheduler.observe(Observation(run.trial_id, epoch, objective), RNG)
        for epoch, objective in enumerate(objectives, start=first)
    ]


def test_two_races_decision_by_decision():
    scheduler = race()
    runs = [scheduler.suggest(RNG) for _ in range(3)]
    assert runs == [Run(0, 2), Run(1, 2), Run(2, 2)]
    assert tell(scheduler, runs[0], 0.1, 0.2) == [Run(0, 2), Pause(0)]  # no test is due after the first instance
    assert tell(scheduler, runs[1], 0.5, 0.4) == [Run(1, 2), Pause(1)]
    assert tell(scheduler, runs[2], 9.0, 9.1) == [Run(2, 2), Pause(2)]
    # Trial 2 is always 8.9 worse and is dropped: t of (0.4, 0.2) has p = 0.10.
    assert scheduler.suggest(RNG) == again(0, 3, 2)
    assert scheduler.suggest(RNG) == again(1, 3, 2)
    assert tell(scheduler, again(0, 3, 2), 0.1) == [Pause(0)]
    assert tell(scheduler, again(1, 3, 2), 0.4) == [Pause(1)]
    # (0.4, 0.2, 0.3): p = 0.018. One survivor is left after three instances: the race ends.
    runs = [scheduler.suggest(RNG) for _ in range(3)]
    assert runs == [Run(3, 2), Run(4, 2), Run(5, 2)]
    assert tell(scheduler, runs[0], 0.05, 0.16)[-1] == Pause(3)
    assert tell(scheduler, runs[1], 9.0, 9.1)[-1] == Pause(4)
    assert tell(scheduler, runs[2], 9.0, 9.1)[-1] == Pause(5)
    # The elite is compared on the first two instances alone, and nobody needs it to run again before the others.
    assert scheduler.suggest(RNG) == again(3, 3, 2)
    assert tell(scheduler, again(3, 3, 2), 0.06) == [Pause(3)]
    # The last race goes on to the last instance, with the elite, whom no test has told from trial 3: p = 0.0099.
    assert scheduler.suggest(RNG) == again(3, 4, 3)
    assert tell(scheduler, again(3, 4, 3), 0.01) == [Stop(3)]
    assert scheduler.suggest(RNG) == Done()


def test_an_elite_is_not_dropped_for_luck_on_fewer_instances():
    """Trial 0 has seen three instances; on the first two trial 3 is better for sure, on the third it is not."""
    scheduler = race()
    for objectives in ((0.1, 0.2), (0.5, 0.4), (9.0, 9.1)):
        tell(scheduler, scheduler.suggest(RNG), *objectives)
    tell(scheduler, scheduler.suggest(RNG), 0.1)
    tell(scheduler, scheduler.suggest(RNG), 0.4)
    for objectives in ((0.05, 0.15), (9.0, 9.1), (9.0, 9.1)):  # 0.05 better on each: p = 0
        tell(scheduler, scheduler.suggest(RNG), *objectives)
    assert tell(scheduler, scheduler.suggest(RNG), 0.3) == [Pause(3)]
    assert [scheduler.suggest(RNG) for _ in range(2)] == [again(0, 4, 3), again(3, 4, 3)]


def test_a_free_worker_starts_a_trial_of_the_next_race_but_not_of_the_one_after():
    scheduler = race(max_trials=9)
    assert [scheduler.suggest(RNG) for _ in range(7)] == [*(Run(trial, 2) for trial in range(6)), Wait()]
    for trial in (3, 4, 5):
        assert tell(scheduler, Run(trial, 2), 0.3, 0.2)[-1] == Pause(trial)
        assert scheduler.suggest(RNG) == Wait()  # its race has not begun
    tell(scheduler, Run(0, 2), 0.1, 0.2)
    tell(scheduler, Run(1, 2), 9.0, 9.1)
    assert scheduler.suggest(RNG) == Wait()
    # The first race ends, and the second is complete: it is tested, and the third may begin.
    assert tell(scheduler, Run(2, 2), 9.0, 9.1)[-1] == Pause(2)
    assert scheduler.suggest(RNG) == again(0, 3, 2)
    assert [scheduler.suggest(RNG) for _ in range(4)] == [*(again(trial, 3, 2) for trial in (3, 4, 5)), Run(6, 2)]


def test_workers_have_something_to_do():
    """With as many workers as there are trials in a race, few wait for its last steps."""
    quality = np.random.default_rng(0).normal(size=200)
    noise = np.random.default_rng(1).normal(size=(200, 10))
    scheduler = Racing(10, 200, trials_per_race=10)
    simulation = simulate(scheduler, lambda trial, k: quality[trial] + noise[trial, k - 1], workers=10, log=False)
    assert simulation.finished and len(simulation.epochs) == 200
    assert simulation.total_epochs < 0.75 * 200 * 10
    assert simulation.busy_while_starting > 0.75
    (best,) = [trial for trial, _ in scheduler.state()["results"] if trial == int(quality.argmin())]
    assert simulation.epochs[best] == 10


def test_a_diverged_trial_is_stopped_at_once_and_does_not_count():
    scheduler = race(max_trials=3)
    for _ in range(3):
        scheduler.suggest(RNG)
    assert tell(scheduler, Run(0, 2), math.nan) == [Stop(0)]
    assert tell(scheduler, Run(1, 2), 0.2, -math.inf) == [Run(1, 2), Stop(1)]
    tell(scheduler, Run(2, 2), 0.2, 0.3)
    assert scheduler.suggest(RNG) == again(2, 3, 2)


def test_only_one_that_fails_may_be_missing_to_a_step():
    scheduler = race(max_trials=3)
    for _ in range(3):
        scheduler.suggest(RNG)
    tell(scheduler, Run(0, 2), 0.1, 0.2)
    tell(scheduler, Run(1, 2), 0.2, 0.1)
    assert scheduler.suggest(RNG) == Wait()
    scheduler.forget(2)
    assert scheduler.suggest(RNG) == again(0, 3, 2)


def test_an_exhausted_space_makes_the_race_the_last():
    scheduler = race(max_trials=30)
    for objectives in ((0.1, 0.2), (9.0, 9.1), (9.0, 9.1)):
        tell(scheduler, scheduler.suggest(RNG), *objectives)
    assert scheduler.suggest(RNG) == Run(3, 2)
    scheduler.forget(3)
    scheduler.exhaust()
    assert scheduler.suggest(RNG) == again(0, 3, 2)  # the elite sees all instances
    tell(scheduler, again(0, 3, 2), 0.1)
    assert tell(scheduler, scheduler.suggest(RNG), 0.1) == [Stop(0)]
    assert scheduler.suggest(RNG) == Done()


def test_elites_are_the_best_by_mean_rank_and_no_more_than_asked_for():
    scheduler = race(max_instances=2, test="friedman", min_survivors=2, trials_per_race=4, max_trials=8)
    for objectives in ((3.0, 900.0), (4.0, 1.0), (1.0, 1000.0), (2.0, 2.0)):  # ranks (3, 3), (4, 1), (1, 4), (2, 2)
        tell(scheduler, scheduler.suggest(RNG), *objectives)
    # Mean ranks are 3, 2.5, 2.5 and 2: the tie goes to the earlier trial.
    assert [trial for trial, _ in scheduler.state()["results"]] == [1, 3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_instances": 1}, r"max_instances=1: must be an integer >= 2; use FIFO"),
        ({"max_trials": 0}, r"max_trials=0: must be an integer >= 1"),
        ({"first_test": 1}, r"first_test=1: must be an integer >= 2"),
        ({"first_test": 5}, r"first_test=5: must be <= max_instances=4; lower it or raise"),
        ({"each_test": 0}, r"each_test=0: must be an integer >= 1"),
        ({"test": "anova"}, r"test='anova': must be one of friedman, t; 'friedman' is irace's"),
        ({"confidence": 1.0}, r"confidence=1.0: must be above 0 and below 1"),
        ({"confidence": "high"}, r"confidence='high': must be a number"),
        ({"min_survivors": 0}, r"min_survivors=0: must be an integer >= 1"),
        ({"trials_per_race": 0}, r"trials_per_race=0: must be an integer >= 1"),
    ],
)
def test_wrong_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        race(**settings)
