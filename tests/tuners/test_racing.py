"""Races of real models on digits: the same instances for all, seeds or folds, killed, resumed, in worker processes."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

import kt_ext
from kt_ext.oracles.racing import instance_seed
from kt_ext.training.checkpoints import CheckpointStore
from kt_ext.training.folds import fold_of_samples
from tuners.searches import all_epochs, assert_same_epochs, build, data, epochs_of, learning_rates, small_model

EPOCHS = 3
RATES = (0.03, 1e-6, 0.02)


def build_for_race(hp: Any) -> keras.Model:
    """One with a low learning rate is so much worse that two instances tell, on every backend."""
    model = build(hp)
    if hp.get("learning_rate") < 1e-3:
        model.compile(model.optimizer, far_worse, metrics=["accuracy"])
    return model


def far_worse(y_true: Any, y_pred: Any) -> Any:
    return 1e4 + keras.losses.sparse_categorical_crossentropy(y_true, y_pred)


def race(project: dict[str, str], build_model: Any = build_for_race, **changed: Any) -> kt_ext.RacingTuner:
    """Three trials on four seeds, tested from the second on: the one that is far worse is dropped there."""
    settings: dict[str, Any] = {
        "objective": "val_loss",
        "epochs": EPOCHS,
        "max_instances": 4,
        "max_trials": 3,
        "first_test": 2,
        "test": "t",
        "confidence": 0.999,
        "searcher": learning_rates(*RATES),
        "seed": 0,
    }
    return kt_ext.RacingTuner(build_model, **{**settings, **project, **changed})


def search(tuner: kt_ext.RacingTuner, **kwargs: Any) -> kt_ext.RacingTuner:
    tuner.search(**{**data(), "batch_size": 25, "verbose": 0, **kwargs})
    return tuner


def instances_of(tuner: Any) -> list[int]:
    return [len(epochs_of(tuner, trial_id)["val_loss"]) for trial_id in sorted(tuner.oracle.trials)]


class Fits(keras.callbacks.Callback):
    """Writes down each training's values of the trial, instance and number of epochs; dies where it is told to."""

    def __init__(self, dies_at: int | None = None) -> None:
        super().__init__()
        self.begun: list[np.ndarray] = []
        self.epochs: list[int] = []
        self.dies_at = dies_at

    def __deepcopy__(self, memo: Any) -> Fits:
        return self

    def on_train_begin(self, logs: Any = None) -> None:
        self.begun.append(keras.ops.convert_to_numpy(self.model.weights[0]).copy())
        self.epochs.append(0)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs[-1] += 1
        if len(self.epochs) == self.dies_at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """(tuner, its fits) of a race with three seeds."""
    fits = Fits()
    project = {"directory": str(tmp_path_factory.mktemp("race")), "project_name": "unbroken"}
    return search(race(project), callbacks=[fits]), fits


@pytest.mark.nightly
def test_seeds(unbroken):
    tuner, fits = unbroken
    assert instances_of(tuner) == [4, 2, 4]
    assert fits.epochs == [EPOCHS] * 10
    assert tuner.oracle.search.where == {0: "done", 1: "paused", 2: "done"}
    # Trials 0, 1 and 2 each run instances 1 and 2, then 0 and 2 run 3, and then 4.
    instances = [1, 2, 1, 2, 1, 2, 3, 3, 4, 4]
    for one, weights in zip(instances, fits.begun, strict=True):
        for other, others in zip(instances, fits.begun, strict=True):
            assert (one == other) == bool((weights == others).all())
    losses = epochs_of(tuner, "0")["val_loss"]
    assert len(set(losses)) == 4
    trial = tuner.oracle.get_best_trials(1)[0]
    assert trial.score == pytest.approx(np.mean(epochs_of(tuner, trial.trial_id)["val_loss"]))


def test_an_instance_is_its_best_epoch_and_the_model_is_the_best_instances(unbroken):
    tuner, _ = unbroken
    x_val, y_val = data()["validation_data"]
    trial = tuner.oracle.get_best_trials(1)[0]
    losses = epochs_of(tuner, trial.trial_id)["val_loss"]
    model = tuner.get_best_models()[0]
    assert model.evaluate(x_val, y_val, verbose=0)[0] == pytest.approx(min(losses), rel=1e-5)
    assert trial.best_step == 1 + int(np.argmin(losses))
    for trial_id in tuner.oracle.trials:  # a trial that is over keeps the best alone, another the last, too
        kept = CheckpointStore(Path(tuner.get_trial_dir(trial_id)) / "execution0").epochs()
        losses = epochs_of(tuner, trial_id)["val_loss"]
        assert kept == sorted({1 + int(np.argmin(losses))} | ({2} if trial_id == "1" else set()))


class EachLoss(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def __deepcopy__(self, memo: Any) -> EachLoss:
        return self

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.losses.append(logs["val_loss"])


@pytest.mark.parametrize(
    "share_models", [pytest.param(True, marks=pytest.mark.slow), pytest.param(False, marks=pytest.mark.nightly)]
)
def test_an_epoch_before_the_last_may_be_the_best(project, share_models):
    """The last epoch is trained at a rate that ruins the model."""
    seen = EachLoss()
    ruin = keras.callbacks.LearningRateScheduler(lambda epoch: 0.02 if epoch < 2 else 50.0)
    tuner = race(project, max_trials=1, max_total_instances=2, share_models=share_models)
    search(tuner, callbacks=[ruin, seen])
    assert epochs_of(tuner)["val_loss"] == pytest.approx([seen.losses[1], seen.losses[4]], rel=1e-6)
    assert seen.losses[1] < seen.losses[2] and seen.losses[4] < seen.losses[5]
    loss = tuner.get_best_models()[0].evaluate(*data()["validation_data"], verbose=0)[0]
    assert loss == pytest.approx(min(seen.losses), rel=1e-5)


@pytest.mark.parametrize(
    "dies_at", [pytest.param(2, marks=pytest.mark.slow), pytest.param(7, marks=pytest.mark.nightly)]
)
def test_a_killed_search_trains_the_instance_in_flight_again_and_no_other(project, unbroken, dies_at):
    with pytest.raises(KeyboardInterrupt):
        search(race(project), callbacks=[Fits(dies_at)])
    fits = Fits()
    tuner = search(race(project), callbacks=[fits])
    assert len(fits.epochs) == 10 - (dies_at - 1)
    assert_same_epochs(all_epochs(tuner), all_epochs(unbroken[0]))


@pytest.mark.nightly
def test_an_instance_that_is_safe_but_was_not_reported_is_not_trained_again(project, unbroken, monkeypatch):
    """The process died between the checkpoint and the report."""
    tuner = race(project)
    reported = []

    def report(trial: Any, epoch: int, metrics: dict[str, float]) -> bool:
        if len(reported) == 1:
            raise KeyboardInterrupt
        reported.append(epoch)
        return type(tuner).report(tuner, trial, epoch, metrics)

    monkeypatch.setattr(tuner, "report", report)
    with pytest.raises(KeyboardInterrupt):
        search(tuner)
    fits = Fits()
    again = search(race(project), callbacks=[fits])
    assert len(fits.epochs) == 8
    assert_same_epochs(all_epochs(again), all_epochs(unbroken[0]))


class Steps(keras.callbacks.Callback):
    """How many batches an epoch of each training had."""

    def __deepcopy__(self, memo: Any) -> Steps:
        return self

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.steps.append(self.params["steps"])


@pytest.mark.nightly
def test_folds(project):
    x, y = data()["x"], data()["y"]
    seen = Steps()
    tuner = race(project, instances="folds", max_trials=2, searcher=learning_rates(0.03, 0.02))
    tuner.search(x, y, batch_size=10, verbose=0, callbacks=[seen])
    assert instances_of(tuner) == [4, 4]
    assert seen.steps == [15] * 8  # 150 of 200 samples
    # The best model's instance was validated on its own fold.
    trial = tuner.oracle.get_best_trials(1)[0]
    fold = fold_of_samples(200, 4, instance_seed(trial, 0), y)
    model, losses = tuner.get_best_models()[0], epochs_of(tuner, trial.trial_id)["val_loss"]
    on_fold = [model.evaluate(x[fold == k], y[fold == k], verbose=0)[0] for k in range(4)]
    assert [loss == pytest.approx(min(losses), rel=1e-5) for loss in on_fold] == [
        k == trial.best_step - 1 for k in range(4)
    ]


class OwnFit(keras_tuner.HyperModel):
    """Returns the objective from its ``fit``."""

    def build(self, hp: Any) -> keras.Model:
        return build(hp)

    def fit(self, hp: Any, model: keras.Model, x: Any, y: Any, validation_data: Any, **kwargs: Any) -> dict[str, float]:
        model.fit(x, y, batch_size=50, epochs=1, verbose=0)
        return {"val_error": 1.0 - model.evaluate(*validation_data, verbose=0)[1]}


@pytest.mark.slow
def test_a_hypermodel_with_a_fit_of_its_own(project):
    objective = keras_tuner.Objective("val_error", "min")
    tuner = race(project, OwnFit(), objective=objective, max_total_instances=3, test="friedman")
    tuner.search(**data(), verbose=0)
    trial = tuner.oracle.trials["0"]
    assert len(epochs_of(tuner, "0")["val_error"]) == 2
    accuracy = tuner.load_model(trial).evaluate(*data()["validation_data"], verbose=0)[1]
    assert 1.0 - accuracy == pytest.approx(min(epochs_of(tuner, "0")["val_error"]), abs=1e-6)


@pytest.mark.nightly
def test_a_schedule_starts_anew_in_each_training(project):
    rates: list[list[float]] = []

    class Rates(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            rates.append([])

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            pass

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            rates[-1].append(float(keras.ops.convert_to_numpy(self.model.optimizer.iterations)))

    search(race(project, max_trials=1, max_total_instances=2), callbacks=[Rates()])
    assert rates == [[8.0, 16.0, 24.0]] * 2  # the optimizer counts its steps from the first


@pytest.mark.slow
def test_one_that_diverges_is_dropped(project):
    def diverges(hp: Any) -> keras.Model:
        rate = hp.Float("learning_rate", 1e-6, 1e30, sampling="log")
        model = small_model(learning_rate=rate)
        if rate > 1:
            model.compile("sgd", lambda y, p: keras.ops.mean(p) * float("nan"))
        return model

    tuner = race(project, diverges, max_trials=2, searcher=learning_rates(1e20, 0.01))
    search(tuner)
    assert instances_of(tuner) == [1, 4]
    assert tuner.oracle.trials["0"].score is None
    assert tuner.get_best_hyperparameters()[0].get("learning_rate") == 0.01


@pytest.mark.nightly
def test_a_model_that_is_too_large_is_not_trained(project):
    def sized(hp: Any) -> keras.Model:
        hp.Float("learning_rate", 1e-6, 1.0)
        return small_model(units=64 if hp.get("learning_rate") < 0.01 else 4)

    fits = Fits()
    tuner = race(project, sized, searcher=learning_rates(0.001, 0.02), max_trials=2, constraints={"params": 1000.0})
    search(tuner, callbacks=[fits])
    assert len(fits.epochs) == 4
    assert tuner.oracle.trials["0"].status == "COMPLETED" and "params" in tuner.oracle.trials["0"].message
    assert [trial.trial_id for trial in tuner.oracle.get_best_trials(2)] == ["1"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"hypermodel": None}, r"hypermodel=None: must be given"),
        ({"executions_per_trial": 2}, r"executions_per_trial=2: a race trains each trial several times"),
        ({"instances": "kfold"}, r"instances='kfold': must be one of seeds, folds"),
        ({"epochs": 0}, r"epochs=0: must be an integer >= 1"),
        ({"max_total_epochs": 8}, r"max_total_epochs=8: a race counts instances"),
        ({"first_test": 11}, r"first_test=11: must be <= max_instances=10"),
    ],
)
def test_wrong_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        kt_ext.RacingTuner(**{"hypermodel": build, "objective": "val_loss", **kwargs})


def test_wrong_data(project):
    with pytest.raises(ValueError, match=r"epochs=5: give epochs to the tuner"):
        search(race(project), epochs=5)
    tuner = race(project, instances="folds")
    with pytest.raises(ValueError, match=r"validation_data: must not be given with instances='folds'"):
        search(tuner)
    with pytest.raises(ValueError, match="3 samples cannot be divided into 4 folds"):
        tuner.search(data()["x"][:3], data()["y"][:3])
    with pytest.raises(keras_tuner.errors.FatalValueError, match="3 samples cannot be divided into 4 folds"):
        tuner.search(data_fn=lambda: {"x": data()["x"][:3], "y": data()["y"][:3]}, verbose=0)


def test_a_missing_objective_ends_the_search(project):
    with pytest.raises(keras_tuner.errors.FatalValueError, match=r"objective 'val_auc' is not among the logs of fit"):
        search(race(project, objective=keras_tuner.Objective("val_auc", "max")))


@pytest.mark.nightly
@pytest.mark.skipif(os.name == "nt", reason="worker processes need process groups")
def test_two_worker_processes(project, unbroken):
    """Values alone travel: the same instances give the same numbers in any process."""
    tuner = search(race(project, executor="process", workers=2))
    assert Counter(instances_of(tuner)) == {4: 2, 2: 1}
    assert_same_epochs(all_epochs(tuner), all_epochs(unbroken[0]))
    trial = tuner.oracle.get_best_trials(1)[0]
    loss = tuner.get_best_models()[0].evaluate(*data()["validation_data"], verbose=0)[0]
    assert loss == pytest.approx(min(epochs_of(tuner, trial.trial_id)["val_loss"]), rel=1e-5)
