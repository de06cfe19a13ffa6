"""The tuner for who does not want to choose."""

from __future__ import annotations

from typing import Any

import keras_tuner

from kt_ext.oracles import AutoOracle
from kt_ext.tuners.arguments import split_arguments
from kt_ext.tuners.base import SegmentTuner


class AutoTuner(SegmentTuner):
    """Chooses by itself who trains how long and with which values:

        tuner = kt_ext.AutoTuner(build, objective="val_accuracy", max_epochs=30, budget=600, directory="runs")
        tuner.search(x, y, validation_data=(xv, yv), batch_size=64)
        model = tuner.get_best_models()[0]

    What it chooses, and the measurements that it rests on, stand in docs/which_tuner.md and docs/figures.md.

    Args:
        hypermodel: as in Keras Tuner: a ``HyperModel`` or a function from ``hp`` to a compiled model.
        objective: as in Keras Tuner.
        max_epochs: the most epochs of one trial.
        max_trials: how many trials may be started; None: as many as the budget has room for.
        budget: how many epochs all trials together may train; None: without ``max_trials`` 20 times ``max_epochs``,
            with it no limit.
        **kwargs: every other argument of ``keras_tuner.Tuner``, of ``kt_ext.oracles.AutoOracle`` and of
            ``kt_ext.tuners.base.SegmentTuner``: directory, project_name, overwrite, distribution_strategy, seed,
            max_seconds, target, initial_values, warm_start, multi_objective, constraints, max_retries_per_trial,
            executor, workers, gpus_per_worker, lease_seconds, heartbeat_seconds, trial_timeout, checkpoint_directory,
            share_models, ... Not ``searcher``, ``scheduler``, ``max_total_epochs`` (``budget`` is that), nor
            ``executions_per_trial`` above 1.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: str | keras_tuner.Objective | list[Any] | None = None,
        max_epochs: int = 100,
        max_trials: int | None = None,
        budget: int | None = None,
        **kwargs: Any,
    ) -> None:
        for_oracle, for_tuner = split_arguments(kwargs)
        for_oracle |= {name: for_tuner.pop(name) for name in ("scheduler", "searcher") if name in for_tuner}  # refused
        oracle = AutoOracle(objective, max_epochs, max_trials, budget, **for_oracle)
        super().__init__(oracle, hypermodel, **for_tuner)
