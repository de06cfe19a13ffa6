"""A search with an explorer: values of those that take over another's state, its record, its replay."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from kt_ext.core.decision import CheckpointRef, Done, Run
from kt_ext.core.explorer import AbstractExplorer
from kt_ext.core.search import FAILED, QUEUED, ReplayDiffers, Search
from kt_ext.core.space import Boolean, Choice, Condition, Float, Int, Parameter, Space
from kt_ext.schedulers import ASHA, PBT, Perturb
from kt_ext.searchers import RandomSearcher, make_searcher

SPACE = Space(
    [
        Parameter("rate", Float(1e-4, 1.0, scale="log")),
        Parameter("units", Choice((16, 32, 64))),
        Parameter("noisy", Boolean()),
        Parameter("noise", Float(0.0, 1.0), (Condition("noisy", (True,)),)),
        Parameter("layers", Int(1, 5)),
    ]
)


class Watched(AbstractExplorer):
    """Adds a hundredth to the donor's rate, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Run, tuple[str, ...]]] = []

    def explore(self, run, history, space, structural, rng):
        self.asked.append((run, tuple(structural)))
        values = dict(history.values_at(run.restore.trial_id, run.restore.epoch))
        return {**values, "rate": values["rate"] + 0.01}

    def configuration(self):
        return {"explorer": "Watched"}


def search(pbt, seed=0) -> Search:
    return Search(pbt, RandomSearcher(), seed)


def drive(one: Search, seed: int, workers: int = 3, failing: float = 0.02):
    """All events of a search, whose workers act in random order, and what Search said of each state it handed out."""
    rng = np.random.default_rng(seed)
    holds: list[list[int] | None] = [None] * workers
    events, states = [], []
    while True:
        worker = int(rng.integers(workers))
        held = holds[worker]
        if held is None:
            new, decision = one.ask(SPACE)
            events += new
            if isinstance(decision, Done):
                return events, states
            if isinstance(decision, Run):
                holds[worker] = [decision.trial_id, decision.restore.epoch if decision.restore else 0]
        elif rng.random() < failing:
            events.append(one.end(held[0], FAILED if rng.random() < 0.5 else QUEUED))
            holds[worker] = None
        else:
            held[1] += 1
            objective = math.inf if rng.random() < 0.05 else float(rng.random())
            event, decision = one.tell(*held, objective, SPACE)
            events.append(event)
            if not isinstance(decision, Run):
                holds[worker] = None
        states.append(one.state())


def test_values_come_from_the_donor_as_they_were_at_the_boundary():
    explorer = Watched()
    one = search(PBT(2, 4, explorer=explorer, synchronous=False))
    one.declare(["units", "layers"])
    for _ in range(2):
        one.ask(SPACE)
    first = dict(one.history.values(0))
    one.tell(0, 1, 1.0, SPACE)
    one.tell(0, 2, 9.0, SPACE)
    event, decision = one.tell(1, 1, 2.0, SPACE)
    expected = {**first, "rate": first["rate"] + 0.01}
    assert decision == Run(1, until=2, values=expected, restore=CheckpointRef(0, 1))
    assert event == {
        "e": "tell",
        "trial": 1,
        "epoch": 1,
        "objective": 2.0,
        "do": "run",
        "until": 2,
        "values": expected,
        "restore": [0, 1],
    }
    [(asked, structural)] = explorer.asked
    assert asked == Run(1, until=2, restore=CheckpointRef(0, 1)) and set(structural) == {"layers", "units"}
    assert one.history.values(1) == one.history.values_at(1, 2) == expected != one.history.values_at(1, 1)
    assert one.takeovers == [(1, CheckpointRef(0, 1))]
    # What it was told to take stays pinned until it has trained on, though no member is at epoch 1 any more.
    assert one.restore(1) == CheckpointRef(0, 1) and one.pinned(0) == {1, 2}
    one.tell(1, 2, 1.0, SPACE)
    assert one.restore(1) == CheckpointRef(1, 2) and one.pinned(0) == set()


def test_who_was_told_and_lost_its_worker_is_told_the_same_again():
    one = search(PBT(2, 3, explorer=Watched(), synchronous=True))
    for _ in range(2):
        one.ask(SPACE)
    one.tell(1, 1, 1.0, SPACE)
    _, told = one.tell(0, 1, 2.0, SPACE)
    assert told.restore == CheckpointRef(1, 1)
    one.end(0, QUEUED)
    assert one.ask(SPACE)[1] == Run(0, until=2, restore=CheckpointRef(1, 1))
    assert one.history.values(0) == told.values
    assert len(one.takeovers) == 1
    assert one.pinned(1) == {1}


def test_no_explorer_is_asked_when_a_trial_goes_on_from_its_own_state():
    scheduler = ASHA(9)
    scheduler.explorer = Watched()
    drive(search(scheduler), seed=0)
    assert not scheduler.explorer.asked


def test_a_population_may_be_larger_than_the_space():
    small = Space([Parameter("flag", Boolean())])
    one = Search(PBT(5, 2), make_searcher("grid", 0), 0)
    values = [one.ask(small)[1].values for _ in range(5)]
    assert values[:2] == [{"flag": False}, {"flag": True}]
    assert all(later in values[:2] for later in values[2:])
    other = Search(ASHA(2), make_searcher("grid", 0), 0)
    assert [type(other.ask(small)[1]).__name__ for _ in range(3)] == ["Run", "Run", "Wait"]


@pytest.mark.parametrize("synchronous", [True, False, "auto"])
@pytest.mark.parametrize("seed", range(5))
def test_replay_and_snapshots(seed, synchronous):
    """From the events alone, and from the snapshot after each of them: the same state, to the bit."""

    def fresh() -> Search:
        return search(PBT(4, 6, 2, quantile_fraction=0.5, synchronous=synchronous, explorer=Perturb()), seed)

    one = fresh()
    events, _ = drive(one, seed)
    assert one.takeovers
    end = json.dumps(one.state())
    replayed, snapshots = fresh(), []
    for event in json.loads(json.dumps(events)):
        snapshots.append(json.dumps(replayed.state()))
        replayed.replay(event)
    assert json.dumps(replayed.state()) == end
    for number in range(0, len(events), 7):
        loaded = fresh()
        loaded.load_state(json.loads(snapshots[number]))
        for event in events[number:]:
            loaded.replay(event)
        assert json.dumps(loaded.state()) == end


def test_replay_refuses_another_donor():
    one = search(PBT(4, 3, synchronous=True))
    events, _ = drive(one, seed=1, failing=0.0)
    at = next(n for n, event in enumerate(events) if event.get("restore", [event["trial"]])[0] != event["trial"])
    events[at]["restore"][0] = events[at]["trial"]
    again = search(PBT(4, 3, synchronous=True))
    for event in events[:at]:
        again.replay(event)
    with pytest.raises(ReplayDiffers, match="the journal records"):
        again.replay(events[at])


@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_an_uninterrupted_search(seed):
    """A search restarted from a snapshot draws the same values: explorers keep nothing between calls."""
    one = search(PBT(4, 8), seed)
    events, states = drive(one, seed, workers=1, failing=0.0)
    middle = json.loads(json.dumps(states[len(states) // 2]))
    other = search(PBT(4, 8), seed)
    other.load_state(middle)
    rest = [event for event in events if event["e"] == "tell"][other.history.total_epochs :]
    assert rest
    for recorded in rest:
        running = [trial_id for trial_id, where in other.where.items() if where == "running"]
        trial_id = running[0] if running else other.ask(SPACE)[1].trial_id
        assert trial_id == recorded["trial"]
        event, _ = other.tell(trial_id, recorded["epoch"], recorded["objective"], SPACE)
        assert event == recorded
    assert other.history.state() == one.history.state()
