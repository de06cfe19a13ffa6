"""Asynchronous Hyperband as a Keras Tuner tuner."""

from __future__ import annotations

from typing import Any

import keras_tuner

from kt_ext.core.searcher import AbstractSearcher
from kt_ext.oracles import HyperbandOracle
from kt_ext.tuners.arguments import split_arguments
from kt_ext.tuners.base import SegmentTuner


class HyperbandTuner(SegmentTuner):
    """Trains many models a little and the best longer, in several brackets (Li et al., 2018), without rounds.

    Use it where you used ``keras_tuner.Hyperband``; unlike that, no worker waits for the end of a round and a promoted
    model goes on from its checkpoint.

    Args:
        hypermodel: as in Keras Tuner: a ``HyperModel`` or a function from ``hp`` to a compiled model.
        objective: as in Keras Tuner.
        max_epochs: the most epochs of one trial.
        min_epochs: epochs before the first comparison.
        factor: how many times fewer trials reach each next rung; rungs lie at ``min_epochs * factor**k`` epochs.
        max_trials: how many trials are started; None: one whole table of Hyperband's.
        variant: ``"promotion"`` (pause at a rung, resume the best later), ``"stopping"`` (decide on arrival) or
            ``"decisive"`` (the same, but the first at each rung wait for others).
        brackets: how many different first rungs are used; None: one for each rung.
        bracket_choice: ``"budget"`` (as in Hyperband's table) or ``"learned"`` (fewer trials where a bracket's first
            rung fails to foretell the last).
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
        max_trials: int | None = None,
        variant: str = "promotion",
        brackets: int | None = None,
        bracket_choice: str = "budget",
        searcher: str | AbstractSearcher = "random",
        **kwargs: Any,
    ) -> None:
        for_oracle, for_tuner = split_arguments(kwargs)
        oracle = HyperbandOracle(
            objective,
            max_epochs,
            min_epochs,
            factor,
            max_trials,
            variant,
            brackets,
            bracket_choice,
            searcher,
            **for_oracle,
        )
        super().__init__(oracle, hypermodel, **for_tuner)
