"""Every kt_ext tuner in the Tuner component of a TFX pipeline.

The component calls a ``tuner_fn`` of yours, searches, and writes the best hyperparameters for the Trainer. Only the
line that makes the tuner differs from one kt_ext tuner to the next::

    def tuner_fn(fn_args):
        config = fn_args.custom_config or {}
        tuner = kt_ext.ASHATuner(build, "val_accuracy", max_epochs=27, max_trials=60,
        # or    kt_ext.HyperbandTuner(build, "val_accuracy", max_epochs=27, max_trials=60,
        # or    kt_ext.BOHBTuner(build, "val_accuracy", max_epochs=27, max_trials=60,
        # or    kt_ext.BayesianTuner(build, "val_accuracy", max_epochs=10, max_trials=30,
        # or    kt_ext.AutoTuner(build, "val_accuracy", max_epochs=27, max_trials=60,
        # or    kt_ext.PBTTuner(build, "val_accuracy", population_size=8, max_epochs=40,
        # or    kt_ext.PB2Tuner(build, "val_accuracy", population_size=8, max_epochs=40,
        # or    kt_ext.RacingTuner(build, "val_accuracy", epochs=10, max_trials=30,
        # or    kt_ext.SchedulerTuner(build, kt_ext.schedulers.FIFO(30, 10), "tpe", "val_accuracy",
        # or    kt_ext.NASTuner(space.hypermodel(...), "evolution", "val_accuracy", max_trials=60, max_epochs=10,
                                 directory=config.get("directory", fn_args.working_dir), executor="serial")
        return tuner_fn_result(tuner, {
            "x": dataset(fn_args.train_files), "steps_per_epoch": fn_args.train_steps,
            "validation_data": dataset(fn_args.eval_files), "validation_steps": fn_args.eval_steps})

- TFX deletes ``fn_args.working_dir`` when the component ends, also when it fails. A search that is to go on after a
  failure needs a directory that lasts: ``Tuner(..., custom_config={"directory": "/runs/2026-11-21"})``. With new data
  give a new one: a finished search ends at once with the values that it found.
- With the Google Cloud executor the ``working_dir`` of each machine is its own, but workers of a population take over
  each other's checkpoints: name a directory or a ``checkpoint_directory="gs://..."`` that all of them reach, and leave
  out ``executor="serial"``: the executor sets Keras Tuner's variables for chief and workers. Its chief serves at
  0.0.0.0, for which every machine needs credentials: a copy of what ``python -m kt_ext credentials DIR`` makes, and
  ``os.environ["KT_EXT_CREDENTIALS"] = DIR`` in the image or first of all in ``tuner_fn``.
- What PBT finds is a schedule. It rides in the best hyperparameters, and the Trainer's ``run_fn`` follows it::

      hp = keras_tuner.HyperParameters.from_config(fn_args.hyperparameters)
      schedule = kt_ext.schedule_from(hp)
      model = build(kt_ext.hyperparameters(schedule.values))
      model.fit(..., epochs=schedule.epochs, callbacks=[kt_ext.ScheduleReplay(schedule, build=build)])
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras_tuner

from kt_ext.execution.credentials import check_bind, from_environment

TAKEN = ("trial_id", "score")
INFINITE = -1  # what tf.data calls the cardinality of a dataset that repeats for ever
_DATA = {"x": "steps_per_epoch", "validation_data": "validation_steps"}


class TunerFnResult(NamedTuple):
    """What a ``tuner_fn`` returns, where TFX is not installed; the fields are those of TFX's."""

    tuner: keras_tuner.engine.base_tuner.BaseTuner
    fit_kwargs: dict[str, Any]


def tuner_fn_result(tuner: Any, fit_kwargs: Mapping[str, Any]) -> Any:
    """TFX's ``TunerFnResult``, after a check of what TFX would trip over when the search is done.

    Args:
        tuner: a kt_ext tuner, or one of Keras Tuner's.
        fit_kwargs: arguments of ``tuner.search``, by name. A ``tf.data.Dataset`` that repeats for ever needs
            ``steps_per_epoch``, or ``validation_steps``.

    Returns:
        ``tfx.v1.components.TunerFnResult``; where TFX is not installed, a ``TunerFnResult`` of the same fields.

    Raises:
        TypeError: ``fit_kwargs`` is no mapping from names, or a hyperparameter cannot be written as JSON.
        ValueError: ``max_trials`` is no number, a hyperparameter has a name that TFX needs, the tuner was not given a
            directory, an epoch would never end, or machines of the Google Cloud executor have no credentials.
        FileNotFoundError, PermissionError: there, of the credentials in KT_EXT_CREDENTIALS.
    """
    max_trials = tuner.oracle.max_trials
    if isinstance(max_trials, bool) or not isinstance(max_trials, int):
        raise ValueError(
            f"max_trials={max_trials!r}: must be an integer, since TFX asks for the best max_trials trials after the "
            "search; give the tuner one, or use a kt_ext tuner, which always has one"
        )
    if isinstance(tuner.oracle, keras_tuner.Oracle):  # else this is a worker, and its chief has checked the space
        _check_space(tuner.oracle.get_space())
    if str(tuner.directory) in ("", "."):
        raise ValueError(
            "directory: was not given to the tuner, and TFX may run it in any directory; give "
            "directory=fn_args.working_dir, which TFX deletes when the component ends, or, so that a search can be "
            "resumed, one that lasts, by Tuner(custom_config={'directory': ...}) and fn_args.custom_config"
        )
    _check_fit_arguments(fit_kwargs)
    _check_cloud()
    try:
        from tfx.components.tuner.component import TunerFnResult as kind
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "tfx":
            raise
        kind = TunerFnResult
    return kind(tuner=tuner, fit_kwargs=dict(fit_kwargs))


def _check_space(space: keras_tuner.HyperParameters) -> None:
    for name in TAKEN:
        if any(entry.name == name for entry in space.space):
            raise ValueError(
                f"hyperparameter {name!r}: TFX writes trial_id and score beside the values of each trial, and this one "
                "would hide it; give the hyperparameter another name"
            )
    for entry in space.space:
        try:
            json.dumps(entry.get_config())
        except TypeError as error:
            raise TypeError(
                f"hyperparameter {entry.name!r}: {error}, and TFX writes hyperparameters as JSON; use bool, int, float "
                "or str, e.g. float(value) in place of a numpy number"
            ) from error


def _check_cloud() -> None:
    """The chief of the Google Cloud executor is a fork that serves at 0.0.0.0: nobody would see it refuse that."""
    if "KERASTUNER_ORACLE_IP" in os.environ and os.environ.get("CLUSTER_SPEC"):
        check_bind("0.0.0.0", from_environment())


def _check_fit_arguments(fit_kwargs: Mapping[str, Any]) -> None:
    if not isinstance(fit_kwargs, Mapping) or not all(isinstance(name, str) for name in fit_kwargs):
        raise TypeError(
            f"fit_kwargs={fit_kwargs!r}: must be a dict of the arguments of search by name, such as "
            "{'x': dataset, 'steps_per_epoch': 100}"
        )
    for data, steps in _DATA.items():
        cardinality = getattr(fit_kwargs.get(data), "cardinality", None)
        if cardinality is not None and int(cardinality()) == INFINITE and not fit_kwargs.get(steps):
            raise ValueError(
                f"{steps}={fit_kwargs.get(steps)!r}: must be given with {data} that repeats for ever, or no epoch "
                "ends; fn_args has no steps where the component's train_args or eval_args have num_steps=0"
            )
