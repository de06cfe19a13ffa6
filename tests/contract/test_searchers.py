"""What every searcher promises (kt_ext.core.searcher), over the table of searchers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import core_process
from contract.searcher_table import SEARCHERS, Row
from kt_ext.core.decision import Observation, Value
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.searcher import SpaceExhausted
from kt_ext.core.space import Boolean, Choice, Condition, Fixed, Float, Int, Parameter, Space
from random_spaces import random_space

every_searcher = pytest.mark.parametrize("row", SEARCHERS.values(), ids=SEARCHERS.keys())

MIXED = Space(
    [
        Parameter("learning_rate", Float(1e-4, 1e-1, scale="log")),
        Parameter("model", Choice(("mlp", "cnn"))),
        Parameter("units", Int(16, 512, 16), (Condition("model", ("mlp",)),)),
        Parameter("filters", Int(4, 64, scale="log"), (Condition("model", ("cnn",)),)),
        Parameter("pool", Boolean(), (Condition("model", ("cnn",)),)),
        Parameter("momentum", Float(0.0, 0.99)),
        Parameter("loss", Fixed("mse")),
    ]
)
SMALL = Space(
    [
        Parameter("model", Choice(("mlp", "cnn", "mlp"))),
        Parameter("layers", Int(1, 4, scale="log"), (Condition("model", ("mlp",)),)),
        Parameter("dropout", Float(0.0, 0.5, 0.25)),
        Parameter("pool", Boolean(), (Condition("model", ("cnn",)), Condition("dropout", (0.0,)))),
    ]
)


def propose(row: Row, space: Space, number: int, seed: int = 0) -> tuple[list[dict[str, Value]], History]:
    """``number`` proposals; two trials of three report and end, the others stay pending."""
    searcher, history, random = row.make(seed), History(), EventRandom(seed)
    for trial_id in range(number):
        history.start(trial_id, searcher.propose(history, space, random.at(trial_id)))
        if trial_id % 3:
            report(history, trial_id)
    return [dict(history.values(trial_id)) for trial_id in history.ids], history


def report(history: History, trial_id: int) -> None:
    for epoch in (1, 2):
        history.record(Observation(trial_id, epoch, 1.0 / (1 + trial_id % 7 + epoch)))
    history.end(trial_id)


def distinct(proposals: list[dict[str, Value]]) -> int:
    return len({frozenset(values.items()) for values in proposals})


@every_searcher
@pytest.mark.parametrize("seed", range(10))
def test_proposals_are_valid(row, seed):
    """Bounds, steps, plain Python types, and the active parameters alone."""
    space = random_space(np.random.default_rng(seed), n_parameters=6, continuous=0.4)
    searcher, history, random = row.make(seed), History(), EventRandom(seed)
    for trial_id in range(min(30, space.size or 30)):
        try:
            values = searcher.propose(history, space, random.at(trial_id))
        except SpaceExhausted:
            break  # a grid has fewer points than a continuous space
        space.validate(values)
        history.start(trial_id, values)
        report(history, trial_id)
    assert len(history) >= 1


@pytest.mark.slow
@every_searcher
def test_many_proposals(row):
    proposals, _ = propose(row, MIXED, row.many)
    for values in proposals:
        MIXED.validate(values)
    # Pending trials count as tried.
    assert distinct(proposals) == row.many


@every_searcher
def test_no_duplicate_of_what_is_pending(row):
    searcher, history, random = row.make(0), History(), EventRandom(0)
    assert SMALL.size is not None
    for trial_id in range(SMALL.size):
        history.start(trial_id, searcher.propose(history, SMALL, random.at(trial_id)))
    assert len(history.pending) == distinct([dict(history.values(i)) for i in history.ids]) == SMALL.size


@every_searcher
@pytest.mark.parametrize("seed", range(3))
def test_a_finite_space_is_exhausted_exactly(row, seed):
    assert SMALL.size == 4 * 3 + 2 + 2
    proposals, history = propose(row, SMALL, SMALL.size, seed)
    everything = [SMALL.enumeration.at(number) for number in range(SMALL.size)]
    assert sorted(map(repr, proposals)) == sorted(map(repr, everything))
    with pytest.raises(SpaceExhausted, match="all 16"):
        row.make(seed).propose(history, SMALL, EventRandom(seed).at(99))


@pytest.mark.slow
@every_searcher
def test_a_rare_configuration_is_found(row):
    """Half of the draws give model a; each of the many others is rare, and the last one is found all the same."""
    n = Parameter("n", Int(1, row.many), (Condition("model", ("b",)),))
    proposals, _ = propose(row, Space([Parameter("model", Choice(("a", "b"))), n]), row.many + 1)
    assert distinct(proposals) == row.many + 1


@every_searcher
def test_a_space_without_parameters_has_one_configuration(row):
    proposals, history = propose(row, Space([]), 1)
    assert proposals == [{}]
    with pytest.raises(SpaceExhausted):
        row.make(0).propose(history, Space([]), EventRandom(0).at(1))


@every_searcher
def test_seed_0_is_a_seed(row):
    of_0, again, of_1 = (propose(row, MIXED, 20, seed)[0] for seed in (0, 0, 1))
    assert of_0 == again
    assert (of_0 != of_1) == row.seeded


@every_searcher
@pytest.mark.slow
def test_the_same_in_another_process(row):
    """Hash seeds differ from process to process, and so would the order of a set."""
    (name,) = [name for name, other in SEARCHERS.items() if other is row]
    code = """
import json
sys.path.insert(0, sys.argv[1])
from contract.test_searchers import MIXED, SEARCHERS, propose
print(json.dumps(propose(SEARCHERS[sys.argv[2]], MIXED, 30, seed=3)[0]))
"""
    output, _ = core_process.start(code, Path(__file__).parents[1], name).communicate()
    assert json.loads(output) == propose(row, MIXED, 30, seed=3)[0]


@every_searcher
@pytest.mark.parametrize("space", [MIXED, SMALL], ids=["infinite", "finite"])
@pytest.mark.parametrize("stop", [0, 5, 12])
def test_goes_on_after_a_restart(row, space, stop):
    """A new searcher with the reloaded history proposes what the old one would have."""
    expected, _ = propose(row, space, 16)
    _, history = propose(row, space, stop)
    loaded, searcher, random = History(), row.make(0), EventRandom(0)
    loaded.load_state(json.loads(json.dumps(history.state())))
    for trial_id in range(stop, 16):
        loaded.start(trial_id, searcher.propose(loaded, space, random.at(trial_id)))
        if trial_id % 3:
            report(loaded, trial_id)
    assert [loaded.values(trial_id) for trial_id in loaded.ids] == expected


@every_searcher
def test_a_proposal_that_is_not_taken_changes_nothing(row):
    """``propose`` is a function of its arguments: being asked twice, or for another search, makes no difference."""
    expected, _ = propose(row, SMALL, 16)
    searcher, history, random, other = row.make(0), History(), EventRandom(0), History()
    for trial_id in range(16):
        searcher.propose(history, SMALL, random.at(trial_id))
        other.start(trial_id, searcher.propose(other, MIXED, random.at(trial_id)))
        history.start(trial_id, searcher.propose(history, SMALL, random.at(trial_id)))
        if trial_id % 3:
            report(history, trial_id)
    assert [history.values(trial_id) for trial_id in history.ids] == expected


@every_searcher
def test_a_space_may_grow(row):
    grown = Space(
        [
            *SMALL.parameters,
            Parameter("depth", Int(1, 3), (Condition("model", ("cnn",)),)),
            Parameter("bias", Boolean()),
        ]
    )
    searcher, history, random = row.make(0), History(), EventRandom(0)
    for trial_id in range(8):
        history.start(trial_id, searcher.propose(history, SMALL, random.at(trial_id)))
    assert grown.size == 2 * (4 * 3 + 3 * (2 + 2))
    for trial_id in range(8, 8 + grown.size):
        values = searcher.propose(history, grown, random.at(trial_id))
        grown.validate(values)
        history.start(trial_id, values)
    assert distinct([dict(history.values(trial_id)) for trial_id in range(8, 8 + grown.size)]) == grown.size
    with pytest.raises(SpaceExhausted):
        searcher.propose(history, grown, random.at(99))


@every_searcher
def test_values_that_a_trial_left_behind_count_as_tried(row):
    """A trial may go on with other values, as in population based training."""
    searcher, history, random = row.make(0), History(), EventRandom(0)
    first = dict(searcher.propose(history, SMALL, random.at(0)))
    history.start(0, first)
    second = dict(searcher.propose(history, SMALL, random.at(1)))
    history.assign(0, second)
    rest = []
    for trial_id in range(1, 15):
        rest.append(dict(searcher.propose(history, SMALL, random.at(trial_id))))
        history.start(trial_id, rest[-1])
    assert distinct([first, second, *rest]) == 16


@every_searcher
def test_propose_does_not_change_its_arguments(row):
    _, history = propose(row, MIXED, 10)
    state, space = json.dumps(history.state()), json.dumps(MIXED.to_json())
    row.make(0).propose(history, MIXED, EventRandom(0).at(10))
    assert json.dumps(history.state()) == state
    assert json.dumps(MIXED.to_json()) == space
