"""Asynchronous Hyperband as a Keras Tuner oracle."""

from __future__ import annotations

from typing import Any

from kt_ext.core.searcher import AbstractSearcher
from kt_ext.oracles.base import SchedulerOracle
from kt_ext.schedulers import Hyperband


class HyperbandOracle(SchedulerOracle):
    """Asynchronous Hyperband (Li et al., 2018) over values of any searcher.

    Args:
        objective: as in Keras Tuner.
        max_epochs, min_epochs, factor, max_trials, variant, brackets, bracket_choice: see
            ``kt_ext.schedulers.Hyperband``.
        searcher: see ``SchedulerOracle``.
        **kwargs: the other arguments of ``SchedulerOracle``: seed, budgets, initial_values, warm_start,
            multi_objective, constraints, hyperparameters, retries.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        objective: Any = None,
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
        scheduler = Hyperband(
            max_epochs,
            min_epochs,
            factor,
            max_trials,
            variant,  # type: ignore[arg-type]
            brackets,
            bracket_choice,  # type: ignore[arg-type]
        )
        super().__init__(scheduler, searcher, objective, **kwargs)
