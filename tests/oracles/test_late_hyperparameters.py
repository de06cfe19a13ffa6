"""Hyperparameters that a worker registers while it builds or fits, and those that are active only at times."""

from __future__ import annotations

import keras_tuner
import pytest

from kt_ext.oracles.hyperparameters import own_values
from oracles.oracle_driving import Workers, asha, journal, killed, outcome, over_the_wire, small_space


def registers_late(trial, epoch):
    """As HyperModel.fit does: a hyperparameter that nobody knew, and one that depends on another."""
    hp = trial.hyperparameters
    hp.Float("late", 0.0, 1.0, default=0.5)
    with hp.conditional_scope("kind", ["a"]):
        hp.Int("only_a", 1, 9)
    return {"loss": hp.values["units"] + hp.values["late"]}


def active(values):
    names = {"rate", "units", "kind", "late"}
    return names | {"only_a"} if values["kind"] == "a" else names


@pytest.mark.parametrize("wire", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_late_hyperparameters_are_recorded_and_searched(tmp_path, wire, count):
    oracle = asha(tmp_path, max_trials=27)
    Workers(oracle, registers_late, count, wire).run()
    names = [hp.name for hp in oracle.get_space().space]
    assert sorted(names) == ["kind", "late", "only_a", "rate", "units"]  # each once
    assert len([event for event in journal(tmp_path / "project") if event["e"] == "space"]) == 1
    values = {int(t.trial_id): own_values(t.hyperparameters.values) for t in oracle.trials.values()}
    for number, mine in values.items():
        assert mine.keys() == active(mine)
        assert mine == oracle.search.history.values(number)
    assert [values[number]["late"] for number in range(count)] == [0.5] * count  # the default
    later = [values[number]["late"] for number in range(count, 27)]
    assert len(set(later)) == len(later)  # sampled
    assert all(len(t.hyperparameters.space) == 5 for t in oracle.trials.values())


def test_late_hyperparameters_survive_a_restart(tmp_path):
    whole = asha(tmp_path, "whole", max_trials=27)
    Workers(whole, registers_late).run()
    for steps in (10, 40, 80):
        first = asha(tmp_path, f"first{steps}", max_trials=27)
        Workers(first, registers_late).run(steps)
        killed(tmp_path / f"first{steps}", tmp_path / f"second{steps}")
        second = asha(tmp_path, f"second{steps}", max_trials=27)
        Workers(second, registers_late).run()
        assert {t: found["own"] for t, found in outcome(second).items()} == {
            t: found["own"] for t, found in outcome(whole).items()
        }
        assert sorted(hp.name for hp in second.get_space().space) == ["kind", "late", "only_a", "rate", "units"]


@pytest.mark.parametrize("wire", [False, True])
def test_allow_new_entries_false(tmp_path, wire):
    oracle = asha(tmp_path, allow_new_entries=False)
    with pytest.raises(RuntimeError, match="`allow_new_entries` is `False`, but found new entries"):
        Workers(oracle, registers_late, wire=wire).run()
    with pytest.raises(RuntimeError, match="allow_new_entries"):
        other = small_space()
        other.Boolean("flag")
        oracle.update_space(other)
    assert [hp.name for hp in oracle.get_space().space] == ["rate", "units", "kind"]
    assert [event["e"] for event in journal(tmp_path / "project")] == ["search", "ask", "tell"]


@pytest.mark.parametrize("wire", [False, True])
def test_tune_new_entries_false(tmp_path, wire):
    oracle = asha(tmp_path, tune_new_entries=False)
    Workers(oracle, registers_late, wire=wire).run()
    assert [hp.name for hp in oracle.get_space().space] == ["rate", "units", "kind"]
    for trial in oracle.trials.values():
        assert trial.hyperparameters.values["late"] == 0.5  # the default
        assert trial.hyperparameters.values.get("only_a") == (
            1 if trial.hyperparameters.values["kind"] == "a" else None
        )


@pytest.mark.parametrize("argument", ["allow_new_entries", "tune_new_entries"])
def test_a_closed_space_must_be_given(argument):
    with pytest.raises(ValueError, match=f"If you set `{argument}=False`"):
        asha(hyperparameters=None, **{argument: False})


def conditional_space():
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["mlp", "cnn"])
    with hp.conditional_scope("kind", ["mlp"]):
        hp.Int("units", 1, 100)
        hp.Boolean("wide")
        with hp.conditional_scope("wide", [True]):
            hp.Float("factor", 1.0, 4.0)
    with hp.conditional_scope("kind", ["cnn"]):
        hp.Float("dropout", 0.0, 0.5)
    return hp


def expected_names(values):
    if values["kind"] == "cnn":
        return {"kind", "dropout"}
    return {"kind", "units", "wide", "factor"} if values["wide"] else {"kind", "units", "wide"}


@pytest.mark.parametrize("wire", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_only_active_hyperparameters_have_values(wire, reverse):
    space = conditional_space()
    if reverse:  # children before their parents, as Keras Tuner's wire may have it
        space._space.reverse()
    oracle = asha(hyperparameters=space, max_trials=40)
    Workers(oracle, lambda trial, epoch: {"loss": float(epoch)}, wire=wire).run()
    seen = [own_values(trial.hyperparameters.values) for trial in oracle.trials.values()]
    assert all(values.keys() == expected_names(values) for values in seen)
    assert {frozenset(values) for values in seen} == {
        frozenset({"kind", "dropout"}),
        frozenset({"kind", "units", "wide"}),
        frozenset({"kind", "units", "wide", "factor"}),
    }


def test_a_space_learnt_from_a_worker_in_wire_order(tmp_path):
    # The wire groups Fixed, Float, Int, Choice, Boolean: a Float comes before the Choice that it depends on.
    oracle = asha(tmp_path, hyperparameters=keras_tuner.HyperParameters(), max_trials=30)
    theirs = over_the_wire(asha(hyperparameters=conditional_space()).create_trial("tuner0")).hyperparameters
    assert [hp.name for hp in theirs.space][:2] == ["factor", "dropout"]
    oracle.update_space(theirs)
    Workers(oracle, lambda trial, epoch: {"loss": float(epoch)}).run()
    seen = [own_values(trial.hyperparameters.values) for trial in oracle.trials.values()]
    assert len({str(values) for values in seen}) == 30
    assert all(values.keys() == expected_names(values) for values in seen)
    again = asha(tmp_path, hyperparameters=keras_tuner.HyperParameters(), max_trials=30)
    again.reload()
    assert outcome(again) == outcome(oracle)


def test_types_survive_the_wire():
    hp = keras_tuner.HyperParameters()
    hp.Boolean("flag")
    hp.Choice("size", [1.0, 2.0])
    hp.Fixed("name", "x")
    hp.Int("units", 1, 100)
    oracle = asha(hyperparameters=hp)
    Workers(oracle, lambda trial, epoch: {"loss": 1.0}, wire=True).run()
    types = {tuple(type(v) for v in own_values(t.hyperparameters.values).values()) for t in oracle.trials.values()}
    assert types == {(bool, float, str, int)}
    assert len(oracle.get_space().space) == 4
