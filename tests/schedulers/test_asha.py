"""ASHA: exact decisions on hand-made arrivals."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait
from kt_ext.core.random import EventRandom
from kt_ext.schedulers import ASHA
from kt_ext.schedulers.rungs import PromotionRung, StoppingRung, bracket_sizes, geometric_epochs


class NoRandomness:
    """Stands in for a Generator where nothing may be drawn: any use raises AttributeError."""


RNG = NoRandomness()


def start(asha, count: int) -> list[int]:
    """Starts ``count`` new trials and returns their ids."""
    decisions = [asha.suggest(RNG) for _ in range(count)]
    assert all(decision.restore is None for decision in decisions)
    return [decision.trial_id for decision in decisions]


def report(asha, objectives: dict[int, float], epoch: int = 1) -> list:
    """Reports the trials at ``epoch``, in the order given; the answers."""
    return [asha.observe(Observation(trial_id, epoch, value), RNG) for trial_id, value in objectives.items()]


def train(asha, run: Run, objective: float):
    """Reports every epoch of the segment; the last answer."""
    first = run.restore.epoch + 1 if run.restore else 1
    for epoch in range(first, run.until):
        assert asha.observe(Observation(run.trial_id, epoch, objective), RNG) == Run(run.trial_id, run.until)
    return asha.observe(Observation(run.trial_id, run.until, objective), RNG)


# Rungs and arguments


@pytest.mark.parametrize(
    ("arguments", "epochs"),
    [
        ((1, 9, 3), (1, 3, 9)),
        ((1, 10, 3), (1, 3, 9, 10)),
        ((1, 8, 3), (1, 3, 8)),
        ((2, 16, 2), (2, 4, 8, 16)),
        ((5, 5, 3), (5,)),
        ((4, 5, 3), (4, 5)),
    ],
)
def test_rung_epochs(arguments, epochs):
    assert geometric_epochs(*arguments) == epochs
    min_epochs, max_epochs, factor = arguments
    asha = ASHA(max_epochs, min_epochs, factor)
    assert asha.rung_epochs == epochs
    assert asha.max_trials == factor ** len(epochs)


def test_hyperbands_table_for_81_and_3():
    """Li et al. 2018 (JMLR), Table 1: n of the first rung of brackets s = 4, 3, 2, 1, 0."""
    assert bracket_sizes(5, 3) == (81, 34, 15, 8, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_epochs": 0}, "max_epochs=0: must be an integer >= 1; give the most epochs of one trial"),
        ({"min_epochs": 0}, "min_epochs=0: must be an integer >= 1; 1 compares trials after one epoch"),
        ({"min_epochs": 10}, "min_epochs=10: must be <= max_epochs=9; lower it or raise max_epochs"),
        ({"factor": 1}, "factor=1: must be an integer >= 2; use FIFO to keep every trial"),
        ({"factor": 3.0}, "factor=3.0: must be an integer >= 2; use FIFO to keep every trial"),
        ({"brackets": 0}, "brackets=0: must be an integer >= 1; 1 is plain ASHA"),
        (
            {"brackets": 4},
            "brackets=4: must be <= 3, the number of rungs (1, 3, 9); "
            "use fewer brackets, or get more rungs by a lower min_epochs or factor",
        ),
        ({"max_trials": 0}, "max_trials=0: must be an integer >= 1; None takes factor ** number of rungs"),
        (
            {"variant": "stop"},
            "variant='stop': must be 'promotion', 'stopping' or 'decisive'; 'promotion' is the paper's",
        ),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as caught:
        ASHA(**{"max_epochs": 9} | arguments)
    assert str(caught.value) == message


def test_another_configuration_is_named():
    with pytest.raises(
        ValueError, match=r"factor=3 was saved, this one has 4; max_trials=27 was saved, this one has 64"
    ):
        ASHA(9, factor=4).load_state(ASHA(9).state())


def test_a_state_saved_before_hyperband_was_there_is_read_and_written_the_same():
    """A search under way, as version 0.1 wrote it."""
    saved = {
        "configuration": {
            "scheduler": "ASHA",
            "max_epochs": 9,
            "min_epochs": 1,
            "factor": 3,
            "brackets": 2,
            "max_trials": 27,
            "variant": "promotion",
        },
        "started": 5,
        "exhausted": False,
        "running": [[3, 0, 3], [4, 0, 1], [1, 1, 3]],
        "bracket": [[3, 1], [4, 0], [1, 0]],
        "rungs": [
            [
                {"reached": 3, "paused": [[0.4, 2, 2], [0.5, 0, 0]], "promoted": [[0.25, 1]]},
                {"reached": 0, "paused": [], "promoted": []},
                {"reached": 0, "paused": [], "promoted": []},
            ],
            [{"reached": 0, "paused": [], "promoted": []}, {"reached": 0, "paused": [], "promoted": []}],
        ],
    }
    asha = ASHA(9, brackets=2, max_trials=27)
    asha.load_state(saved)
    assert json.dumps(asha.state()) == json.dumps(saved)
    assert report(asha, {4: 0.1}) == [Pause(4)]
    assert report(asha, {1: 0.2}, 2) == [Run(1, until=3)]
    assert report(asha, {1: 0.2}, 3) == [Pause(1)]


# Promotion


def test_nine_trials_of_which_three_are_promoted():
    asha = ASHA(9, max_trials=9)
    assert start(asha, 9) == list(range(9))
    values = {0: 0.9, 1: 0.8, 2: 0.1, 3: 0.7, 4: 0.6, 5: 0.2, 6: 0.5, 7: 0.3, 8: 0.4}
    assert report(asha, values) == [Pause(trial_id) for trial_id in range(9)]
    promoted = [asha.suggest(RNG) for _ in range(4)]
    assert promoted == [*(Run(t, until=3, restore=CheckpointRef(t, 1)) for t in (2, 5, 7)), Wait()]
    assert [train(asha, run, run.trial_id) for run in promoted[:3]] == [Pause(2), Pause(5), Pause(7)]
    top = asha.suggest(RNG)
    assert top == Run(2, until=9, restore=CheckpointRef(2, 3))
    assert asha.suggest(RNG) == Wait()
    assert train(asha, top, 0.0) == Stop(2)
    assert asha.suggest(RNG) == Done()
    assert asha.state()["running"] == asha.state()["bracket"] == []  # of trials that have left nothing is kept here


def test_promotes_from_the_highest_rung_first():
    asha = ASHA(9)
    start(asha, 15)
    report(asha, {t: float(t) for t in range(9)})
    for run in [asha.suggest(RNG) for _ in range(3)]:
        train(asha, run, float(run.trial_id))
    report(asha, {t: -1.0 for t in range(9, 15)})  # now both rungs have someone to promote
    assert asha.suggest(RNG) == Run(0, until=9, restore=CheckpointRef(0, 3))
    assert asha.suggest(RNG) == Run(9, until=3, restore=CheckpointRef(9, 1))


def test_counts_all_that_reached_the_rung_promoted_ones_included():
    """3 of 9 are promoted. With 2 more arrivals the top floor(11 / 3) = 3 are still those: a new trial is started,
    where 1 / factor of the 8 that are left would promote two more."""
    asha = ASHA(9)
    start(asha, 11)
    report(asha, {t: float(t) for t in range(9)})
    assert [asha.suggest(RNG).trial_id for _ in range(3)] == [0, 1, 2]
    report(asha, {9: 50.0, 10: 60.0})
    assert asha.suggest(RNG) == Run(11, until=1)


def test_a_late_better_trial_is_promoted_beside_those_already_promoted():
    """The top floor(3 / 3) = 1 was promoted; 3 better ones come. Of 6 the top 2 are new: more than a third go on."""
    asha = ASHA(9)
    start(asha, 6)
    report(asha, {0: 5.0, 1: 6.0, 2: 7.0})
    assert asha.suggest(RNG).trial_id == 0
    report(asha, {3: 3.0, 4: 2.0, 5: 1.0})
    assert [asha.suggest(RNG) for _ in range(3)] == [
        Run(5, until=3, restore=CheckpointRef(5, 1)),
        Run(4, until=3, restore=CheckpointRef(4, 1)),
        Run(6, until=1),
    ]


def test_the_earlier_arrival_wins_a_tie():
    asha = ASHA(9)
    start(asha, 6)
    report(asha, {4: 1.0, 2: 1.0, 5: 1.0, 0: 1.0, 3: 1.0, 1: 1.0})
    assert [asha.suggest(RNG).trial_id for _ in range(3)] == [4, 2, 6]


@pytest.mark.parametrize("worst", [math.inf, -math.inf, math.nan])
def test_diverged_trials_stop_at_once_and_count_where_they_were_heading(worst):
    asha = ASHA(9, min_epochs=3)
    start(asha, 4)
    assert report(asha, {0: worst, 1: worst}) == [Stop(0), Stop(1)]  # at epoch 1 of 3
    for epoch, answer in ((1, Run(2, until=3)), (2, Run(2, until=3)), (3, Pause(2))):
        assert report(asha, {2: 8.0}, epoch) == [answer]
    assert asha.suggest(RNG) == Run(2, until=9, restore=CheckpointRef(2, 3))  # the best of three


def test_only_diverged_trials_promote_nobody():
    asha = ASHA(9, max_trials=3)
    start(asha, 3)
    assert report(asha, {0: math.inf, 1: math.nan, 2: math.inf}) == [Stop(0), Stop(1), Stop(2)]
    assert asha.suggest(RNG) == Done()


def test_a_forgotten_trial_stays_on_record_and_is_not_resumed():
    asha = ASHA(9)
    start(asha, 6)
    report(asha, {0: 0.0, 1: 1.0, 2: 2.0})
    assert asha.suggest(RNG).trial_id == 0
    asha.forget(0)
    assert asha.suggest(RNG) == Run(6, until=1)  # trial 0 remains the top third of three
    report(asha, {3: 3.0, 4: 4.0, 5: 5.0})
    assert asha.suggest(RNG).trial_id == 1


def test_at_the_top_rung_trials_stop():
    asha = ASHA(2, min_epochs=2, max_trials=1)
    assert train(asha, asha.suggest(RNG), 0.0) == Stop(0)
    assert asha.suggest(RNG) == Done()


def test_numpy_objectives_leave_a_plain_state():
    for variant in ("promotion", "stopping"):
        asha = ASHA(9, variant=variant)
        start(asha, 1)
        report(asha, {0: np.float32(0.5)})
        assert json.loads(json.dumps(asha.state()))["rungs"][0][0]["reached"] == 1


# Stopping


def test_stopping_lets_the_first_go_on_then_only_the_top_third():
    asha = ASHA(9, variant="stopping")
    assert asha.stops_in_flight and not ASHA(9).stops_in_flight
    assert [asha.suggest(RNG) for _ in range(2)] == [Run(0, until=9), Run(1, until=9)]
    start(asha, 5)
    go = [Run(t, until=9) for t in range(7)]
    assert report(asha, {0: 5.0, 1: 6.0}) == go[:2]  # fewer than 3 values
    assert report(asha, {2: 5.0, 3: 4.0, 4: 4.5}) == [Stop(2), go[3], Stop(4)]  # ranks 1 of 3, 0 of 4, 1 of 5
    assert report(asha, {5: 4.0, 6: 4.0}) == [go[5], Stop(6)]  # ranks 1 of 6 (after its equal), 2 of 7


def test_stopping_between_rungs_and_at_the_end():
    asha = ASHA(9, variant="stopping", max_trials=1)
    asha.suggest(RNG)
    assert [report(asha, {0: 1.0}, epoch)[0] for epoch in range(1, 10)] == [Run(0, until=9)] * 8 + [Stop(0)]
    assert asha.suggest(RNG) == Done()


def test_stopping_counts_a_diverged_trial_at_the_next_rung():
    asha = ASHA(9, variant="stopping")
    start(asha, 3)
    report(asha, {0: 1.0, 1: 1.0})
    assert report(asha, {0: math.nan, 1: math.inf}, 2) == [Stop(0), Stop(1)]
    assert report(asha, {2: math.inf}) == [Stop(2)]
    start(asha, 3)
    assert report(asha, {3: 0.5, 4: 0.4, 5: 0.3}) == [Run(t, until=9) for t in (3, 4, 5)]
    for epoch in (2, 3):  # 3 values at the rung of 3 epochs, two of them inf: rank 0 of 3 goes on, rank 1 of 4 stops
        answers = report(asha, {3: 0.5, 4: 0.6}, epoch)
    assert answers == [Run(3, until=9), Stop(4)]


# Brackets


def test_one_bracket_draws_nothing():
    assert ASHA(9).suggest(RNG) == Run(0, until=1)
    with pytest.raises(AttributeError):
        ASHA(9, brackets=2).suggest(RNG)


def test_brackets_are_drawn_as_hyperband_fills_them():
    """Over 14,300 trials, within 4 standard deviations of 81 : 34 : 15 : 8 : 5, by the epochs of the first segment."""
    asha = ASHA(81, brackets=5, max_trials=14_300)
    random = EventRandom(0)
    counts = Counter(asha.suggest(random.at(n)).until for n in range(14_300))
    for until, size in {1: 81, 3: 34, 9: 15, 27: 8, 81: 5}.items():
        share = size / 143
        assert abs(counts[until] - 14_300 * share) < 4 * math.sqrt(14_300 * share * (1 - share))


def test_brackets_keep_their_own_rungs_and_the_lower_bracket_comes_first():
    """Rungs (1, 3, 9) and (3, 9). Nobody is compared with the other bracket's trials at 3 epochs."""
    asha = ASHA(9, brackets=2, max_trials=200)
    rng = np.random.default_rng(0)
    runs = [asha.suggest(rng) for _ in range(60)]
    low = [run for run in runs if run.until == 1][:9]
    high = [run for run in runs if run.until == 3][:3]
    for run in high[:2]:
        train(asha, run, 0.0)
    for run in low:
        train(asha, run, float(run.trial_id))
    promoted = [asha.suggest(rng) for _ in range(3)]  # 2 trials at 3 epochs in the high bracket are too few
    assert promoted == [Run(run.trial_id, until=3, restore=CheckpointRef(run.trial_id, 1)) for run in low[:3]]
    for run in promoted[:2]:
        train(asha, run, -1.0)
    assert asha.suggest(rng).restore is None  # 2 and 2 at 3 epochs: a third of neither
    train(asha, high[2], 9.0)
    train(asha, promoted[2], -1.0)
    assert asha.suggest(rng) == Run(promoted[0].trial_id, until=9, restore=CheckpointRef(promoted[0].trial_id, 3))
    assert asha.suggest(rng) == Run(high[0].trial_id, until=9, restore=CheckpointRef(high[0].trial_id, 3))


# Growth


@pytest.mark.parametrize("rung_class", [PromotionRung, StoppingRung])
def test_a_rung_of_many_is_not_sorted_again_and_again(rung_class):
    """The comparisons for one more arrival and promotion grow like log n: at 8 times the trials less than twice."""

    class Counted(float):
        comparisons = 0
        __hash__ = float.__hash__

        def __lt__(self, other):
            Counted.comparisons += 1
            return float.__lt__(self, other)

        def __eq__(self, other):  # tuples look for the first difference by ==
            Counted.comparisons += 1
            return float.__eq__(self, other)

    def comparisons_each(trials: int) -> float:
        rung = rung_class(1, 3)
        rng = np.random.default_rng(0)
        Counted.comparisons = 0
        for trial_id, value in enumerate(rng.random(trials)):
            rung.reach(trial_id, Counted(value))
            rung.promote()
        return Counted.comparisons / trials

    few = comparisons_each(1_000)
    assert few > 10  # they are counted
    assert comparisons_each(8_000) < 2 * few
