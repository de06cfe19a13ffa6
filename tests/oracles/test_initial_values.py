"""Values that the user wants tried first."""

from __future__ import annotations

import keras_tuner
import numpy as np
import pytest

from kt_ext.core.history import History
from kt_ext.core.space import Int, Parameter, Space
from kt_ext.oracles.hyperparameters import own_values
from kt_ext.searchers import RandomSearcher
from kt_ext.searchers.initial import InitialValues
from oracles.oracle_driving import (
    Workers,
    asha,
    branching_space,
    by_values,
    decisions,
    journal,
    killed,
    outcome,
    small_space,
    without_waiting_for_the_disk,
)

FIRST = [{"units": 7, "kind": "b"}, {"rate": 0.05}, {}]
WHOLE = [
    {"units": 7, "kind": "b", "rate": 1e-4},
    {"units": 1, "kind": "a", "rate": 0.05},
    {"units": 1, "kind": "a", "rate": 1e-4},  # Keras Tuner's defaults
]


def values_of(oracle):
    return [own_values(trial.hyperparameters.values) for trial in oracle.trials.values()]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("wire", [False, True])
def test_they_are_tried_first_in_order(workers, wire):
    oracle = asha(initial_values=FIRST)
    Workers(oracle, by_values, workers, wire).run()
    assert values_of(oracle)[:3] == WHOLE
    without = asha()
    Workers(without, by_values).run()
    others = [tuple(values.items()) for values in values_of(oracle)[3:]]
    assert len(set(others)) == 6


def test_what_a_trial_has_had_is_not_tried_again():
    space = Space([Parameter("units", Int(1, 100))])
    searcher = InitialValues(RandomSearcher(), [{"units": 5}, {"units": 5}, {"units": 6}])
    history, found = History(), []
    for number in range(3):
        values = searcher.propose(history, space, np.random.default_rng(number))
        history.start(number, values)
        found.append(values)
    assert found[:2] == [{"units": 5}, {"units": 6}]
    assert found[2] not in found[:2]


def test_conditions_decide_which_defaults_are_added():
    oracle = asha(hyperparameters=branching_space(), initial_values=[{"kind": "b"}, {"kind": "c"}, {"depth": 4}])
    Workers(oracle, by_values).run()
    first = [{name: v for name, v in values.items() if name in ("kind", "depth")} for values in values_of(oracle)[:3]]
    assert first == [{"kind": "b", "depth": 1}, {"kind": "c"}, {"kind": "a", "depth": 4}]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([{"units": 7}, {"units": 500}], r"^initial_values\[1\]: units=500: must be .*100"),
        ([{"kind": "z"}], r"^initial_values\[0\]: kind='z': must be one of \['a', 'b', 'c'\]; choose one of them"),
        ([{"unit": 7}], r"^initial_values\[0\]: unit=7: is not a parameter of this space; leave it out .*rate, units,"),
        (
            [{"kind": "c", "depth": 3}],
            r"^initial_values\[0\]: depth=3: is not active under these values; leave it out",
        ),
    ],
)
def test_values_that_are_not_in_the_space(tmp_path, values, message):
    oracle = asha(tmp_path, hyperparameters=branching_space(), initial_values=values)
    with pytest.raises(ValueError, match=message):
        oracle.create_trial("tuner0")
    assert not (tmp_path / "project").exists()  # nothing was begun
    with pytest.raises(ValueError, match=message):
        asha(hyperparameters=branching_space(), initial_values=values).create_trial("tuner0")


@pytest.mark.parametrize("wrong", [{"units": 7}, ["units"], "units"])
def test_no_list_of_dictionaries(wrong):
    with pytest.raises(TypeError, match=r"^initial_values=.*: must be a list of dictionaries, one for each trial"):
        asha(initial_values=wrong)


def test_parameters_that_show_in_training_get_their_own_defaults():
    oracle = asha(initial_values=[{"units": 7}, {"units": 8}, {"units": 9}], max_trials=5)

    def registers_late(trial, epoch):
        trial.hyperparameters.Float("late", 0.0, 1.0, default=0.5)
        return by_values(trial, epoch)

    Workers(oracle, registers_late, count=2).run()
    found = values_of(oracle)
    assert [values["units"] for values in found[:3]] == [7, 8, 9]
    assert [values["late"] for values in found[:3]] == [0.5] * 3


def test_a_killed_search_goes_on(tmp_path, monkeypatch):
    with without_waiting_for_the_disk(monkeypatch):
        whole = asha(tmp_path, "whole", initial_values=FIRST, hyperparameters=branching_space())
        Workers(whole, by_values).run()
        assert journal(tmp_path / "whole")[0]["initial_values"] == FIRST
        for lines in range(1, len(journal(tmp_path / "whole")), 2):
            directory = killed(tmp_path / "whole", tmp_path / f"killed{lines}", lines)
            oracle = asha(tmp_path, directory.name, initial_values=FIRST, hyperparameters=branching_space())
            Workers(oracle, by_values).run()
            assert decisions(directory) == decisions(tmp_path / "whole")
            assert values_of(oracle) == values_of(whole)


def test_more_may_be_added_on_resume(tmp_path):
    first = asha(tmp_path, initial_values=FIRST[:1])
    Workers(first, by_values).run(steps=10)
    first.finish()
    begun = len(first.trials)
    assert 1 < begun < 9
    again = asha(tmp_path, initial_values=[*FIRST[:1], {"units": 99}])
    Workers(again, by_values).run()
    assert values_of(again)[begun] == {"units": 99, "kind": "a", "rate": 1e-4}
    reader = asha(tmp_path)
    reader.reload()
    assert outcome(reader) == outcome(again)


def test_a_fixed_space():
    hp = keras_tuner.HyperParameters()
    hp.Fixed("size", 3)
    hp.Boolean("flag", default=True)
    oracle = asha(hyperparameters=hp, initial_values=[{}], max_trials=2)
    Workers(oracle, lambda trial, epoch: {"loss": 1.0}).run()
    assert values_of(oracle) == [{"size": 3, "flag": True}, {"size": 3, "flag": False}]


def test_the_small_space_is_that_of_the_defaults_above():
    assert small_space().values == {"rate": 1e-4, "units": 1, "kind": "a"}
