"""Bayesian optimisation at full length as a Keras Tuner oracle."""

from __future__ import annotations

from typing import Any

from kt_ext.core.searcher import AbstractSearcher
from kt_ext.oracles.base import SchedulerOracle
from kt_ext.schedulers import FIFO


class BayesianOracle(SchedulerOracle):
    """Trains every trial to the end, each with the values that a model of all trials so far expects most of.

    Args:
        objective: as in Keras Tuner.
        max_epochs: how many epochs each trial is trained.
        max_trials: how many trials are started.
        searcher: ``"gp"`` (a Gaussian process), ``"forest"`` (a random forest), or another; see
            ``SchedulerOracle``.
        **kwargs: the other arguments of ``SchedulerOracle``: seed, budgets, initial_values, warm_start,
            multi_objective, constraints, hyperparameters, retries.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        objective: Any = None,
        max_epochs: int = 100,
        max_trials: int = 20,
        searcher: str | AbstractSearcher = "gp",
        **kwargs: Any,
    ) -> None:
        super().__init__(FIFO(max_trials, max_epochs), searcher, objective, **kwargs)
