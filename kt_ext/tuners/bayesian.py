"""Bayesian optimisation as a Keras Tuner tuner."""

from __future__ import annotations

from typing import Any

import keras_tuner

from kt_ext.core.searcher import AbstractSearcher
from kt_ext.oracles import BayesianOracle
from kt_ext.tuners.arguments import split_arguments
from kt_ext.tuners.base import SegmentTuner


class BayesianTuner(SegmentTuner):
    """Trains every model to the end, with the values that a model of all trials so far expects most of.

    Use it where you used ``keras_tuner.BayesianOptimization``: for few, costly trials whose early epochs say little.

    Args:
        hypermodel: as in Keras Tuner: a ``HyperModel`` or a function from ``hp`` to a compiled model.
        objective: as in Keras Tuner.
        max_epochs: how many epochs each trial is trained.
        max_trials: how many trials are started.
        searcher: ``"gp"`` (a Gaussian process), ``"forest"`` (a random forest), or another; see
            ``kt_ext.oracles.SchedulerOracle``.
        **kwargs: every other argument of ``keras_tuner.Tuner``, of ``kt_ext.oracles.SchedulerOracle`` and of
            ``kt_ext.tuners.base.SegmentTuner``: directory, project_name, overwrite, executions_per_trial,
            distribution_strategy, seed, max_total_epochs, max_seconds, target, initial_values, warm_start,
            multi_objective, constraints, max_retries_per_trial, executor, workers, gpus_per_worker, lease_seconds,
            heartbeat_seconds, trial_timeout, checkpoint_directory, share_models, ...

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: str | keras_tuner.Objective | list[Any] | None = None,
        max_epochs: int = 100,
        max_trials: int = 20,
        searcher: str | AbstractSearcher = "gp",
        **kwargs: Any,
    ) -> None:
        for_oracle, for_tuner = split_arguments(kwargs)
        oracle = BayesianOracle(objective, max_epochs, max_trials, searcher, **for_oracle)
        super().__init__(oracle, hypermodel, **for_tuner)
