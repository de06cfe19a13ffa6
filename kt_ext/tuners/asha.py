"""Asynchronous successive halving as a Keras Tuner tuner."""

from __future__ import annotations

from typing import Any

import keras_tuner

from kt_ext.core.searcher import AbstractSearcher
from kt_ext.oracles import ASHAOracle
from kt_ext.tuners.arguments import split_arguments
from kt_ext.tuners.base import SegmentTuner


class ASHATuner(SegmentTuner):
    """Trains many models a little and the best of them longer (Li et al., 2018), one trial or many at a time.

    Use it where you used ``keras_tuner.Hyperband``:

        tuner = kt_ext.ASHATuner(build, objective="val_accuracy", max_epochs=27, directory="runs")
        tuner.search(x, y, validation_data=(xv, yv), batch_size=64)
        model = tuner.get_best_models()[0]

    Args:
        hypermodel: as in Keras Tuner: a ``HyperModel`` or a function from ``hp`` to a compiled model.
        objective: as in Keras Tuner.
        max_epochs: the most epochs of one trial.
        min_epochs: epochs before the first comparison.
        factor: how many times fewer trials reach each next rung; rungs lie at ``min_epochs * factor**k`` epochs.
        brackets: how many different first rungs are used; 1 is plain ASHA.
        max_trials: how many trials are started; None: ``factor ** number of rungs``.
        variant: ``"promotion"`` (pause at a rung, resume the best later; the paper's), ``"stopping"`` (decide on
            arrival) or ``"decisive"`` (the same, but the first at each rung wait for others).
        searcher: where values come from: a name such as ``"random"`` or ``"gp"``, or an object; see
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
        min_epochs: int = 1,
        factor: int = 3,
        brackets: int = 1,
        max_trials: int | None = None,
        variant: str = "promotion",
        searcher: str | AbstractSearcher = "random",
        **kwargs: Any,
    ) -> None:
        for_oracle, for_tuner = split_arguments(kwargs)
        oracle = ASHAOracle(
            objective, max_epochs, min_epochs, factor, brackets, max_trials, variant, searcher, **for_oracle
        )
        super().__init__(oracle, hypermodel, **for_tuner)
