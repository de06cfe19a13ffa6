"""Any scheduler with any searcher, as a Keras Tuner tuner."""

from __future__ import annotations

from typing import Any

import keras_tuner

from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.oracles import SchedulerOracle
from kt_ext.tuners.arguments import split_arguments
from kt_ext.tuners.base import SegmentTuner


class SchedulerTuner(SegmentTuner):
    """Searches with a scheduler of your choice (or making) and a searcher of your choice (or making).

    Args:
        hypermodel: as in Keras Tuner: a ``HyperModel`` or a function from ``hp`` to a compiled model.
        scheduler: who runs and how long, e.g. ``kt_ext.schedulers.FIFO(max_trials=20, max_epochs=10)``.
        searcher: where values come from: a name such as ``"random"`` or ``"gp"``, or an object; see
            ``kt_ext.oracles.SchedulerOracle``.
        objective: as in Keras Tuner.
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
        scheduler: AbstractScheduler | None = None,
        searcher: str | AbstractSearcher = "random",
        objective: str | keras_tuner.Objective | list[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        for_oracle, for_tuner = split_arguments(kwargs)
        oracle = SchedulerOracle(scheduler, searcher, objective, **for_oracle)  # type: ignore[arg-type]
        super().__init__(oracle, hypermodel, **for_tuner)
