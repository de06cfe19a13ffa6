"""The simulator: exact clocks, shares and decisions."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.simulate import Logged, Simulation, simulate
from kt_ext.core.space import Choice, Float, Parameter, Space
from kt_ext.schedulers import ASHA, FIFO
from kt_ext.searchers import GridSearcher, RandomSearcher


def test_every_event_of_a_small_search():
    """Three trials of two epochs on two workers; trial t takes t + 1 seconds an epoch."""
    result = simulate(FIFO(3, 2), lambda t, e: 0.0, workers=2, epoch_seconds=lambda t: t + 1.0)
    assert result == Simulation(
        log=[
            Logged(0.0, 0, Run(0, 2)),
            Logged(0.0, 1, Run(1, 2)),
            Logged(1.0, 0, Run(0, 2)),
            Logged(2.0, 1, Run(1, 2)),  # scheduled before the one below
            Logged(2.0, 0, Stop(0)),
            Logged(2.0, 0, Run(2, 2)),
            Logged(4.0, 1, Stop(1)),
            Logged(5.0, 0, Run(2, 2)),
            Logged(8.0, 0, Stop(2)),
            Logged(8.0, 1, Done()),
        ],
        epochs={0: 2, 1: 2, 2: 2},
        total_epochs=6,
        end_seconds=8.0,
        busy=12 / 16,  # worker 1 has nothing to do from 4 to 8
        busy_while_starting=1.0,  # until 2, where the last trial is started
        suggestions=6,  # three runs, a Wait at 4 and at 5, Done
        finished=True,
    )


def test_busy_while_starting_counts_workers_kept_waiting():
    """One trial at a time, though there are two workers: both shares are a half."""

    class OneAtATime(FIFO):
        def suggest(self, rng):
            return Wait() if self._running else super().suggest(rng)

    result = simulate(OneAtATime(3, 2), lambda t, e: 0.0, workers=2)
    assert (result.end_seconds, result.busy, result.busy_while_starting) == (6.0, 0.5, 0.5)


def test_waiting_workers_are_asked_again_after_each_report():
    """Worker 1 waits at 1 s, when trial 1 has paused, and takes the promotion that the report at 2 s allows."""
    scheduler = ASHA(4, factor=2, max_trials=2)
    result = simulate(scheduler, lambda t, e: float(t), workers=2, epoch_seconds=lambda t: 2.0 - t, seed=3)
    assert result.log == [
        Logged(0.0, 0, Run(0, 1)),
        Logged(0.0, 1, Run(1, 1)),
        Logged(1.0, 1, Pause(1)),
        Logged(2.0, 0, Pause(0)),
        Logged(2.0, 1, Run(0, 2, restore=CheckpointRef(0, 1))),
        Logged(4.0, 1, Pause(0)),
        Logged(4.0, 0, Done()),
    ]


def test_failures_take_their_time_and_are_forgotten():
    result = simulate(FIFO(2, 3), lambda t, e: 0.0, workers=1, failures=lambda t, e: (t, e) == (0, 2))
    assert result.log[2] == Logged(2.0, 0, None)
    assert result.epochs == {0: 2, 1: 3}
    assert result.end_seconds == 5.0


def test_max_seconds_cuts_off():
    result = simulate(FIFO(3, 4), lambda t, e: 0.0, workers=4, max_seconds=2.5)
    assert (result.finished, result.end_seconds, result.epochs) == (False, 2.5, {0: 2, 1: 2, 2: 2})
    assert result.busy == 0.75
    assert simulate(FIFO(3, 4), lambda t, e: 0.0, workers=4, max_seconds=4.0).finished


@pytest.mark.parametrize("worst", [math.nan, -math.inf, math.inf])
def test_worst_values_reach_the_scheduler_as_inf(worst):
    seen = []

    class Watched(FIFO):
        def observe(self, observation, rng):
            seen.append(observation)
            return super().observe(observation, rng)

    simulate(Watched(1, 1), lambda t, e: worst, workers=1)
    assert seen == [Observation(0, 1, math.inf)]


def test_decisions_draw_by_their_number_and_wait_does_not_count():
    """Decision n draws from EventRandom(seed).at(n), also when workers had to wait in between."""
    draws = []

    class Drawing(FIFO):
        def suggest(self, rng):
            decision = super().suggest(rng)
            if isinstance(decision, Run):
                draws.append(rng.random())
            return decision

        def observe(self, observation, rng):
            draws.append(rng.random())
            return super().observe(observation, rng)

    result = simulate(Drawing(2, 2), lambda t, e: 0.0, workers=5, seed=7)
    assert result.suggestions > 3
    assert draws == [EventRandom(7).at(n).random() for n in range(6)]


def test_the_log_can_be_left_out():
    with_log, without = (
        simulate(ASHA(9, brackets=3), lambda t, e: (t * 7 % 11) / e, workers=4, log=log) for log in (True, False)
    )
    assert without.log == [] and with_log.log != []
    assert (without.epochs, without.busy) == (with_log.epochs, with_log.busy)


def test_same_seed_same_simulation_and_another_seed_another():
    def run(seed: int) -> Simulation:
        return simulate(ASHA(9, brackets=3), lambda t, e: (t * 7 % 11) / e, workers=4, seed=seed)

    assert run(0) == run(0)
    assert run(0) != run(1)


def test_asha_halves_as_it_should_on_one_worker():
    """One worker and worse and worse trials: of 27, ASHA trains 9 to 3 epochs and 3 to the end, the first ones."""
    result = simulate(ASHA(9), lambda t, e: float(t), workers=1)
    assert [t for t, epochs in result.epochs.items() if epochs >= 3] == list(range(9))
    assert [t for t, epochs in result.epochs.items() if epochs == 9] == [0, 1, 2]
    assert result.total_epochs == 27 + 9 * 2 + 3 * 6


def test_thousand_workers_are_kept_busy():
    result = simulate(
        ASHA(27, max_trials=5_000),
        lambda t, e: t * 7919 % 5_000 / e,
        workers=1_000,
        log=False,
        failures=lambda t, e: t % 50 == 0,
    )
    assert result.busy_while_starting == 1.0
    assert result.busy < 1.0
    assert len(result.epochs) == 5_000


SPACE = Space([Parameter("x", Float(0.0, 1.0)), Parameter("units", Choice((16, 32)))])


def test_with_a_searcher_the_objective_sees_the_values_and_the_scheduler_decides_as_alone():
    history = History()

    def objective(trial_id: int, epoch: int) -> float:
        values = history.values(trial_id)
        return (values["x"] - 0.3) ** 2 + values["units"] / epoch

    def searched(history: History) -> Simulation:
        return simulate(
            ASHA(9),
            objective,
            workers=4,
            seed=5,
            failures=lambda t, e: (t, e) in ((4, 1), (9, 3)),
            searcher=RandomSearcher(),
            space=SPACE,
            history=history,
        )

    result = searched(history)
    assert list(history.ids) == list(range(27))
    assert history.total_epochs == result.total_epochs - 1 - (result.epochs[9] >= 3)  # failed epochs are not reported
    assert not history.pending
    alone = simulate(
        ASHA(9), objective, workers=4, seed=5, failures=lambda t, e: (t, e) in ((4, 1), (9, 3))
    )  # the same values, read from the history of the first
    without_values = [
        replace(entry, decision=replace(entry.decision, values=None)) if isinstance(entry.decision, Run) else entry
        for entry in result.log
    ]
    assert alone.log == without_values
    first = next(entry.decision for entry in result.log if entry.decision == Run(0, 1, history.values(0)))
    assert set(first.values) == {"x", "units"}


def test_an_exhausted_searcher_ends_the_search():
    history = History()
    space = Space([Parameter("units", Choice((16, 32, 64)))])
    result = simulate(
        ASHA(3),
        lambda t, e: history.values(t)["units"],
        workers=2,
        searcher=GridSearcher(),
        space=space,
        history=history,
    )
    assert result.finished
    assert result.epochs == {0: 3, 1: 1, 2: 1}
    assert [history.values(t)["units"] for t in history.ids] == [16, 32, 64]


def test_searcher_space_and_history_go_together():
    with pytest.raises(ValueError, match=r"^searcher=None, space=.*, history=None: must be given together"):
        simulate(FIFO(1, 1), lambda t, e: 0.0, workers=1, space=SPACE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers=0: must be an integer >= 1; give the number of simultaneous trials"),
        ({"seed": -1}, "seed=-1: must be an integer >= 0; 0 is a seed like any other"),
        ({"epoch_seconds": 0.0}, "epoch_seconds=0.0: must be > 0; use 1.0 to count time in epochs"),
        ({"max_seconds": -1}, "max_seconds=-1: must be >= 0; use None to run until the scheduler is done"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as caught:
        simulate(FIFO(1, 1), lambda t, e: 0.0, **{"workers": 1} | arguments)
    assert str(caught.value) == message


def test_a_scheduler_that_breaks_its_contract_is_named():
    class Says(FIFO):
        answer = Wait()

        def suggest(self, rng):
            return self.answer if self._started else super().suggest(rng)

    class Backwards(FIFO):
        def observe(self, observation, rng):
            return Run(observation.trial_id, until=observation.epoch)

    class Done1(Says):
        answer = Done()

    with pytest.raises(RuntimeError, match=r"Says: says Wait\(\) while 0 trials are running"):
        simulate(Says(2, 1), lambda t, e: 0.0, workers=1)
    with pytest.raises(RuntimeError, match=r"Done1: says Done\(\) while 1 trials are running"):
        simulate(Done1(2, 1), lambda t, e: 0.0, workers=2)
    with pytest.raises(RuntimeError, match=r"has done 1 epochs to an epoch that is not beyond them"):
        simulate(Backwards(1, 2), lambda t, e: 0.0, workers=1)
