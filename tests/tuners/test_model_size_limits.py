"""Bounds and objectives on the size of the model and on a metric of the user's, in real searches."""

from __future__ import annotations

import keras
import keras_tuner
import pytest

import kt_ext
from kt_ext.schedulers import FIFO
from tuners.searches import Listed, all_epochs, assert_same_epochs, counting, data, small_model

LIMIT = 1000
SIZES = {8: 8 * 65 + 90, 16: 16 * 65 + 170, 32: 32 * 65 + 330, 12: 12 * 65 + 130}


def build(hp):
    return small_model(units=hp.Choice("units", [8, 12, 16, 32]))


def tuner_of(project, *units, epochs=2, **changed):
    settings = {
        "scheduler": FIFO(len(units), epochs),
        "searcher": Listed(*({"units": n} for n in units)),
        "objective": "val_loss",
        "constraints": {"params": LIMIT},
        "seed": 0,
        "executor": "serial",
        **project,
        **changed,
    }
    return kt_ext.SchedulerTuner(build, **settings)


def test_a_model_that_is_too_large_is_not_trained_and_fails_nothing(project, capsys):
    tuner = tuner_of(project, 32, 16, 32, 16, 8)
    with counting() as counts:
        tuner.search(**data(), batch_size=50, verbose=1)
    assert counts.train_steps <= 2  # of the one that was trained
    trials = tuner.oracle.trials
    assert [tuner.oracle.search.history.epochs_of(n) for n in range(5)] == [0, 0, 0, 0, 2]
    assert {trial.status for trial in trials.values()} == {"COMPLETED"}
    expected = f"infeasible by the constraints, so it was not trained: params={SIZES[32]} is not <= {LIMIT}"
    assert trials["0"].message == expected
    assert [trial.trial_id for trial in tuner.oracle.get_best_trials(5)] == ["4"]
    assert all_epochs(tuner)["4"]["params"] == [float(SIZES[8])] * 2
    assert tuner.get_best_models()[0].count_params() == SIZES[8]
    assert f"    {expected}\n" in capsys.readouterr().out


def test_none_is_small_enough(project, capsys):
    tuner = tuner_of(project, 32, 16, 32, 16)
    tuner.search(**data(), verbose=1)
    assert tuner.oracle.get_best_trials(5) == []
    assert "No trial keeps the constraints" in capsys.readouterr().out


@pytest.mark.nightly
def test_several_executions_of_one_that_is_too_large(project):
    tuner = tuner_of(project, 32, 8, executions_per_trial=2)
    tuner.search(**data(), verbose=0)
    assert [tuner.oracle.search.history.epochs_of(n) for n in range(2)] == [0, 2]


class Latency(keras.callbacks.Callback):
    """Puts a number into the logs, by the size of the model that trains."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_latency_ms"] = self.model.count_params() / 100


@pytest.mark.slow
def test_a_metric_of_the_users_own_callback(project):
    tuner = tuner_of(project, 32, 8, constraints={"val_latency_ms": 10.0})
    tuner.search(**data(), callbacks=[Latency()], verbose=0)
    trials = tuner.oracle.trials
    assert trials["0"].message == "infeasible by the constraints, at epoch 2: val_latency_ms=24.1 is not <= 10"
    assert [trial.trial_id for trial in tuner.oracle.get_best_trials(5)] == ["1"]


def test_a_metric_that_nobody_reports(project):
    tuner = tuner_of(project, 8, constraints={"val_latency_ms": 10.0})
    with pytest.raises(keras_tuner.errors.FatalValueError, match=r"^constraint 'val_latency_ms' is not among the logs"):
        tuner.search(**data(), verbose=0)


@pytest.mark.slow
def test_the_size_as_an_objective(project):
    objective = ["val_loss", keras_tuner.Objective("params", "min")]
    tuner = tuner_of(project, 8, 32, 12, objective=objective, multi_objective="pareto", constraints=None, epochs=3)
    tuner.search(**data(), verbose=0)
    epochs = all_epochs(tuner)
    assert [epochs[i]["params"] for i in "012"] == [[float(SIZES[units])] * 3 for units in (8, 32, 12)]
    front = tuner.pareto_front()
    best = {i: epochs[i]["val_loss"][tuner.oracle.trials[i].best_step - 1] for i in "012"}
    size = {"0": 8, "1": 32, "2": 12}
    on_it = {i for i in size if not any(best[j] < best[i] and size[j] < size[i] for j in size)}
    assert {trial.trial_id for trial in front} == on_it >= {"0"}
    for trial in front:
        model = tuner.load_model(trial)
        assert model.count_params() == SIZES[size[trial.trial_id]]
        x, y = data()["validation_data"]
        found = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
        assert found == pytest.approx(best[trial.trial_id], rel=1e-4)


class Worse(keras.callbacks.Callback):
    """Two objectives that only grow, so that the first epoch is the one that a trial is judged by."""

    def on_epoch_end(self, epoch, logs=None):
        logs["cost"] = float(epoch)
        logs["loss_"] = float(epoch)


@pytest.mark.slow
def test_the_checkpoint_of_the_epoch_that_a_trial_is_judged_by_is_kept(project):
    objective = [keras_tuner.Objective("cost", "min"), keras_tuner.Objective("loss_", "min")]
    tuner = tuner_of(project, 8, objective=objective, multi_objective="pareto", constraints=None, epochs=5)
    tuner.search(**data(), callbacks=[Worse()], verbose=0)
    (trial,) = tuner.pareto_front()
    assert trial.best_step == 1
    x, y = data()["validation_data"]
    found = tuner.load_model(trial).evaluate(x, y, verbose=0, return_dict=True)["loss"]
    assert found == pytest.approx(all_epochs(tuner)["0"]["val_loss"][0], rel=1e-4)


class Kill(keras.callbacks.Callback):
    """Ends the process's search in the given training, counted over all, after its first epoch's report."""

    trainings = 0

    def __init__(self, at):
        super().__init__()
        self.at = at

    def on_train_begin(self, logs=None):
        Kill.trainings += 1

    def on_epoch_begin(self, epoch, logs=None):
        if Kill.trainings == self.at and epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {
            "objective": ["val_loss", keras_tuner.Objective("params", "min")],
            "multi_objective": "pareto",
            "constraints": {"params": 1500.0},
        },
        {"searcher": "random", "initial_values": [{"units": 12}, {"units": 32}, {"units": 8}, {"units": 16}]},
    ],
    ids=["constraints", "pareto", "initial values"],
)
@pytest.mark.nightly
def test_a_search_that_was_interrupted_goes_on(tmp_path, changed):
    units = (8, 32, 12, 16)
    whole = tuner_of({"directory": str(tmp_path), "project_name": "whole"}, *units, **changed)
    whole.search(**data(), verbose=0)
    project = {"directory": str(tmp_path), "project_name": "project"}
    Kill.trainings = 0
    with pytest.raises(KeyboardInterrupt):
        tuner_of(project, *units, **changed).search(**data(), callbacks=[Kill(at=2)], verbose=0)
    again = tuner_of(project, *units, **changed)
    again.search(**data(), verbose=0)
    assert_same_epochs(all_epochs(again), all_epochs(whole))
    found = {i: (t.status, t.best_step, t.message) for i, t in again.oracle.trials.items()}
    assert found == {i: (t.status, t.best_step, t.message) for i, t in whole.oracle.trials.items()}
    assert [t.trial_id for t in again.oracle.get_best_trials(9)] == [
        t.trial_id for t in whole.oracle.get_best_trials(9)
    ]


def test_initial_values_are_checked_when_the_tuner_is_made(project):
    with pytest.raises(ValueError, match=r"^initial_values\[0\]: units=9: must be one of \[8, 12, 16, 32\]"):
        tuner_of(project, 8, initial_values=[{"units": 9}])


@pytest.mark.slow
def test_a_model_without_an_input_shape_is_measured_in_its_first_epoch(project):
    def unbuilt(hp):
        model = keras.Sequential(
            [keras.layers.Dense(hp.Choice("units", [8, 32])), keras.layers.Dense(10, activation="softmax")]
        )
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    tuner = kt_ext.ASHATuner(
        unbuilt,
        "val_loss",
        max_epochs=2,
        max_trials=2,
        variant="stopping",
        factor=2,
        searcher=Listed({"units": 32}, {"units": 8}),
        constraints={"params": LIMIT},
        executor="serial",
        **project,
    )
    tuner.search(**data(), verbose=0)
    assert tuner.oracle.trials["0"].message.endswith(f": params={SIZES[32]} is not <= {LIMIT}")
    assert tuner.oracle.search.history.epochs_of(0) > 0
    assert [trial.trial_id for trial in tuner.oracle.get_best_trials(5)] == ["1"]
