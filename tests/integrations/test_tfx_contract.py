"""Each tuner in the hands of TFX's Tuner component, without TFX."""

from __future__ import annotations

import json
import socket
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

import kt_ext
from integrations.tfx_executor import executed
from kt_ext import nas
from kt_ext.execution.credentials import create
from kt_ext.integrations.tfx import tuner_fn_result
from kt_ext.oracles.hyperparameters import own_values
from kt_ext.reports.record import read
from kt_ext.schedulers import FIFO
from kt_ext.training import live
from tuners.searches import build, data, run_python

pytestmark = pytest.mark.tensorflow
BATCH, STEPS, VALIDATION_STEPS = 50, 4, 2
HYPERPARAMETERS = {"learning_rate", "weight_decay", "dropout"}

FLAT: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "asha": (kt_ext.ASHATuner, {"max_epochs": 3, "max_trials": 3}),
    "pbt": (kt_ext.PBTTuner, {"population_size": 3, "max_epochs": 4, "perturbation_interval": 1}),
    "fifo": (kt_ext.SchedulerTuner, {"scheduler": FIFO(2, 1), "searcher": "tpe"}),
    "hyperband": (kt_ext.HyperbandTuner, {"max_epochs": 2, "factor": 2, "max_trials": 3}),
    "bohb": (kt_ext.BOHBTuner, {"max_epochs": 2, "factor": 2, "max_trials": 3}),
    "gp": (kt_ext.BayesianTuner, {"max_epochs": 1, "max_trials": 3}),
    "auto": (kt_ext.AutoTuner, {"max_epochs": 3, "max_trials": 3}),
    "pb2": (kt_ext.PB2Tuner, {"population_size": 3, "max_epochs": 3, "perturbation_interval": 1}),
    "racing": (kt_ext.RacingTuner, {"epochs": 1, "max_instances": 2, "first_test": 2, "max_trials": 3}),
}
DEFAULT = ("asha", "pbt", "fifo")


def endless(*arrays: np.ndarray) -> Any:
    """A dataset that repeats for ever, as those of TFX's examples do."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays).batch(BATCH).repeat()


def fit_arguments(shape: tuple[int, ...] = (64,)) -> dict[str, Any]:
    """200 digits in 4 steps, 100 to validate in 2, of the given shape of a sample."""
    arrays = data()
    x, y = arrays["validation_data"]
    return {
        "x": endless(arrays["x"].reshape(-1, *shape), arrays["y"]),
        "steps_per_epoch": STEPS,
        "validation_data": endless(x.reshape(-1, *shape), y),
        "validation_steps": VALIDATION_STEPS,
        "verbose": 0,
    }


def tuner_of(name: str, directory: Any, **changed: Any) -> Any:
    kind, arguments = FLAT[name]
    return kind(build, **{**arguments, "objective": "val_loss", "seed": 0, "directory": str(directory), **changed})


def carried(best: str) -> keras_tuner.HyperParameters:
    """As the Trainer has them: through the file, ``fn_args.hyperparameters`` and Keras Tuner."""
    return keras_tuner.HyperParameters.from_config(json.loads(best))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in DEFAULT else pytest.mark.slow) for name in FLAT]
)
def test_the_component_gets_what_it_asks_for(name, tmp_path):
    result = tuner_fn_result(tuner_of(name, tmp_path), fit_arguments())
    best, results = executed(result)
    tuner, rows = result.tuner, json.loads(results)
    assert [row["trial_id"] for row in rows] == [t.trial_id for t in tuner.oracle.get_best_trials(99)]
    assert len(rows) >= 2
    assert all(np.isfinite(row["score"]) and row.keys() >= HYPERPARAMETERS for row in rows)
    assert rows[0]["score"] == pytest.approx(min(row["score"] for row in rows)) or name == "racing"  # most instances
    hp = carried(best)
    assert own_values(hp.values).keys() == HYPERPARAMETERS
    assert hp.values == tuner.get_best_hyperparameters()[0].values
    assert build(hp).count_params() == build(tuner.get_best_hyperparameters()[0]).count_params()  # the Trainer's


@pytest.mark.slow
def test_architectures(tmp_path):
    space = nas.ChainSpace(["conv1x1", "conv3x3"], max_depth=2, widths=[4, 8])
    model = space.hypermodel((8, 8, 1), nas.classifier(10))
    tuner = kt_ext.NASTuner(model, "evolution", "val_loss", 3, 1, seed=0, directory=str(tmp_path))
    best, results = executed(tuner_fn_result(tuner, fit_arguments((8, 8, 1))))
    assert len(json.loads(results)) == 3
    assert space.architecture(carried(best)) == tuner.best_architecture()
    assert model.build(carried(best)).count_params() == tuner.get_best_models()[0].count_params()


class Rates(keras.callbacks.Callback):
    """The learning rate that each epoch's steps were given."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.rates.append(live.values(self.model)["optimizer.learning_rate"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pbt", "pb2"])
def test_the_trainer_follows_the_schedule(name, tmp_path):
    tuner = tuner_of(name, tmp_path, population_size=4, max_epochs=6)
    best, results = executed(tuner_fn_result(tuner, fit_arguments()))
    schedule = kt_ext.schedule_from(carried(best))
    assert len({stretch.values["learning_rate"] for stretch in schedule.stretches}) > 1, "nothing to follow; other seed"
    model, rates = build(kt_ext.hyperparameters(schedule.values)), Rates()
    replay = kt_ext.ScheduleReplay(schedule, build=build)
    model.fit(**{**fit_arguments(), "epochs": schedule.epochs, "callbacks": [replay, rates]})
    wanted = [s.values["learning_rate"] for s in schedule.stretches for _ in range(s.begin, s.end)]
    assert rates.rates == pytest.approx(wanted, rel=1e-6)
    assert json.loads(results)[0].keys() >= HYPERPARAMETERS


@pytest.mark.slow
def test_a_search_in_a_lasting_directory_goes_on(tmp_path):
    """TFX runs a component again that has failed; the first run here is cut short by a budget."""
    _, few = executed(tuner_fn_result(tuner_of("asha", tmp_path, max_total_epochs=2), fit_arguments()))
    _, all_three = executed(tuner_fn_result(tuner_of("asha", tmp_path), fit_arguments()))
    assert len(json.loads(few)) == 2
    assert len(json.loads(all_three)) == 3
    scores = {row["trial_id"]: row["score"] for row in json.loads(all_three)}
    assert all(scores[row["trial_id"]] <= row["score"] for row in json.loads(few))


CLOUD = """
import sys
from pathlib import Path
from integrations.test_tfx_contract import fit_arguments, tuner_of
from integrations.tfx_executor import primary_machine
from kt_ext.integrations.tfx import tuner_fn_result

if __name__ == "__main__":
    place = Path(sys.argv[1])
    make = lambda: tuner_fn_result(tuner_of("pbt", place / "search"), fit_arguments())
    sys.exit(primary_machine(make, int(sys.argv[2]), "tfx-tuner-workerpool0-0", place))
"""


@pytest.mark.slow
def test_the_chief_of_the_google_cloud_executor_is_a_fork(tmp_path):
    create(tmp_path / "credentials")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run_python(
        CLOUD,
        str(tmp_path),
        str(port),
        KT_EXT_CREDENTIALS=str(tmp_path / "credentials"),
        CLUSTER_SPEC='{"cluster": {}}',
    )
    rows = json.loads((tmp_path / "tuner_results.json").read_text())
    record = read(tmp_path / "search/untitled_project")
    assert [row["trial_id"] for row in rows] == [trial.name for trial in record.ranked()]
    assert [trial.epochs[-1] for trial in record.trials] == [4, 4, 4]
    assert {stretch.worker for trial in record.trials for stretch in trial.stretches} == {"tfx-tuner-workerpool0-0"}
    schedule = kt_ext.schedule_from(carried((tmp_path / "best_hyperparameters.txt").read_text()))
    assert schedule.epochs == 4
