"""Any scheduler takes any searcher: whole searches with three workers, in which trials diverge and fail."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import core_process
from contract.searcher_table import SEARCHERS
from kt_ext.core.decision import Decision, Done, Pause, Run, Stop
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.core.search import DONE, FAILED, PAUSED, Event, Search
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Boolean, Choice, Condition, Fixed, Float, Int, Parameter, Space
from kt_ext.schedulers import (
    ASHA,
    FIFO,
    PASHA,
    PBT,
    ExtrapolationRule,
    Hyperband,
    MedianRule,
    Patience,
    PB2Explorer,
    Plateau,
    Racing,
    Target,
    WilcoxonRule,
)
from kt_ext.searchers import ForestSearcher, GPSearcher, TPESearcher

# One row for each kind, small: together a search of every pair.
SCHEDULER_ROWS: dict[str, Callable[[], AbstractScheduler]] = {
    "fifo": lambda: FIFO(10, 3),
    "asha": lambda: ASHA(9, max_trials=14),
    "asha, stopping": lambda: ASHA(9, max_trials=12, brackets=2, variant="stopping"),
    "asha, decisive": lambda: ASHA(9, max_trials=12, variant="decisive"),
    "hyperband": lambda: Hyperband(9, max_trials=12),
    "hyperband, learned": lambda: Hyperband(4, factor=2, max_trials=14, bracket_choice="learned"),
    "pasha": lambda: PASHA(9, max_trials=14),
    "median": lambda: MedianRule(ASHA(9, max_trials=12), min_trials=2),
    "patience": lambda: Patience(FIFO(10, 5), 2),
    "plateau": lambda: Plateau(FIFO(10, 5), window=3, min_slope=0.5, standard_errors=1),
    "target": lambda: Target(FIFO(10, 4), 0.2),
    "wilcoxon": lambda: WilcoxonRule(FIFO(10, 4), 0.3, window=2),
    "extrapolation": lambda: ExtrapolationRule(FIFO(8, 5), 0.2, min_epochs=3),
    "racing": lambda: Racing(10, 4, first_test=2, trials_per_race=5),
    "pbt": lambda: PBT(6, 6, 2),
    "pbt, asynchronous": lambda: PBT(6, 6, 2, synchronous=False),
    "pb2": lambda: PBT(6, 6, 2, synchronous=False, explorer=PB2Explorer(window=8, candidates=5)),
}

# Those with a model need so few reports that it has taken over by the fourth trial or so.
SEARCHER_ROWS: dict[str, Callable[[int], AbstractSearcher]] = {
    **{name: row.make for name, row in SEARCHERS.items()},
    "tpe": lambda seed: TPESearcher(4, n_candidates=8, seed=seed),
    "tpe alone": lambda seed: TPESearcher(4, n_candidates=8, multivariate=False, seed=seed),
    "forest": lambda seed: ForestSearcher(4, 2, 0.1, n_candidates=10, n_starts=1, n_steps=1, seed=seed),
    "gp": lambda seed: GPSearcher(4, seed, n_candidates=10),
}
PAIRS = list(product(SCHEDULER_ROWS, SEARCHER_ROWS))
SPACE = Space(
    [
        Parameter("rate", Float(1e-4, 1e-1, scale="log")),
        Parameter("model", Choice(("mlp", "cnn"))),
        Parameter("units", Int(16, 512, 16), (Condition("model", ("mlp",)),)),
        Parameter("filters", Int(4, 64, scale="log"), (Condition("model", ("cnn",)),)),
        Parameter("pool", Boolean(), (Condition("model", ("cnn",)),)),
        Parameter("momentum", Float(0.0, 0.99)),
        Parameter("loss", Fixed("mse")),
    ]
)
#: Values that the model's variables have their shapes from: a trial that takes over another's state keeps them.
STRUCTURAL = ("model", "units", "filters", "pool")

every_pair = pytest.mark.parametrize(("scheduler", "searcher"), PAIRS, ids=["-".join(pair) for pair in PAIRS])


def make(scheduler: str, searcher: str, seed: int = 0) -> Search:
    return Search(SCHEDULER_ROWS[scheduler](), SEARCHER_ROWS[searcher](seed), seed)


class Workers:
    """Three workers of a search; in each turn one acts, drawn from ``random``, which stands for the world outside.

    Attributes:
        random: of 24 epochs two end in infinity, as what is not a number is told, and one ends in a failure.
        held: by worker, the trial that it has.
        events: what would be in the journal.
        decisions: all, Wait and Done included.
        turns: how many there were.
    """

    def __init__(self, search: Search, seed: int = 0) -> None:
        self.search, self.random = search, np.random.default_rng([seed, 1])
        self.held: list[int | None] = [None] * 3
        self.events: list[Event] = []
        self.decisions: list[Decision] = []
        self.turns = 0

    def turn(self) -> bool:
        """False when the search is over."""
        self.turns += 1
        worker, chance = (int(number) for number in self.random.integers([3, 24]))
        trial_id = self.held[worker]
        if trial_id is None:
            events, decision = self.search.ask(SPACE)
            self.events += events
            self.decisions.append(decision)
            if isinstance(decision, Run):
                self.held[worker] = decision.trial_id
            return not isinstance(decision, Done)
        if chance == 0:
            self.events.append(self.search.end(trial_id, FAILED))
            self.held[worker] = None
            return True
        epoch = self.search.history.epochs_of(trial_id) + 1
        objective = math.inf if chance < 3 else self._objective(trial_id, epoch)
        event, decision = self.search.tell(trial_id, epoch, objective, SPACE)
        self.events.append(event)
        self.decisions.append(decision)
        if isinstance(decision, (Pause, Stop)):
            self.held[worker] = None
        return True

    def run(self, turns: int = 3000) -> Workers:
        for _ in range(turns):
            if not self.turn():
                return self
        raise AssertionError("the search does not end")

    def _objective(self, trial_id: int, epoch: int) -> float:
        values = self.search.history.values(trial_id)
        size = values["units"] / 512 if values["model"] == "mlp" else values["filters"] / 64
        return abs(math.log10(values["rate"]) + 2) + (1 - size) + values["momentum"] / epoch


def state(search: Search) -> Any:
    return json.loads(json.dumps(search.state(), allow_nan=True))


def as_json(events: list[Event]) -> list[Event]:
    return json.loads(json.dumps(events))


@every_pair
def test_a_whole_search(scheduler, searcher):
    """It ends, all values are valid, and its events lead to the same state; so does a snapshot from its middle."""
    workers = Workers(make(scheduler, searcher)).run()
    search, history = workers.search, workers.search.history
    assert 1 <= len(history) <= search.scheduler.max_trials
    assert set(search.where.values()) <= {DONE, FAILED, PAUSED} and search.running == 0
    for event in workers.events:
        if "values" in event:
            SPACE.validate(event["values"])
    for trial_id in history.ids:
        SPACE.validate(history.values(trial_id))
        assert history.epochs_of(trial_id) <= search.scheduler.max_epochs
    if search.scheduler.explorer is None:
        proposed = [frozenset(history.values(trial_id).items()) for trial_id in history.ids]
        assert len(set(proposed)) == len(proposed)

    middle = len(workers.events) // 2
    replayed = make(scheduler, searcher)
    for event in as_json(workers.events[:middle]):
        replayed.replay(event)
    loaded = make(scheduler, searcher)
    loaded.load_state(state(replayed))
    for event in as_json(workers.events[middle:]):
        replayed.replay(event)
        loaded.replay(event)
    assert state(replayed) == state(loaded) == state(search)


@every_pair
def test_goes_on_from_a_snapshot(scheduler, searcher):
    """A new searcher and the scheduler as it was: the same decisions follow, values included."""
    whole = Workers(make(scheduler, searcher, seed=1), seed=1).run()
    first = Workers(make(scheduler, searcher, seed=1), seed=1)
    for _ in range(whole.turns // 2):
        first.turn()
    second = Workers(make(scheduler, searcher, seed=1), seed=1)
    second.search.load_state(state(first.search))
    second.random, second.held = first.random, first.held
    second.run()
    assert first.events + second.events == whole.events
    assert first.decisions + second.decisions == whole.decisions
    assert state(second.search) == state(whole.search)


@pytest.mark.parametrize("searcher", SEARCHER_ROWS)
@pytest.mark.parametrize("scheduler", ["pbt", "pb2"])
def test_what_shapes_the_model_stays(scheduler, searcher):
    """However the first values were chosen, a trial that takes over a state takes over its shape."""
    search = make(scheduler, searcher, seed=2)
    search.declare(STRUCTURAL)
    workers = Workers(search, seed=2).run()
    assert search.takeovers
    shapes: dict[int, dict[str, Any]] = {}
    for event in workers.events:
        if "values" not in event:
            continue
        shape = {name: value for name, value in event["values"].items() if name in STRUCTURAL}
        if event.get("restore", [event["trial"]])[0] != event["trial"]:
            assert shape == shapes[event["restore"][0]]
        shapes[event["trial"]] = shape


FEW = [("asha", "gp"), ("hyperband", "tpe"), ("pbt", "forest"), ("extrapolation", "gp"), ("racing", "elites")]


def test_the_same_in_another_process():
    """Hash seeds differ from process to process, and so would the order of a set."""
    code = """
import json
sys.path.insert(0, sys.argv[1])
from contract.test_pairs import FEW, Workers, make
print(json.dumps([Workers(make(*pair)).run().events for pair in FEW]))
"""
    output, _ = core_process.start(code, Path(__file__).parents[1]).communicate()
    assert json.loads(output) == as_json([Workers(make(*pair)).run().events for pair in FEW])
