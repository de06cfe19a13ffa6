"""One metric, several with their signs, or the default: one number to minimise."""

from __future__ import annotations

import math

import keras_tuner
import pytest
from keras_tuner.src.engine.objective import create_objective

from kt_ext.oracles.objective import ObjectiveReader
from oracles.oracle_driving import Workers, asha, outcome


def reader(objective):
    return ObjectiveReader(create_objective(objective))


def test_a_metric():
    up = reader("val_accuracy")
    assert (up.names, up.maximise) == (("val_accuracy",), True)
    assert up.minimised({"val_accuracy": 0.75, "loss": 3.0}) == -0.75
    assert up.in_own_units(-0.75) == 0.75
    assert up.missing({"loss": 1.0}) == ["val_accuracy"]
    down = reader("val_loss")
    assert (down.minimised({"val_loss": 0.75}), down.in_own_units(0.75)) == (0.75, 0.75)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("objective", ["val_accuracy", "val_loss"])
def test_what_is_not_finite_is_the_worst(objective, bad):
    assert reader(objective).minimised({objective: bad}) == math.inf


def test_several_objectives_are_a_signed_sum():
    both = reader([keras_tuner.Objective("loss", "min"), keras_tuner.Objective("accuracy", "max")])
    assert (both.names, both.maximise) == (("loss", "accuracy"), False)
    assert both.minimised({"loss": 2.0, "accuracy": 0.5, "other": 9.0}) == 1.5
    assert both.missing({"accuracy": 0.5}) == ["loss"]
    assert both.minimised({"loss": math.inf, "accuracy": math.inf}) == math.inf  # their difference is NaN


def test_the_default():
    assert reader(None).names == ("default_objective",)
    assert reader(None).minimised({"default_objective": 2.0}) == 2.0


def test_directions_of_other_metrics():
    both = reader([keras_tuner.Objective("score", "max"), "val_loss"])
    names = ("score", "val_loss", "loss", "accuracy", "val_auc", "anything")
    assert [both.direction(name) for name in names[:4]] == ["max", "min", "min", "max"]
    assert both.direction("anything") == "min"


def test_a_search_with_several_objectives(tmp_path):
    objective = [keras_tuner.Objective("loss", "min"), keras_tuner.Objective("accuracy", "max")]
    oracle = asha(tmp_path, objective=objective, variant="stopping", max_trials=2)
    losses = {"0": 3.0, "1": 1.0}
    Workers(oracle, lambda t, epoch: {"loss": losses[t.trial_id], "accuracy": epoch / 4, "other": 1.0}).run()
    assert [(t.trial_id, t.score, t.best_step) for t in oracle.get_best_trials(2)] == [("1", -1.25, 9), ("0", 0.75, 9)]
    assert oracle.trials["1"].metrics.get_best_value("multi_objective") == -1.25
    again = asha(tmp_path, objective=objective, variant="stopping", max_trials=2)
    again.reload()
    assert outcome(again) == outcome(oracle)
    with pytest.raises(ValueError, match="objective 'loss' is missing"):
        fresh = asha(objective=objective)
        fresh.create_trial("tuner0")
        fresh.update_trial("0", {"accuracy": 1.0}, step=1)


def test_a_search_with_the_default_objective():
    oracle = asha(objective=None, max_trials=3)
    Workers(oracle, lambda t, epoch: {"default_objective": float(t.trial_id)}).run()
    assert [t.trial_id for t in oracle.get_best_trials(3)] == ["0", "1", "2"]
