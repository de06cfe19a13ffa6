"""What every explorer promises (kt_ext.core.explorer), over the table of explorers and random searches."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from contract.explorer_table import EXPLORERS
from kt_ext.core.decision import Run
from kt_ext.core.explorer import AbstractExplorer
from kt_ext.core.history import History
from kt_ext.core.search import Search
from kt_ext.core.space import Boolean, Choice, Condition, Float, Int, Parameter, Space
from kt_ext.schedulers import PBT
from kt_ext.searchers import RandomSearcher
from random_spaces import random_space

PLAIN = (bool, int, float, str)
#: Its model takes a tenth of a second each time.
SLOW = ("pb2",)
every_explorer = pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=name, marks=[pytest.mark.slow] * (name in SLOW)) for name, row in EXPLORERS.items()],
)
EVERYTHING = Space(
    [
        Parameter("rate", Float(1e-4, 1e-1, scale="log")),
        Parameter("dropout", Float(0.0, 0.5, 0.1)),
        Parameter("batch", Choice((16, 32, 64))),
        Parameter("width", Choice((64, 8, 16), ordered=True)),
        Parameter("layers", Int(1, 4)),
        Parameter("units", Int(8, 64, 8)),
        Parameter("optimizer", Choice(("sgd", "adam"))),
        Parameter("momentum", Float(0.0, 0.99), (Condition("optimizer", ("sgd",)),)),
        Parameter("nesterov", Boolean(), (Condition("optimizer", ("sgd",)),)),
    ]
)


class Recorded(AbstractExplorer):
    """Hands every question on, and keeps it with its answer."""

    def __init__(self, explorer: AbstractExplorer) -> None:
        self.explorer = explorer
        self.children: list[tuple[dict, dict]] = []  # the donor's values and the child's
        self.last_question: tuple = ()

    def explore(self, run, history, space, structural, rng):
        before = history.state()
        self.last_question = (run, History(), space, structural, rng.bit_generator.state)
        self.last_question[1].load_state(json.loads(json.dumps(before)))
        child = self.explorer.explore(run, history, space, structural, rng)
        assert history.state() == before
        donor = history.values_at(run.restore.trial_id, run.restore.epoch)
        self.children.append((dict(donor), dict(child)))
        return child

    def configuration(self):
        return self.explorer.configuration()


def search(explorer: AbstractExplorer, space: Space, seed: int, structural=()) -> Recorded:
    """A search of 6 members and 8 intervals, now and then diverging."""
    recorded = Recorded(explorer)
    one = Search(PBT(6, 9, quantile_fraction=0.5, explorer=recorded), RandomSearcher(), seed)
    one.declare(structural)
    rng = np.random.default_rng(seed)
    while isinstance(decision := one.ask(space)[1], Run):
        epoch = decision.restore.epoch if decision.restore else 0
        while isinstance(decision, Run):
            epoch += 1
            objective = math.inf if rng.random() < 0.05 else float(rng.choice([1e-9, 1.0, 1e9]) * rng.random())
            decision = one.tell(decision.trial_id, epoch, objective, space)[1]
    return recorded


@every_explorer
def test_every_child_is_in_its_domain(row):
    """Bounds, steps, types and conditions, in every one of tens of thousands of values (fewer for a slow explorer)."""
    values = 0
    for seed in range(row.searches):
        space = EVERYTHING if seed % 3 == 0 else random_space(np.random.default_rng(seed), 8, continuous=0.3)
        recorded = search(row.make(), space, seed)
        assert recorded.children
        for _, child in recorded.children:
            space.validate(child)
            values += len(child)
            assert [parameter.name for parameter in space.active(child)] == list(child)
            assert all(type(value) in PLAIN for value in child.values())
            if space is EVERYTHING:
                assert child["batch"] in (16, 32, 64)
    assert values > 100 * row.searches


@every_explorer
def test_what_shapes_the_variables_stays(row):
    structural = ("units", "layers", "optimizer")
    for seed in range(min(row.searches, 20)):
        recorded = search(row.make(), EVERYTHING, seed, structural)
        for donor, child in recorded.children:
            assert {name: donor[name] for name in structural} == {name: child[name] for name in structural}
            assert donor.keys() == child.keys()
        assert any(donor["rate"] != child["rate"] for donor, child in recorded.children)


@every_explorer
def test_only_what_is_mutable_changes(row):
    """A structural parameter does not, though it is named; a conditional child of what changed is drawn."""
    explorer = row.make(mutable=("rate", "batch", "units", "optimizer"))
    changed = set()
    for seed in range(min(row.searches, 20)):
        for donor, child in search(explorer, EVERYTHING, seed, ("units",)).children:
            changed |= {name for name in donor.keys() & child.keys() if donor[name] != child[name]}
    assert changed == {"rate", "batch", "optimizer"}


@every_explorer
def test_the_same_question_has_the_same_answer(row):
    """Whoever asks it: also a new explorer, after a restart."""
    for seed in range(min(row.searches, 10)):
        recorded = search(row.make(), EVERYTHING, seed)
        run, history, space, structural, state = recorded.last_question
        rng = np.random.default_rng(0)
        answers = []
        for explorer in (recorded.explorer, row.make()):
            rng = np.random.Generator(np.random.Philox())
            rng.bit_generator.state = state
            answers.append(explorer.explore(run, history, space, structural, rng))
        assert answers[0] == answers[1] == recorded.children[-1][1]


@every_explorer
def test_the_space_may_have_grown_or_shrunk_since(row):
    """A new parameter is drawn, one that is gone is dropped, a value that is out of its domain comes back."""
    recorded = search(row.make(), EVERYTHING, 1)
    run, history, _, _, _ = recorded.last_question
    grown = Space(
        [
            Parameter("rate", Float(1e-8, 1e-6, scale="log")),
            Parameter("batch", Choice((8, 4))),
            Parameter("new", Int(1, 3)),
        ]
    )
    for seed in range(20):
        child = row.make().explore(run, history, grown, (), np.random.default_rng(seed))
        grown.validate(child)


@every_explorer
def test_configuration(row):
    configuration = row.make(mutable={"b", "a"}).configuration()
    assert json.loads(json.dumps(configuration)) == configuration == row.make(mutable=["a", "b"]).configuration()
    assert configuration["mutable"] == ["a", "b"]
    assert row.make().configuration()["mutable"] is None


def test_configurations_differ_in_the_name():
    assert len({row.make().configuration()["explorer"] for row in EXPLORERS.values()}) >= 2
