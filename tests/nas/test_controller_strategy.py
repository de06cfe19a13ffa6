"""The RL controller as a strategy: what it proposes is a function of the trials and the seed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Any

import keras
import numpy as np
import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.simulate import simulate
from kt_ext.core.space import Boolean, Choice, Condition, Fixed, Float, Int, Parameter, Space
from kt_ext.nas.draft import Draft
from kt_ext.nas.make import make_strategy
from kt_ext.nas.records import Records
from kt_ext.nas.searcher import ArchitectureSearcher
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture
from kt_ext.nas.strategies.controller import Controller
from kt_ext.nas.strategies.tokens import INACTIVE, Tokens
from kt_ext.schedulers.asha import ASHA


class _Genes(AbstractArchitectureSpace):
    def __init__(self, genes: list[Parameter]) -> None:
        super().__init__()
        self._genes = genes

    def parameters(self) -> list[Parameter]:
        return self._genes

    def lay(self, arch: Architecture, net: Draft) -> str:
        return net.input


FLAT = _Genes([Parameter(f"g{i}", Choice(("a", "b", "c", "d"))) for i in range(5)])
DEEP = _Genes(
    [Parameter("depth", Int(1, 3)), Parameter("kind", Fixed("conv"))]
    + [Parameter(f"op{i}", Choice(("x", "y")), (Condition("depth", tuple(range(i, 4))),)) for i in (1, 2, 3)]
    + [Parameter(f"rate{i}", Float(0.0, 0.5), (Condition("depth", tuple(range(i, 4))),)) for i in (1, 2, 3)]
    + [Parameter("width", Int(16, 1024, scale="log")), Parameter("skip", Boolean())]
)
WIDTH = 7  # the place of its token


def _badness(arch: Architecture) -> float:
    return -float(sum(value in ("a", "x", 3) for value in arch.values.values()))


def _search(
    strategy: Controller,
    space: AbstractArchitectureSpace,
    trials: int,
    objective: Callable[[Architecture], float] = _badness,
    history: History | None = None,
) -> History:
    """A history of so many trials, one after the other."""
    history = History() if history is None else history
    searcher = ArchitectureSearcher(space, strategy, max_trials=1000, repeats=True)
    rngs = EventRandom(3)
    for number in range(len(history), trials):
        history.start(number, searcher.propose(history, Space([]), rngs.at(number)))
        history.record(Observation(number, 1, objective(space.architecture(history.values(number)))))
        history.end(number)
    return history


def _copy(history: History) -> History:
    copy = History()
    copy.load_state(json.loads(json.dumps(history.state())))
    return copy


def _values(history: History) -> list[dict[str, Any]]:
    return [dict(history.values(number)) for number in history.ids]


def _arrays(strategy: Controller) -> list[np.ndarray]:
    state = strategy._network.state()
    return [*state["weights"], *state["optimizer"], np.array(strategy._baseline)]


@pytest.fixture(scope="module")
def searched() -> tuple[Controller, History]:
    """A search of 25 trials by batches of 10."""
    strategy = Controller(units=16, batch=10)
    return strategy, _search(strategy, FLAT, 25)


def test_it_is_made_by_name() -> None:
    strategy = make_strategy("controller", seed=7, max_trials=50)
    assert isinstance(strategy, Controller)
    assert strategy.seed == 7


@pytest.mark.slow
def test_a_restart_learns_the_same_and_goes_on_the_same(searched: tuple[Controller, History]) -> None:
    strategy, history = searched
    restored, whole = _copy(history), _copy(history)
    fresh = Controller(units=16, batch=10)
    records = Records(FLAT, 1000).follow(restored)
    fresh.choose(records, np.random.default_rng(0))
    for one, other in zip(_arrays(strategy), _arrays(fresh), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    expected = _values(_search(strategy, FLAT, 45, history=whole))
    assert _values(_search(fresh, FLAT, 45, history=restored)) == expected


@pytest.mark.slow
def test_it_learns(searched: tuple[Controller, History]) -> None:
    # of five genes 1.25 are right by chance
    history = _search(searched[0], FLAT, 110, history=_copy(searched[1]))
    right = [-_badness(FLAT.architecture(values)) for values in _values(history)]
    assert np.mean(right[:10]) < 2.5
    assert np.mean(right[-20:]) > 4


def test_a_state_saves_the_learning_and_changes_nothing(searched: tuple[Controller, History]) -> None:
    strategy, history = searched
    records = Records(FLAT, 1000).follow(history)
    expected = strategy.choose(records, np.random.default_rng(1))
    state = json.loads(json.dumps(strategy.state()))
    resumed = Controller(units=16, batch=10)
    resumed.load_state(state)
    assert resumed.choose(records, np.random.default_rng(1)) == expected
    for one, other in zip(_arrays(strategy), _arrays(resumed), strict=True):
        assert (one == other).all()

    # the state is what it goes on from: with other weights in it, other architectures follow
    head_bias = state["network"]["weights"][5]
    bias = np.zeros(head_bias[1], head_bias[0])
    bias[:, 3] = 50
    head_bias[2] = base64.b64encode(bias.tobytes()).decode()
    misled = Controller(units=16, batch=10)
    misled.load_state(state)
    assert set(misled.choose(records, np.random.default_rng(1)).arch.values.values()) == {"d"}


def test_a_state_of_other_trials_is_not_used(searched: tuple[Controller, History]) -> None:
    few = _search(Controller(units=16, batch=10), FLAT, 3)  # too few to learn from
    records = Records(FLAT, 1000).follow(few)
    expected = Controller(units=16, batch=10).choose(records, np.random.default_rng(1))
    resumed = Controller(units=16, batch=10)
    resumed.load_state({**searched[0].state(), "trials": 3})
    assert resumed.choose(records, np.random.default_rng(1)) == expected
    assert searched[0].choose(Records(FLAT, 1000).follow(searched[1]), np.random.default_rng(1)) != expected


def test_a_state_of_other_settings_is_told_apart() -> None:
    settings: list[dict[str, Any]] = [
        {}, {"algorithm": "reinforce", "epochs": 4}, {"units": 3}, {"learning_rate": 0.02}, {"batch": 3},
        {"entropy": 0.02}, {"baseline_decay": 0.5}, {"clip": 0.3}, {"epochs": 3}, {"seed": 1},
    ]  # fmt: skip
    assert len({Controller(**one).state()["fingerprint"] for one in settings}) == len(settings)


def test_another_history_is_learnt_from_the_start(searched: tuple[Controller, History]) -> None:
    strategy, history = searched
    strategy.choose(Records(FLAT, 1000).follow(history), np.random.default_rng(0))
    expected = [one.copy() for one in _arrays(strategy)]
    changed = _search(strategy, FLAT, 11, objective=lambda arch: -_badness(arch))
    strategy.choose(Records(FLAT, 1000).follow(changed), np.random.default_rng(0))
    assert np.abs(_arrays(strategy)[0] - expected[0]).max() > 1e-3
    strategy.choose(Records(FLAT, 1000).follow(history), np.random.default_rng(0))
    for one, other in zip(_arrays(strategy), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_cleared_session_between_trials_changes_nothing(searched: tuple[Controller, History]) -> None:
    def cleared(arch: Architecture) -> float:
        if not next(finished) % 8:
            keras.utils.clear_session()
        return _badness(arch)

    finished = count(1)

    strategy, _ = searched
    assert _values(_search(strategy, FLAT, 25, cleared)) == _values(_search(strategy, FLAT, 25))


@pytest.mark.slow
def test_asha_with_workers_conditions_failures_and_divergence() -> None:
    strategy, history = Controller("reinforce", units=8, batch=5), History()

    def objective(number: int, epoch: int) -> float:
        arch = DEEP.architecture(history.values(number))
        return inf if arch.values["depth"] == 1 else _badness(arch) / epoch

    simulate(
        ASHA(9, max_trials=30), objective, workers=4, failures=lambda number, epoch: number in (6, 7) and epoch == 1,
        searcher=ArchitectureSearcher(DEEP, strategy, 30), space=Space([]), history=history,
    )  # fmt: skip
    assert len(history) == 30
    for number in history.ids:
        DEEP.genes.validate(DEEP.architecture(history.values(number)).values)
    assert {history.values(number)["arch/depth"] for number in history.ids} == {1, 2, 3}

    records = Records(DEEP, 30).follow(history)
    expected, arrays = strategy.choose(records, np.random.default_rng(0)), _arrays(strategy)
    assert strategy.state()["trials"] == 30
    strategy.choose(Records(DEEP, 30).follow(History()), np.random.default_rng(0))
    assert strategy.state()["trials"] == 0
    assert strategy.choose(records, np.random.default_rng(0)) == expected
    for one, other in zip(_arrays(strategy), arrays, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
        assert np.isfinite(one).all()


def test_tokens_of_a_conditional_space() -> None:
    tokens = Tokens(DEEP)
    assert tokens.counts == (3, 2, 2, 2, 8, 8, 8, 8, 2)
    arch = DEEP.repair(
        {"depth": 2, "kind": "conv", "op1": "y", "op2": "x", "rate1": 0.0, "rate2": 0.5, "width": 1024, "skip": True}
    )
    assert tokens.of(arch).tolist() == [1, 1, 0, INACTIVE, 0, 7, INACTIVE, 7, 1]


def test_an_architecture_drawn_by_tokens_has_those_tokens() -> None:
    tokens, rng = Tokens(DEEP), np.random.default_rng(0)
    for _ in range(300):
        wanted = tokens.of(DEEP.random(rng))
        drawn = tokens.of(tokens.draw(lambda step, uniform, wanted=wanted: int(wanted[step]), rng))
        assert np.delete(drawn, WIDTH).tolist() == np.delete(wanted, WIDTH).tolist()
        assert abs(drawn[WIDTH] - wanted[WIDTH]) <= 1  # an integer at the edge belongs to two parts of the range


def test_a_large_space() -> None:
    large = _Genes(
        [Parameter("depth", Int(1, 20))]
        + [
            Parameter(f"skip{j}_{i}", Boolean(), (Condition("depth", tuple(range(i, 21))),))
            for i in range(1, 21)
            for j in range(i - 1)
        ]
        + [
            Parameter(f"op{i}", Choice(("x", "y", "z")), (Condition("depth", tuple(range(i, 21))),))
            for i in range(1, 21)
        ]
    )
    assert len(large.genes.parameters) == 211
    strategy = Controller("reinforce", units=16)
    history = _search(strategy, large, 12)
    assert strategy.state()["trials"] == 10
    assert len({json.dumps(values) for values in _values(history)}) == 12


def test_a_space_of_one_architecture() -> None:
    one = _Genes([Parameter("kind", Fixed("conv"))])
    history = _search(Controller(batch=2), one, 5)
    assert _values(history) == [{"arch/kind": "conv"}] * 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"algorithm": "a2c"}, "algorithm='a2c': must be 'ppo' or 'reinforce'"),
        ({"units": 0}, "units=0: must be an integer >= 1"),
        ({"batch": 2.5}, "batch=2.5: must be an integer >= 1"),
        ({"epochs": 0}, "epochs=0: must be an integer >= 1"),
        ({"seed": None}, "seed=None: must be an integer >= 0"),
        ({"learning_rate": 0.0}, "learning_rate=0.0: must be > 0"),
        ({"entropy": -1}, "entropy=-1: must be >= 0"),
        ({"baseline_decay": 1.0}, r"baseline_decay=1.0: must be in \[0, 1\)"),
        ({"clip": 0}, r"clip=0: must be in \(0, 1\)"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Controller(**arguments)
