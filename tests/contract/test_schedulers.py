"""What every scheduler promises (kt_ext.core.scheduler), over the table of schedulers and random searches."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from contract.driving import Call, call, drive
from contract.scheduler_table import IMPATIENT, SCHEDULERS, SLOW
from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait, to_json
from kt_ext.core.random import EventRandom

SEEDS = range(5)
every_scheduler = pytest.mark.parametrize(
    "make",
    [pytest.param(make, id=name, marks=[pytest.mark.slow] * (name in SLOW)) for name, make in SCHEDULERS.items()],
)


def runs(calls: list[Call]) -> list[Run]:
    """The segments handed out by suggest, in order."""
    return [made.answer for made in calls if made.method == "suggest" and isinstance(made.answer, Run)]


def fingerprint(name: str, seed: int) -> str:
    """A digest of every decision of one random search."""
    answers = [made.answer and to_json(made.answer) for made in drive(SCHEDULERS[name](), seed)]
    return hashlib.sha256(json.dumps(answers).encode()).hexdigest()


@every_scheduler
def test_attributes(make):
    scheduler = make()
    assert scheduler.max_trials >= 1
    assert list(scheduler.rung_epochs) == sorted(set(scheduler.rung_epochs))
    assert scheduler.rung_epochs[0] >= 1 and scheduler.rung_epochs[-1] == scheduler.max_epochs
    assert isinstance(scheduler.repeats, bool) and isinstance(scheduler.stops_in_flight, bool)
    assert scheduler.failure is None and not scheduler.pinned()


@every_scheduler
@pytest.mark.parametrize("seed", SEEDS)
def test_bounds_and_numbering(make, seed):
    scheduler = make()
    calls = drive(scheduler, seed)
    new = [run.trial_id for run in runs(calls) if run.restore is None]
    assert new == list(range(len(new)))
    assert 1 <= len(new) <= scheduler.max_trials
    assert all(1 <= made.answer.until <= scheduler.max_epochs for made in calls if isinstance(made.answer, Run))
    assert isinstance(calls[-1].answer, Done)


@every_scheduler
def test_starts_max_trials_when_nothing_ends_the_search(make):
    scheduler = make()
    calls = drive(scheduler, seed=0, failing=0.0, diverging=0.0)
    assert sum(run.restore is None for run in runs(calls)) == scheduler.max_trials


@every_scheduler
@pytest.mark.parametrize("seed", SEEDS)
def test_one_worker_for_a_trial_and_every_epoch_once(make, seed):
    """No trial is with two workers; it goes on from a state after as many epochs as it has done: none comes twice."""
    held: set[int] = set()
    epochs: dict[int, int] = {}
    for made in drive(make(), seed):
        if made.method == "suggest" and isinstance(made.answer, Run):
            run = made.answer
            assert run.trial_id not in held
            held.add(run.trial_id)
            last = epochs.setdefault(run.trial_id, 0)
            assert (run.restore.epoch if run.restore else 0) == last
            assert run.until > last
        elif made.method == "observe":
            trial_id = made.argument.trial_id
            assert made.answer.trial_id == trial_id
            assert made.argument.epoch == epochs[trial_id] + 1
            epochs[trial_id] = made.argument.epoch
            if isinstance(made.answer, Run):
                assert made.answer.until > made.argument.epoch
                assert made.answer.restore is None or made.answer.restore.epoch == made.argument.epoch
            else:
                held.remove(trial_id)
        elif made.method == "forget":
            held.remove(made.argument)


@every_scheduler
@pytest.mark.parametrize("seed", SEEDS)
def test_stopped_and_forgotten_trials_are_never_resumed(make, seed):
    ended: set[int] = set()
    for made in drive(make(), seed, diverging=0.1, failing=0.1):
        if made.method == "suggest" and isinstance(made.answer, Run):
            assert made.answer.trial_id not in ended
        if made.method == "forget":
            ended.add(made.argument)
        if made.method == "observe":
            assert isinstance(made.answer, (Run, Pause, Stop))
            if isinstance(made.answer, Stop):
                ended.add(made.argument.trial_id)


@every_scheduler
@pytest.mark.parametrize("diverging", [0.1, 0.5])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_segment_begins_in_a_diverged_state(make, seed, diverging):
    """Whether its own or another's; nor does one begin in the state of a trial that was forgotten."""
    objectives: dict[CheckpointRef, float] = {}
    sent_to: dict[int, int] = {}
    forgotten: set[int] = set()
    for made in drive(make(), seed, diverging=diverging, failing=0.1):
        state = None
        if made.method == "forget":
            forgotten.add(made.argument)
        if made.method == "observe":
            state = CheckpointRef(made.argument.trial_id, made.argument.epoch)
            objectives[state] = made.argument.objective
        if isinstance(made.answer, Run):
            run = made.answer
            begins = made.method == "suggest" or run.restore or made.argument.epoch == sent_to[run.trial_id]
            state = run.restore or state
            if begins and state is not None:
                assert math.isfinite(objectives[state])
                assert state.trial_id not in forgotten
            sent_to[run.trial_id] = run.until


@every_scheduler
@pytest.mark.parametrize("seed", range(20))
def test_a_state_that_another_trial_takes_was_pinned_ever_since_its_report(make, seed):
    """Whoever removes what is neither pinned nor a trial's latest state removes nothing that is asked for."""
    scheduler = make()
    random = EventRandom(seed)
    kept: set[CheckpointRef] = set()
    reported: set[CheckpointRef] = set()
    for made in drive(make(), seed, workers=1 + seed % 7, failing=0.02, diverging=0.1):
        restore = getattr(made.answer, "restore", None)
        if restore is not None and restore.trial_id != made.answer.trial_id:
            assert restore in kept
        assert call(scheduler, random, made) == made.answer
        new = set()
        if made.method == "observe":
            new = {CheckpointRef(made.argument.trial_id, made.argument.epoch)}
        reported |= new
        pinned = list(scheduler.pinned())
        assert len(pinned) == len(set(pinned))
        assert set(pinned) <= reported
        kept = (kept | new) & set(pinned)
    assert not scheduler.pinned()  # a search that is over pins nothing


@every_scheduler
@pytest.mark.parametrize("seed", SEEDS)
def test_no_trial_leaves_its_worker_early_unless_announced(make, seed):
    scheduler = make()
    until: dict[int, int] = {}
    for made in drive(scheduler, seed, diverging=0.0):
        if isinstance(made.answer, Run):
            until[made.answer.trial_id] = made.answer.until
        elif isinstance(made.answer, (Pause, Stop)) and not scheduler.stops_in_flight:
            assert made.argument.epoch == until[made.answer.trial_id]


@every_scheduler
@pytest.mark.parametrize("worst", [math.inf, -math.inf, math.nan])
def test_worst_values_never_beat_finite_ones(make, worst):
    """Odd trials diverge in every epoch: nobody goes on from an odd trial's state, and some even one is trained."""
    scheduler = make()
    random = EventRandom(0)
    done: dict[int, int] = {}
    for number in range(10_000):
        decision = scheduler.suggest(random.at(number))
        if not isinstance(decision, Run):
            assert decision == Done()
            break
        trial_id = decision.trial_id
        assert decision.restore is None or decision.restore.trial_id % 2 == 0
        while isinstance(decision, Run):
            done[trial_id] = done.get(trial_id, 0) + 1
            objective = worst if trial_id % 2 else 1e300
            decision = scheduler.observe(Observation(trial_id, done[trial_id], objective), random.at(number))
            restore = getattr(decision, "restore", None)
            assert restore is None or restore.trial_id % 2 == 0
    assert scheduler.failure is None
    furthest = max(done[trial_id] for trial_id in done if trial_id % 2 == 0)
    assert furthest == scheduler.max_epochs or isinstance(scheduler, IMPATIENT)


@every_scheduler
def test_all_equal_objectives_end_the_search(make):
    calls = drive(make(), seed=3, levels=1, failing=0.0, diverging=0.0)
    assert isinstance(calls[-1].answer, Done)
    furthest = max(made.argument.epoch for made in calls if made.method == "observe")
    assert furthest == make().max_epochs or isinstance(make(), IMPATIENT)


@every_scheduler
@pytest.mark.parametrize("seed", SEEDS)
def test_wait_only_while_a_trial_runs_and_done_for_ever(make, seed):
    scheduler = make()
    running = 0
    for made in drive(scheduler, seed, workers=20):
        if made.method == "suggest":
            assert not isinstance(made.answer, Wait) or running > 0
            assert not isinstance(made.answer, Done) or running == 0
            running += isinstance(made.answer, Run)
        else:
            running -= made.method == "forget" or isinstance(made.answer, (Pause, Stop))
    assert scheduler.suggest(np.random.default_rng(0)) == Done()


@every_scheduler
def test_all_fail(make):
    calls = drive(make(), seed=0, failing=1.0)
    assert isinstance(calls[-1].answer, Done)
    assert len(runs(calls)) == make().max_trials


@every_scheduler
@pytest.mark.parametrize("seed", SEEDS)
def test_all_diverge(make, seed):
    """The search ends; a scheduler that ends it early says why, from then on for ever, and after a restart too."""
    scheduler, end = make(), make()
    assert scheduler.failure is None
    random = EventRandom(seed)
    failed = False
    calls = drive(make(), seed, diverging=1.0, failing=0.0)
    for made in calls:
        assert call(scheduler, random, made) == made.answer
        assert not failed or scheduler.failure
        failed = scheduler.failure is not None
        if failed:
            assert "diverged" in scheduler.failure
            assert not isinstance(made.answer, Run)
    assert isinstance(calls[-1].answer, Done)
    end.load_state(json.loads(json.dumps(scheduler.state())))
    assert end.failure == scheduler.failure


@every_scheduler
@pytest.mark.parametrize("exhaust_at", [0, 1, 10])
def test_exhaust_starts_no_more_but_finishes(make, exhaust_at):
    calls = drive(make(), seed=1, exhaust_at=exhaust_at)
    at = next(n for n, made in enumerate(calls) if made.method == "exhaust")
    assert not [run for run in runs(calls[at:]) if run.restore is None]
    assert isinstance(calls[-1].answer, Done)
    if exhaust_at == 0:
        assert calls[1].answer == Done()


@every_scheduler
def test_wait_and_done_change_nothing(make):
    """They are not journalled: a search that was asked more often must not decide differently."""
    scheduler = make()
    random = EventRandom(0)
    seen = set()
    for made in drive(make(), seed=0, workers=20):
        before = json.dumps(scheduler.state())
        call(scheduler, random, made)
        if isinstance(made.answer, (Wait, Done)):
            seen.add(type(made.answer))
            assert json.dumps(scheduler.state()) == before
    assert seen == {Wait, Done}


@every_scheduler
@pytest.mark.parametrize("exhaust_at", [None, 8])
@pytest.mark.parametrize("seed", [0, 1])
def test_replay_from_the_state_at_every_prefix(make, seed, exhaust_at):
    """state() -> JSON -> load_state into a fresh scheduler: the same decisions to the end. No state has aliases."""
    calls = drive(make(), seed, exhaust_at=exhaust_at)
    scheduler = make()
    states = [scheduler.state()]
    texts = [json.dumps(states[0], allow_nan=False)]
    random = EventRandom(seed)
    for made in calls:
        assert call(scheduler, random, made) == made.answer
        states.append(scheduler.state())
        texts.append(json.dumps(states[-1], allow_nan=False))
    assert [json.dumps(state) for state in states] == texts

    for prefix, text in enumerate(texts):
        fresh = make()
        loaded = json.loads(text)
        fresh.load_state(loaded)
        assert json.dumps(fresh.state()) == text
        for made in calls[prefix:]:
            assert call(fresh, random, made) == made.answer
        assert json.dumps(fresh.state()) == texts[-1]
        assert json.dumps(loaded) == text


@every_scheduler
@pytest.mark.parametrize("at", [5, 40])
def test_load_state_replaces_what_was_there(make, at):
    calls = drive(make(), seed=0)
    scheduler, used = make(), make()
    for made in calls[:at]:
        call(scheduler, EventRandom(0), made)
    drive(used, seed=7)
    used.load_state(scheduler.state())
    assert [call(used, EventRandom(0), made) for made in calls[at:]] == [made.answer for made in calls[at:]]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_state_of_another_scheduler_is_refused(name):
    for other in SCHEDULERS:
        if other != name:
            with pytest.raises(ValueError, match=r"^state: .*was saved, this one has"):
                SCHEDULERS[name]().load_state(SCHEDULERS[other]().state())


@every_scheduler
def test_only_running_trials_report_and_are_forgotten(make):
    scheduler = make()
    random = EventRandom(0)
    with pytest.raises(ValueError, match=r"trial_id=0: is unknown or not running"):
        scheduler.forget(0)
    with pytest.raises(ValueError, match=r"trial_id=0: is unknown or not running"):
        scheduler.observe(Observation(0, 1, 0.5), random.at(0))
    run = scheduler.suggest(random.at(0))
    assert run.trial_id == 0
    for epoch in (0, run.until + 1):
        with pytest.raises(ValueError, match=rf"epoch={epoch}: trial 0 has done 0 epochs and was sent to {run.until}"):
            scheduler.observe(Observation(0, epoch, 0.5), random.at(1))
    scheduler.forget(0)
    before = scheduler.state()
    with pytest.raises(ValueError, match=r"trial_id=0: is unknown or not running"):
        scheduler.observe(Observation(0, 1, 0.5), random.at(1))
    with pytest.raises(ValueError, match=r"trial_id=0: is unknown or not running"):
        scheduler.forget(0)
    assert scheduler.state() == before


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_same_decisions_in_another_process(hash_seed):
    """For the same seed, 0 included, and whatever the order of sets and dicts of strings."""
    cases = [(name, seed) for name in SCHEDULERS for seed in (0, 1)]
    here = [fingerprint(name, seed) for name, seed in cases]
    program = """
import json, sys
from contract.test_schedulers import fingerprint
print(json.dumps([fingerprint(name, seed) for name, seed in json.loads(sys.argv[1])]))
"""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    there = subprocess.run(
        [sys.executable, "-c", program, json.dumps(cases)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert json.loads(there.stdout) == here
    assert len(set(here)) > len(SCHEDULERS)  # a digest that saw nothing would be the same for all
