"""Optuna's samplers as searchers: what they are told, what they answer, and what is repeatable."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable

import numpy as np
import pytest

from kt_ext.core.decision import Observation, Value
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.searcher import SpaceExhausted
from kt_ext.core.space import Boolean, Choice, Condition, Fixed, Float, Int, Parameter, Space
from kt_ext.searchers import OptunaSearcher
from kt_ext.searchers.optuna_values import translation_of
from random_spaces import random_space

optuna = pytest.importorskip("optuna")
samplers = optuna.samplers
State = optuna.trial.TrialState


def tpe() -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return samplers.TPESampler(n_startup_trials=5, multivariate=True, group=True, constant_liar=True)


def cmaes() -> optuna.samplers.BaseSampler:
    pytest.importorskip("cmaes")
    return samplers.CmaEsSampler(warn_independent_sampling=False)


def nsga2() -> optuna.samplers.BaseSampler:
    return samplers.NSGAIISampler(population_size=5)


def qmc() -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return samplers.QMCSampler(warn_independent_sampling=False)


every_sampler = pytest.mark.parametrize("make", [tpe, cmaes, nsga2, qmc, samplers.RandomSampler])

MIXED = Space(
    [
        Parameter("learning_rate", Float(1e-4, 1e-1, scale="log")),
        Parameter("model", Choice(("mlp", "cnn"))),
        Parameter("units", Int(16, 512, 16), (Condition("model", ("mlp",)),)),
        Parameter("filters", Int(4, 64, scale="log"), (Condition("model", ("cnn",)),)),
        Parameter("pool", Boolean(), (Condition("model", ("cnn",)),)),
        Parameter("decay", Float(0.0, 0.95, scale="linear", step=0.05)),
        Parameter("width", Choice((4, 1, 2), ordered=True)),
        Parameter("loss", Fixed("mse")),
    ]
)
SMALL = Space(
    [
        Parameter("model", Choice(("mlp", "cnn"))),
        Parameter("layers", Int(1, 4, scale="log"), (Condition("model", ("mlp",)),)),
        Parameter("dropout", Float(0.0, 0.5, 0.25)),
    ]
)


def objective(values: dict[str, Value]) -> float:
    return abs(np.log10(float(values.get("learning_rate", 1e-2))) + 2) + (values["model"] == "mlp")


def go_on(
    searcher: OptunaSearcher, history: History, space: Space, number: int, value: Callable[..., float] = objective
) -> list[dict[str, Value]]:
    """Proposals up to trial ``number``; each trial but every fourth reports and ends."""
    for trial_id in range(len(history), number):
        values = searcher.propose(history, space, EventRandom(0).at(trial_id))
        space.validate(values)
        history.start(trial_id, values)
        if trial_id % 4:
            history.record(Observation(trial_id, 1, value(values)))
            history.end(trial_id)
    return [dict(history.values(trial_id)) for trial_id in history.ids]


@every_sampler
def test_a_mixed_conditional_space(make):
    proposals = go_on(OptunaSearcher(make()), History(), MIXED, 40)
    assert len({frozenset(values.items()) for values in proposals}) == 40
    assert {values["model"] for values in proposals} == {"mlp", "cnn"}


@every_sampler
@pytest.mark.parametrize("seed", range(4))
def test_random_spaces(make, seed):
    space = random_space(np.random.default_rng(seed), n_parameters=6, continuous=0.4)
    number = min(15, space.size or 15)
    assert len(go_on(OptunaSearcher(make()), History(), space, number, lambda values: len(values))) == number


@every_sampler
def test_a_finite_space_is_exhausted_exactly(make):
    history = History()
    proposals = go_on(OptunaSearcher(make()), history, SMALL, 15)
    assert len({frozenset(values.items()) for values in proposals}) == SMALL.size == 15
    with pytest.raises(SpaceExhausted):
        OptunaSearcher(make()).propose(history, SMALL, EventRandom(0).at(99))


@every_sampler
def test_the_same_search_comes_out_the_same(make):
    """Whatever the samplers' own seeds, which they take from the clock here."""
    first, second = (go_on(OptunaSearcher(make()), History(), MIXED, 25) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("make", [tpe, samplers.RandomSampler])
def test_goes_on_after_a_restart(make):
    """For samplers that decide by the trials alone, as a proposal that is not taken changes nothing for them."""
    history, loaded = History(), History()
    searcher = OptunaSearcher(make())
    go_on(searcher, history, MIXED, 15)
    loaded.load_state(json.loads(json.dumps(history.state())))
    searcher.propose(history, MIXED, EventRandom(1).at(0))
    assert go_on(OptunaSearcher(make()), loaded, MIXED, 25) == go_on(searcher, history, MIXED, 25)


@pytest.mark.parametrize("make", [cmaes, nsga2, qmc])
def test_a_sampler_with_notes_of_its_own_finds_its_way_after_a_restart(make):
    """It does not propose the same as without the restart, but goes on with untried values."""
    history = History()
    go_on(OptunaSearcher(make()), history, MIXED, 15)
    proposals = go_on(OptunaSearcher(make()), history, MIXED, 30)
    assert len({frozenset(values.items()) for values in proposals}) == 30


def test_the_study_says_what_the_history_says():
    history = History()
    searcher = OptunaSearcher(tpe())
    values = {
        "learning_rate": 0.01,
        "model": "cnn",
        "filters": 8,
        "pool": True,
        "decay": 0.1,
        "width": 2,
        "loss": "mse",
    }
    for trial_id, objectives in enumerate([[3.0, 1.0, 2.0], [4.0, 5.0], [1.0], [np.inf, np.inf], [2.0, 2.0], []]):
        history.start(trial_id, {**values, "learning_rate": 0.01 / (1 + trial_id)})
        for epoch, value in enumerate(objectives, 1):
            history.record(Observation(trial_id, epoch, value))
        if trial_id != 4:
            history.end(trial_id)
    for trial_id in range(6, 16):  # ten have reached epoch 2
        history.start(trial_id, {**values, "learning_rate": 0.01 / (1 + trial_id)})
        if trial_id < 13:
            history.record(Observation(trial_id, 2, 9.0))
        history.end(trial_id)
    searcher.propose(history, MIXED, EventRandom(0).at(0))
    trials = searcher._study(history, MIXED, np.random.default_rng(0)).trials
    states = [State.COMPLETE, State.COMPLETE, State.PRUNED, State.PRUNED, State.RUNNING, State.PRUNED]
    assert [trial.state for trial in trials] == states + [State.COMPLETE] * 7 + [State.PRUNED] * 3
    assert [trial.value for trial in trials[:2]] == [1.0, 4.0]  # the best up to epoch 2
    assert trials[0].intermediate_values == {1: 3.0, 2: 1.0, 3: 2.0}
    assert trials[4].intermediate_values == {1: 2.0, 2: 2.0}
    # The width's place by size; nothing for what is fixed or inactive.
    assert trials[0].params == {
        "learning_rate": 0.01,
        "model": "cnn",
        "filters": 8,
        "pool": True,
        "decay": 0.1,
        "width": 1,
    }


def test_parameters_of_one_name_are_told_apart():
    space = Space(
        [
            Parameter("model", Choice(("a", "b"))),
            Parameter("size", Int(1, 9), (Condition("model", ("a",)),)),
            Parameter("size", Choice(("s", "l")), (Condition("model", ("b",)),)),
        ]
    )
    history, searcher = History(), OptunaSearcher(tpe())
    assert len(go_on(searcher, history, space, 11)) == space.size == 11
    params = {
        name for trial in searcher._study(history, space, np.random.default_rng(0)).trials for name in trial.params
    }
    assert params == {"model", "size#0", "size#1"}


def test_a_space_may_grow_and_a_choice_may_go():
    history = History()
    searcher = OptunaSearcher(tpe())
    go_on(searcher, history, SMALL, 10)
    other = Space([Parameter("model", Choice(("cnn", "rnn"))), *SMALL.parameters[2:], Parameter("bias", Boolean())])
    for trial_id in range(10, 10 + 12):
        values = searcher.propose(history, other, EventRandom(0).at(trial_id))
        other.validate(values)
        history.start(trial_id, values)
    with pytest.raises(SpaceExhausted):
        searcher.propose(history, other, EventRandom(0).at(99))


def test_values_there_and_back():
    rng = np.random.default_rng(0)
    for _ in range(200):
        for parameter in random_space(rng, n_parameters=4, continuous=0.3).parameters:
            if parameter.domain.count == 1:
                continue
            translation = translation_of(parameter.domain)
            value = parameter.domain.from_unit(rng.random())
            seen = translation.to_optuna(value)
            assert translation.distribution._contains(translation.distribution.to_internal_repr(seen))
            fixed = optuna.trial.FixedTrial({"p": seen})
            back = translation.suggest(fixed, "p")
            assert type(back) is type(value)
            assert back == (pytest.approx(value) if translation.sees == "unit" else value)


def test_cma_es_learns():
    """Its generations are kept in the study, trial by trial; without them it would only ever draw its first."""
    pytest.importorskip("cmaes")
    space = Space([Parameter(f"x{place}", Float(0, 1)) for place in range(3)])
    history = History()
    searcher = OptunaSearcher(samplers.CmaEsSampler(popsize=6))
    for trial_id in range(90):
        values = searcher.propose(history, space, EventRandom(0).at(trial_id))
        history.start(trial_id, values)
        history.record(Observation(trial_id, 1, sum((x - 0.3) ** 2 for x in values.values())))
        history.end(trial_id)
    objectives = history.observations()[2]
    assert np.median(objectives[-20:]) < np.median(objectives[:20]) / 10


def test_optuna_says_nothing_of_its_studies(capfd):
    OptunaSearcher(tpe()).propose(History(), SMALL, EventRandom(0).at(0))
    assert capfd.readouterr() == ("", "")


def test_without_optuna(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setitem(sys.modules, "optuna.samplers", None)
    with pytest.raises(ImportError, match=r"pip install kt_ext\[optuna\]"):
        OptunaSearcher(samplers.RandomSampler())


def test_not_a_sampler():
    with pytest.raises(TypeError, match=r"^sampler='tpe' of type str: must be an instance"):
        OptunaSearcher("tpe")  # type: ignore[arg-type]
