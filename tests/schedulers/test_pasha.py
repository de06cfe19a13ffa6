"""PASHA: when the next rung opens, what is noise, and who is trained on in the end."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait
from kt_ext.core.simulate import simulate
from kt_ext.schedulers import ASHA, PASHA
from kt_ext.schedulers import ranking as ranking_module
from kt_ext.schedulers.ranking import CrossingNoise, SoftRanking, crossing_distances


class NoRandomness:
    """Stands in for a Generator where nothing may be drawn: any use raises AttributeError."""


RNG = NoRandomness()


def train(pasha: PASHA, run: Run, objective: float):
    """Reports every epoch of the segment; the last answer."""
    first = run.restore.epoch + 1 if run.restore else 1
    for epoch in range(first, run.until):
        assert pasha.observe(Observation(run.trial_id, epoch, objective), RNG) == Run(run.trial_id, run.until)
    return pasha.observe(Observation(run.trial_id, run.until, objective), RNG)


def at_the_first_rung(pasha: PASHA, objectives: list[float]) -> None:
    """Starts as many trials, which report these objectives at the lowest rung."""
    runs = [pasha.suggest(RNG) for _ in objectives]
    assert [train(pasha, run, value) for run, value in zip(runs, objectives, strict=True)] == [
        Pause(run.trial_id) for run in runs
    ]


def promoted(pasha: PASHA, count: int) -> list[Run]:
    runs = [pasha.suggest(RNG) for _ in range(count)]
    assert all(run.restore is not None for run in runs)
    return runs


# The ranking


def test_the_ranking_holds_while_the_order_is_the_same():
    ranking = SoftRanking()
    for below, above in ((1.0, 5.0), (3.0, 7.0), (2.0, 6.0)):
        ranking.add(below, above)
        assert ranking.holds(0.0)
    ranking.add(2.5, 5.5)  # above it is second; below 2.0 was
    assert not ranking.holds(0.0) and not ranking.holds(0.49) and ranking.holds(0.5)


def test_the_group_is_measured_below():
    """Trials 0.1 apart below have changed places: that they are 9 apart above does not matter."""
    ranking = SoftRanking()
    ranking.add(1.0, 9.0)
    ranking.add(1.1, 0.0)
    assert not ranking.holds(0.09) and ranking.holds(0.11)


def test_ties_above_are_no_change_of_order():
    ranking = SoftRanking()
    for below in (2.0, 1.0, 3.0):
        ranking.add(below, 5.0)
    assert ranking.holds(0.0)


def test_a_diverged_trial_is_last():
    ranking = SoftRanking()
    ranking.add(1.0, math.inf)
    assert ranking.holds(0.0)
    ranking.add(2.0, 3.0)
    assert not ranking.holds(0.5) and ranking.holds(1.0)
    again = SoftRanking()
    again.load_state(json.loads(json.dumps(ranking.state(), allow_nan=False)))
    assert again.state() == ranking.state() == [[2.0, 3.0], [1.0, None]]
    assert not again.holds(0.5) and again.holds(1.0)


# The noise


@pytest.mark.parametrize(
    ("curve", "other", "counts"),
    [
        ([1, 4, 1], [2, 2, 2], True),  # better, worse, better
        ([3, 1, 3], [2, 2, 2], True),
        ([1, 1, 3], [2, 2, 2], False),  # crossed once
        ([1, 3, 2], [2, 2, 2], False),  # level at the last epoch
        ([1, 2, 1], [2, 2, 2], False),  # touched
        ([1, 2, 3, 2, 1], [2, 2, 2, 2, 2], True),
        ([1, 3, 1, 3], [2, 2, 2, 2], True),
        ([3, 1, 1, 1], [2, 2, 2, 2], False),
    ],
)
def test_which_curves_cross_and_cross_back(curve, other, counts):
    expected = [abs(curve[-1] - other[-1])] if counts else []
    assert crossing_distances(np.array(curve, float), np.array([other], float)).tolist() == expected


def test_epsilon_is_a_quantile_of_the_distances():
    noise = CrossingNoise(0.5)
    noise.add([2.0, 2.0, 2.0])
    assert noise.epsilon is None
    noise.add([1.0, 3.0, 1.5])
    assert noise.epsilon == 0.5
    noise.add([2.1, 9.0, 9.0])  # crosses nobody
    assert noise.epsilon == 0.5
    noise.add([3.0, 1.0, 3.0])  # crosses the first twice, at a distance of 1, and the second at 1.5
    assert noise.epsilon == 1.0
    again = CrossingNoise(0.5)
    again.load_state(json.loads(json.dumps(noise.state())))
    assert again.epsilon == 1.0


def test_only_the_first_trials_tell_of_noise(monkeypatch):
    monkeypatch.setattr(ranking_module, "FIRST_TRIALS", 2)
    noise = CrossingNoise(1.0)
    for curve in ([2.0, 2.0, 2.0], [1.0, 3.0, 1.0], [9.0, 0.0, 9.0]):
        noise.add(curve)
    assert noise.epsilon == 1.0


# Decisions


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_epochs": 10}, "min_epochs=10: must be <= max_epochs=9; lower it or raise max_epochs"),
        ({"factor": 1}, "factor=1: must be an integer >= 2; use FIFO to keep every trial"),
        ({"max_trials": 0}, "max_trials=0: must be an integer >= 1; None takes factor ** number of rungs"),
        ({"finish": -1}, "finish=-1: must be an integer >= 0; 1 trains the best trial to max_epochs"),
        ({"noise_quantile": 90}, "noise_quantile=90: must be a number in [0, 1]"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as caught:
        PASHA(**{"max_epochs": 9} | arguments)
    assert str(caught.value) == message


def test_a_stable_ranking_opens_no_rung_and_the_best_is_trained_on_in_the_end():
    """27 trials in the same order at 1 and 3 epochs: nine go to 3, none to 9 or 27, save the best when all is over."""
    pasha = PASHA(27, max_trials=27)
    at_the_first_rung(pasha, [float(t) for t in range(27)])
    for run in promoted(pasha, 9):
        assert run.until == 3
        assert train(pasha, run, float(run.trial_id)) == Pause(run.trial_id)
    assert pasha.top_epochs == 3
    last = pasha.suggest(RNG)
    assert last == Run(0, until=27, restore=CheckpointRef(0, 3))
    assert pasha.suggest(RNG) == Wait()
    assert train(pasha, last, 0.0) == Stop(0)
    assert pasha.suggest(RNG) == Done()


def test_a_change_of_order_opens_the_next_rung():
    pasha = PASHA(27, max_trials=100)
    at_the_first_rung(pasha, [float(t) for t in range(9)])
    runs = promoted(pasha, 3)
    assert [train(pasha, run, value) for run, value in zip(runs, (5.0, 4.0, 6.0), strict=True)] == [
        Pause(0),
        Pause(1),
        Pause(2),
    ]
    assert pasha.top_epochs == 9  # trials 0 and 1 have changed places
    assert pasha.suggest(RNG) == Run(1, until=9, restore=CheckpointRef(1, 3))  # the top third at 3 epochs
    assert pasha.suggest(RNG) == Run(9, until=1)


def test_a_trial_that_diverges_on_its_way_to_the_top_rung_is_last_there():
    pasha = PASHA(27, max_trials=100)
    at_the_first_rung(pasha, [float(t) for t in range(6)])
    first, second = promoted(pasha, 2)
    assert pasha.observe(Observation(first.trial_id, 2, math.nan), RNG) == Stop(0)
    assert pasha.top_epochs == 3
    train(pasha, second, 1.0)
    assert pasha.top_epochs == 9


def test_a_change_of_order_within_the_noise_opens_no_rung():
    """Trials 0 and 1, 0.1 apart at the lower rung, cross twice on the way and are 0.2 apart: that much is noise."""

    def opened(curves: list[list[float]]) -> PASHA:
        pasha = PASHA(16, min_epochs=2, factor=2, max_trials=100)
        runs = [pasha.suggest(RNG) for _ in range(4)]
        for run, curve in zip(runs, [*curves, [8.0] * 4, [9.0] * 4], strict=True):
            for epoch in (1, 2):
                pasha.observe(Observation(run.trial_id, epoch, curve[epoch - 1]), RNG)
        for run in promoted(pasha, 2):
            for epoch in (3, 4):
                pasha.observe(Observation(run.trial_id, epoch, curves[run.trial_id][epoch - 1]), RNG)
        return pasha

    noisy = opened([[2.0, 1.0, 1.0, 1.2], [1.5, 1.1, 1.1, 1.0]])
    assert noisy.top_epochs == 4 and noisy.epsilon == pytest.approx(0.2)
    once = opened([[1.0, 1.0, 1.0, 1.2], [1.5, 1.1, 1.1, 1.0]])
    assert once.top_epochs == 8 and once.epsilon == 0.0


def test_epsilon_is_kept_when_a_rung_opens():
    """At 3 epochs trials 0 and 1 are noise apart, which trial 2 is not; at 9 epochs nobody has crossed twice yet."""
    pasha = PASHA(27, max_trials=100)
    at_the_first_rung(pasha, [1.0, 1.1, 5.0, *[9.0] * 6])
    by_epoch = {0: (1.2, 1.1), 1: (1.1, 1.3), 2: (0.5, 0.5)}  # 0 and 1: better, worse, better
    for run in promoted(pasha, 3):
        for epoch, objective in zip((2, 3), by_epoch[run.trial_id], strict=True):
            pasha.observe(Observation(run.trial_id, epoch, objective), RNG)
    assert pasha.top_epochs == 9
    assert pasha.epsilon == pytest.approx(0.2)
    train(pasha, promoted(pasha, 1)[0], 0.5)
    assert pasha.epsilon == pytest.approx(0.2)


def test_max_epochs_is_the_cap():
    """Rungs 1, 3 and 9 with an order that changes at every rung: as ASHA from then on, and no end phase."""
    result = simulate(PASHA(9), lambda t, e: float(t) * (-1) ** (e >= 3), workers=1)
    assert max(result.epochs.values()) == 9
    assert sum(epochs == 9 for epochs in result.epochs.values()) >= 2


# The end


def test_as_many_finish_as_asked_for():
    for finish, until in ((0, [3, 3, 3]), (1, [3, 3, 9]), (2, [3, 9, 9]), (5, [9, 9, 9])):
        pasha = PASHA(9, max_trials=9, finish=finish)
        epochs = simulate(pasha, lambda t, e: float(t), workers=3).epochs
        assert sorted(epochs.values())[-3:] == until
        assert sum(value == 9 for value in epochs.values()) == finish  # 5: two that paused at the lowest rung too


def test_finishers_run_side_by_side_best_of_the_highest_rung_first():
    pasha = PASHA(9, max_trials=9, finish=5)
    at_the_first_rung(pasha, [float(t) for t in range(9)])
    for run in promoted(pasha, 3):
        train(pasha, run, float(run.trial_id))
    assert [pasha.suggest(RNG) for _ in range(6)] == [
        *(Run(t, until=9, restore=CheckpointRef(t, 3)) for t in (0, 1, 2)),
        *(Run(t, until=9, restore=CheckpointRef(t, 1)) for t in (3, 4)),
        Wait(),
    ]


def test_a_finisher_that_diverges_is_replaced_and_one_that_fails_is_not():
    for diverges, then in ((True, Run(1, until=9, restore=CheckpointRef(1, 3))), (False, Done())):
        pasha = PASHA(9, max_trials=9)
        at_the_first_rung(pasha, [float(t) for t in range(9)])
        for run in promoted(pasha, 3):
            train(pasha, run, float(run.trial_id))
        assert pasha.suggest(RNG).trial_id == 0
        if diverges:
            assert pasha.observe(Observation(0, 4, math.inf), RNG) == Stop(0)
        else:
            pasha.forget(0)
        assert pasha.suggest(RNG) == then


def test_a_trial_that_came_to_the_end_by_itself_is_enough():
    pasha = PASHA(2, factor=2, max_trials=2)  # two rungs: both are open from the start
    at_the_first_rung(pasha, [0.0, 1.0])
    assert train(pasha, promoted(pasha, 1)[0], 0.0) == Stop(0)
    assert pasha.suggest(RNG) == Done()


@pytest.mark.parametrize("seed", range(5))
def test_spends_no_more_than_asha_where_rankings_are_stable(seed):
    """Parallel curves: PASHA finds the same best trial and trains only that one beyond the second rung."""
    limits = np.random.default_rng(seed).random(81).tolist()

    def curve(trial_id: int, epoch: int) -> float:
        return limits[trial_id] + 1 / epoch

    pasha, asha = (simulate(scheduler(27), curve, workers=4, seed=seed).epochs for scheduler in (PASHA, ASHA))
    best = limits.index(min(limits))
    assert [t for t, epochs in pasha.items() if epochs > 3] == [best]
    assert asha[best] == pasha[best] == 27
    assert sum(pasha.values()) < sum(asha.values())


def test_state_holds_no_curves_of_trials_that_left():
    pasha = PASHA(9, max_trials=9)
    simulate(pasha, lambda t, e: math.inf if t % 2 else float(t), workers=3)
    paused = {trial for rung in pasha.state()["rungs"][:-1] for _, _, trial in rung["paused"]}
    assert {trial for trial, _ in pasha.state()["curves"]} == paused
    assert pasha.state()["running"] == pasha.state()["finishing"] == []


# Growth


def test_the_noise_is_bounded_work(monkeypatch):
    """A thousand trials in a rung: pairs are formed of the first hundred alone."""
    pairs = 0

    def counting(curve, others):
        nonlocal pairs
        pairs += len(others)
        return crossing_distances(curve, others)

    monkeypatch.setattr(ranking_module, "crossing_distances", counting)
    noise = CrossingNoise(0.9)
    for curve in np.random.default_rng(0).random((1_000, 9)).tolist():
        noise.add(curve)
    assert pairs == 99 * 100 // 2
