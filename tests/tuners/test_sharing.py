"""Trials that share one compiled model are as good as those that each build and trace their own."""

from __future__ import annotations

from typing import Any

import keras
import pytest

import kt_ext
from tuners.searches import ONE_TRAIN_TRACE, Listed, all_epochs, assert_same_epochs, build, counting, data, small_model

FIVE = [
    {"learning_rate": 0.01, "weight_decay": 1e-3, "dropout": 0.3},
    {"learning_rate": 0.1, "weight_decay": 1e-1, "dropout": 0.05},
    {"learning_rate": 0.001, "weight_decay": 1e-5, "dropout": 0.5},
    {"learning_rate": 0.01, "weight_decay": 1e-3, "dropout": 0.3},
    {"learning_rate": 0.03, "weight_decay": 1e-2, "dropout": 0.1},
]


def build_of_units(hp: Any) -> keras.Model:
    return small_model(units=hp.Int("units", 4, 12, step=4), learning_rate=hp.Float("learning_rate", 1e-4, 1e-1))


def search(build_model: Any, values: list[dict[str, Any]], directory: Any, share: bool) -> tuple[Any, Any]:
    with counting() as counts:
        tuner = kt_ext.SchedulerTuner(
            counts.counted(build_model),
            kt_ext.schedulers.FIFO(max_trials=len(values), max_epochs=2),
            Listed(*values),
            "val_loss",
            seed=0,
            directory=str(directory),
            project_name=f"share_{share}",
            share_models=share,
        )
        tuner.search(**data(), batch_size=25, verbose=0)
    return tuner, counts


@pytest.fixture(scope="module")
def shared_and_not(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sharing")
    return search(build, FIVE, directory, True), search(build, FIVE[:3], directory, False)


def test_one_trace_for_five_trials(shared_and_not):
    (_, counts), (_, unshared_counts) = shared_and_not
    assert counts.builds == 1 + 5
    assert (counts.train_steps, counts.test_steps) == (ONE_TRAIN_TRACE, 1)
    assert unshared_counts.train_steps == 3 * ONE_TRAIN_TRACE


def test_same_results_as_unshared(shared_and_not):
    (shared, _), (unshared, _) = shared_and_not
    first_three = {trial_id: epochs for trial_id, epochs in all_epochs(shared).items() if trial_id < "3"}
    assert_same_epochs(first_three, all_epochs(unshared))


def test_equal_values_differ_by_their_seed(shared_and_not):
    epochs = all_epochs(shared_and_not[0][0])
    assert epochs["0"]["loss"] != pytest.approx(epochs["3"]["loss"], rel=1e-3)  # new initial weights and order


def test_best_model_is_a_plain_model(shared_and_not):
    """It has the best trial's own dropout, not that of the trial which came last."""
    tuner, _ = shared_and_not[0]
    best = tuner.get_best_models()[0]
    dropout = best.layers[1].rate
    assert type(dropout) is float
    assert dropout == tuner.get_best_hyperparameters()[0].get("dropout")


@pytest.fixture(scope="module")
def of_units(tmp_path_factory):
    directory = tmp_path_factory.mktemp("units")
    values = [{"units": units, "learning_rate": 0.01} for units in (4, 8, 4)]
    return search(build_of_units, values, directory, True), search(build_of_units, values, directory, False)


@pytest.mark.slow
def test_other_architectures_are_not_mixed_up(of_units):
    (shared, counts), (unshared, _) = of_units
    assert counts.train_steps == 2 * ONE_TRAIN_TRACE
    assert_same_epochs(all_epochs(shared), all_epochs(unshared))
    for trial_id, units in (("0", 4), ("1", 8), ("2", 4)):
        assert shared.load_model(shared.oracle.trials[trial_id]).layers[0].units == units
