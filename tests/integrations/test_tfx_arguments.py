"""What would break a TFX pipeline after hours of search is refused before it, in words."""

from __future__ import annotations

import builtins
from types import SimpleNamespace
from typing import Any

import keras_tuner
import numpy as np
import pytest

import kt_ext
from kt_ext.execution.credentials import InsecureBind, create
from kt_ext.integrations.tfx import TunerFnResult, tuner_fn_result
from kt_ext.schedulers import FIFO
from tuners.searches import build, data


def tuner_of(directory: Any, build_model: Any = build) -> Any:
    return kt_ext.SchedulerTuner(build_model, FIFO(2, 1), objective="val_loss", seed=0, directory=directory)


def test_the_fields_are_those_of_tfx(tmp_path):
    tuner, arguments = tuner_of(tmp_path), data()
    result = tuner_fn_result(tuner, arguments)
    assert result._fields == ("tuner", "fit_kwargs")
    assert result.tuner is tuner
    assert result.fit_kwargs == arguments and result.fit_kwargs is not arguments


def test_a_number_of_trials_is_needed(tmp_path):
    tuner = keras_tuner.Hyperband(build, "val_loss", max_epochs=2, directory=str(tmp_path))  # its max_trials is None
    with pytest.raises(ValueError, match=r"max_trials=None: must be an integer, since TFX .* give the tuner one"):
        tuner_fn_result(tuner, data())


@pytest.mark.parametrize("name", ["trial_id", "score"])
def test_names_that_tfx_needs(name, tmp_path):
    def named(hp: Any) -> Any:
        hp.Float(name, 0.0, 1.0)
        return build(hp)

    with pytest.raises(ValueError, match=rf"hyperparameter '{name}': TFX writes trial_id and score .* another name"):
        tuner_fn_result(tuner_of(tmp_path, named), data())


def test_values_that_are_not_json(tmp_path):
    def numpy_default(hp: Any) -> Any:
        hp.Float("momentum", 0.0, 1.0, default=np.float32(0.5))
        return build(hp)

    tuner = tuner_of(tmp_path, numpy_default)
    with pytest.raises(TypeError, match=r"hyperparameter 'momentum': Object of type float32 is not JSON.* use bool, "):
        tuner_fn_result(tuner, data())


def test_a_directory_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"directory: was not given .*=fn_args\.working_dir.*deletes.*custom_config"):
        tuner_fn_result(tuner_of(None), data())


@pytest.mark.parametrize("arguments", [[("x", 1)], {1: 2}])
def test_arguments_by_name(arguments, tmp_path):
    with pytest.raises(TypeError, match=r"fit_kwargs=.*must be a dict of the arguments of search by name"):
        tuner_fn_result(tuner_of(tmp_path), arguments)


@pytest.mark.tensorflow
def test_an_epoch_that_would_never_end(tmp_path):
    import tensorflow as tf

    arrays = data()
    dataset = tf.data.Dataset.from_tensor_slices((arrays["x"], arrays["y"])).batch(50)
    tuner = tuner_of(tmp_path)
    tuner_fn_result(tuner, {"x": dataset, "validation_data": dataset})
    with pytest.raises(ValueError, match=r"steps_per_epoch=None: must be given with x that repeats for ever"):
        tuner_fn_result(tuner, {"x": dataset.repeat(), "steps_per_epoch": None})
    with pytest.raises(ValueError, match=r"validation_steps=0: must be given with validation_data that repeats"):
        tuner_fn_result(tuner, {"x": dataset, "validation_data": dataset.repeat(), "validation_steps": 0})
    tuner_fn_result(tuner, {"x": dataset.repeat(), "steps_per_epoch": 4})


def test_a_worker_leaves_the_space_to_its_chief(tmp_path):
    worker = SimpleNamespace(oracle=SimpleNamespace(max_trials=3), directory=str(tmp_path))  # has no get_space to ask
    assert tuner_fn_result(worker, {}).fit_kwargs == {}


@pytest.mark.parametrize("worker_id", ["chief", "tfx-tuner-workerpool0-0", "tfx-tuner-workerpool1-0"])
def test_machines_of_the_google_cloud_executor_need_credentials(worker_id, tmp_path, monkeypatch):
    """Before a search in which all but the chief would wait for it: the chief is a fork that dies unseen."""
    machine = SimpleNamespace(oracle=SimpleNamespace(max_trials=3), directory=str(tmp_path))
    monkeypatch.setenv("CLUSTER_SPEC", '{"cluster": {"workerpool0": ["10.0.0.1:2222"]}}')
    assert tuner_fn_result(machine, {}).fit_kwargs == {}  # one machine, where the executor sets no variables
    monkeypatch.setenv("KERASTUNER_TUNER_ID", worker_id)
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "0.0.0.0" if worker_id == "chief" else "10.0.0.1")
    with pytest.raises(ValueError, match=r"host='0\.0\.0\.0': .* needs credentials.* set KT_EXT_CREDENTIALS=DIR"):
        tuner_fn_result(machine, {})
    with monkeypatch.context() as patch:
        patch.setenv("KT_EXT_INSECURE", "1")
        with pytest.warns(InsecureBind):
            tuner_fn_result(machine, {})
    monkeypatch.setenv("KT_EXT_CREDENTIALS", str(tmp_path / "credentials"))
    with pytest.raises(FileNotFoundError, match="credentials"):
        tuner_fn_result(machine, {})
    create(tmp_path / "credentials")
    assert tuner_fn_result(machine, {}).fit_kwargs == {}
    monkeypatch.delenv("KT_EXT_CREDENTIALS")
    monkeypatch.delenv("CLUSTER_SPEC")  # a cluster of one's own, in which a chief says for itself what it refuses
    assert tuner_fn_result(machine, {}).fit_kwargs == {}


def test_a_broken_installation_of_tfx_is_not_taken_for_none(tmp_path, monkeypatch):
    original = builtins.__import__

    def importing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("tfx"):
            raise ModuleNotFoundError("No module named 'dill'", name="dill")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(ModuleNotFoundError, match="dill"):
        tuner_fn_result(tuner_of(tmp_path), data())
    assert TunerFnResult._fields == ("tuner", "fit_kwargs")
