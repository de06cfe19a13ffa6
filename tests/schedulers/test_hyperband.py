"""Hyperband: its table, which bracket a trial joins, and what is learned of the rungs."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from contract.driving import call, drive
from kt_ext.core.decision import CheckpointRef, Observation, Pause, Run
from kt_ext.core.random import EventRandom
from kt_ext.core.simulate import simulate
from kt_ext.schedulers import ASHA, Hyperband
from kt_ext.schedulers import brackets as brackets_module
from kt_ext.schedulers.brackets import RungAgreement, concordant_share, hyperband_table, learned_weights


class NoRandomness:
    """Stands in for a Generator where nothing may be drawn: any use raises AttributeError."""


RNG = NoRandomness()


def first_epochs(hyperband: Hyperband, trials: int) -> list[int]:
    """Where the next trials are first compared."""
    return [hyperband.suggest(RNG).until for _ in range(trials)]


# The table


def test_table_for_81_and_3():
    table = (
        ((81, 1), (27, 3), (9, 9), (3, 27), (1, 81)),
        ((34, 3), (11, 9), (3, 27), (1, 81)),
        ((15, 9), (5, 27), (1, 81)),
        ((8, 27), (2, 81)),
        ((5, 81),),
    )
    assert hyperband_table(81) == Hyperband(81).table == table
    assert Hyperband(81, brackets=2).table == table[:2]
    assert Hyperband(81).max_trials == 143
    assert Hyperband(81, brackets=2).max_trials == 81 + 34


def test_table_with_an_odd_last_round():
    assert hyperband_table(10, 2, 3) == (((9, 2), (3, 6), (1, 10)), ((5, 6), (1, 10)), ((3, 10),))
    assert hyperband_table(5, 5) == (((1, 5),),)


def test_one_worker_and_worse_and_worse_trials_train_the_table():
    """Each bracket alone, 81 to 5 trials: as many reach each rung as in the table."""
    rungs = (1, 3, 9, 27, 81)
    reached: Counter[int] = Counter()
    result = simulate(Hyperband(81), lambda t, e: float(t), workers=1)
    for epochs in result.epochs.values():
        reached.update(rung for rung in rungs if rung <= epochs)
    expected: Counter[int] = Counter()
    for rounds in hyperband_table(81):
        trials = [n for n, _ in rounds]
        below = [rung for rung in rungs if rung < rounds[0][1]]  # passed on the way to the bracket's first rung
        expected.update(dict.fromkeys(below, trials[0]))
        expected.update({epochs: n for n, epochs in rounds})
    assert reached == expected
    assert (
        result.total_epochs
        == sum(result.epochs.values())
        == 81
        + 27 * 2
        + 9 * 6
        + 3 * 18
        + 54
        + (34 * 3 + 11 * 6 + 3 * 18 + 54 + 15 * 9 + 5 * 18 + 54 + 8 * 27 + 2 * 54 + 5 * 81)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_epochs": 0}, "max_epochs=0: must be an integer >= 1; give the most epochs of one trial"),
        ({"max_trials": 0}, "max_trials=0: must be an integer >= 1; None takes one whole table"),
        (
            {"brackets": 4},
            "brackets=4: must be <= 3, the number of rungs (1, 3, 9); "
            "use fewer brackets, or get more rungs by a lower min_epochs or factor",
        ),
        (
            {"bracket_choice": "random"},
            "bracket_choice='random': must be 'budget' or 'learned'; 'budget' keeps to Hyperband's table",
        ),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as caught:
        Hyperband(**{"max_epochs": 9} | arguments)
    assert str(caught.value) == message


def test_another_configuration_is_named():
    with pytest.raises(ValueError, match=r"bracket_choice='budget' was saved, this one has 'learned'"):
        Hyperband(9, bracket_choice="learned").load_state(Hyperband(9).state())
    with pytest.raises(ValueError, match=r"scheduler='ASHA' was saved, this one has 'Hyperband'"):
        Hyperband(9).load_state(ASHA(9).state())


# Brackets by budget


def test_the_order_of_brackets():
    """Sizes 9, 5, 3: the deficit of one trial more, by hand. Nothing is drawn."""
    assert first_epochs(Hyperband(9), 17) == [1, 3, 1, 9, 1, 3, 1, 9, 1, 3, 1, 3, 1, 9, 1, 3, 1]


@pytest.mark.parametrize("max_epochs", [9, 27, 81])
def test_each_whole_table_has_its_sizes_and_no_bracket_is_a_trial_ahead(max_epochs):
    hyperband = Hyperband(max_epochs, max_trials=10_000)
    sizes = dict(zip(hyperband.rung_epochs, hyperband.sizes, strict=True))
    table = sum(hyperband.sizes)
    started: Counter[int] = Counter()
    for trials, epochs in enumerate(first_epochs(hyperband, 3 * table), start=1):
        started[epochs] += 1
        assert all(count < trials * sizes[at] / table + 1 for at, count in started.items())
        if trials % table == 0:
            assert started == {at: size * trials // table for at, size in sizes.items()}


def test_brackets_keep_their_own_rungs():
    """Rungs (1, 3, 9) and (3, 9): three at 3 epochs promote one, the other bracket's are not counted among them."""
    hyperband = Hyperband(9, brackets=2)
    runs = [hyperband.suggest(RNG) for _ in range(10)]
    low, high = ([run.trial_id for run in runs if run.until == until] for until in (1, 3))
    for trial_id in high[:3]:
        for epoch in (1, 2):
            assert hyperband.observe(Observation(trial_id, epoch, 0.5), RNG) == Run(trial_id, 3)
        assert hyperband.observe(Observation(trial_id, 3, trial_id / 10), RNG) == Pause(trial_id)
    for trial_id in low[:3]:
        assert hyperband.observe(Observation(trial_id, 1, 0.0), RNG) == Pause(trial_id)
    assert hyperband.suggest(RNG) == Run(high[0], 9, restore=CheckpointRef(high[0], 3))
    assert hyperband.suggest(RNG) == Run(low[0], 3, restore=CheckpointRef(low[0], 1))


# Brackets as learned


def test_concordant_share():
    assert concordant_share([1, 2, 3], [10, 20, 30]) == 1.0
    assert concordant_share([1, 2, 3], [30, 20, 10]) == 0.0
    assert concordant_share([1, 2, 3, 4], [1, 3, 2, 4]) == 5 / 6
    assert concordant_share([1, 1, 2], [1, 2, 3]) == 1.0  # the tied pair says nothing
    assert concordant_share([1, 1], [1, 2]) == concordant_share([5], [5]) == concordant_share([], []) == 1.0


def test_learned_weights():
    assert learned_weights((9, 5, 3), (1.0, 1.0, 1.0)) == (9.0, 5.0, 3.0)
    assert learned_weights((8, 4, 3), (0.5, 1.0, 1.0)) == (1 * 15 / 8, 4 * 15 / 8, 3 * 15 / 8)
    assert learned_weights((9, 5, 3), (0.0, 0.0, 1.0)) == (0.0, 0.0, 17.0)
    assert learned_weights((9, 5), (0.0, 0.0)) == (9.0, 5.0)


def test_agreement_is_judged_by_the_highest_rung_with_eight_trials():
    agreement = RungAgreement(3)
    for trial_id in range(7):
        for objective in (float(trial_id), -float(trial_id)):
            agreement.record(trial_id, objective)
    agreement.record(7, 7.0)
    assert agreement.shares(3) is None  # 8 at the lowest rung, 7 at the next
    agreement.record(7, -7.0)
    assert agreement.shares(3) == [0.0, 1.0, 1.0]
    for trial_id in range(8):
        agreement.record(trial_id, -float(trial_id))
    assert agreement.shares(3) == [0.0, 1.0, 1.0] and agreement.shares(2) == [0.0, 1.0]
    agreement.record(8, 0.0), agreement.record(8, 9.0), agreement.record(8, 9.0)
    assert agreement.shares(3) == [0.0 + 0 / 36, 36 / 36, 1.0]


def test_only_the_latest_trials_count(monkeypatch):
    monkeypatch.setattr(brackets_module, "LATEST_TRIALS", 8)
    agreement = RungAgreement(2)
    for trial_id in range(16):
        agreement.record(trial_id, float(trial_id))
        agreement.record(trial_id, float(-trial_id if trial_id < 8 else trial_id))
    assert agreement.shares(2) == [1.0, 1.0]


def test_learned_is_budget_until_there_is_enough():
    learned, budget = Hyperband(9, max_trials=60, bracket_choice="learned"), Hyperband(9, max_trials=60)
    until = {"learned": [], "budget": []}
    for _ in range(3):  # three trials from each bracket reach at most 3 epochs: fewer than 8
        for name, scheduler in (("learned", learned), ("budget", budget)):
            run = scheduler.suggest(RNG)
            until[name].append(run.until)
            scheduler.observe(Observation(run.trial_id, 1, 0.5), RNG)
    assert until["learned"] == until["budget"]
    assert first_epochs(learned, 20) == first_epochs(budget, 20)


def test_a_lowest_rung_that_misleads_loses_its_bracket():
    """Eight trials of the bracket at 3 epochs come in reverse: the bracket at 1 epoch gets nobody any more."""
    hyperband = Hyperband(3, max_trials=300, bracket_choice="learned")
    assert hyperband.sizes == (3, 2)
    runs = [hyperband.suggest(RNG) for _ in range(20)]
    assert [run.until for run in runs[:5]] == [1, 3, 1, 3, 1]
    for run in [run for run in runs if run.until == 3]:
        for epoch in (1, 2, 3):
            hyperband.observe(Observation(run.trial_id, epoch, run.trial_id * (2 - epoch)), RNG)
    assert first_epochs(hyperband, 20) == [3] * 20


@pytest.mark.parametrize("seed", range(20))
def test_learned_restarts_at_the_same_weights(seed):
    """The cache of shares is no state: one that is loaded afresh before every decision decides the same."""
    random = EventRandom(seed)
    fresh = Hyperband(9, max_trials=80, bracket_choice="learned")
    for made in drive(Hyperband(9, max_trials=80, bracket_choice="learned"), seed, levels=0):
        loaded = Hyperband(9, max_trials=80, bracket_choice="learned")
        loaded.load_state(json.loads(json.dumps(fresh.state())))
        fresh = loaded
        assert call(fresh, random, made) == made.answer


def test_nothing_is_kept_of_trials_that_left():
    hyperband = Hyperband(9, max_trials=40, bracket_choice="learned")
    simulate(hyperband, lambda t, e: np.inf if t % 2 else float(t), workers=3)
    below_top = [rung for rungs in hyperband.state()["rungs"] for rung in rungs[:-1]]
    paused = {trial for rung in below_top for _, _, trial in rung["paused"]}
    assert {trial for trial, _ in hyperband.state()["agreement"]["passed"]} == paused
    assert hyperband.state()["running"] == []
