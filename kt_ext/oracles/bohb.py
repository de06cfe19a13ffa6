"""BOHB as a Keras Tuner oracle."""

from __future__ import annotations

from typing import Any

from kt_ext.core.searcher import AbstractSearcher
from kt_ext.oracles.hyperband import HyperbandOracle


class BOHBOracle(HyperbandOracle):
    """Bayesian optimisation and Hyperband (Falkner, Klein, Hutter, 2018, arXiv:1807.01774), asynchronous.

    Hyperband decides how long each trial runs, a tree-structured Parzen estimator which values it gets, learned from
    the highest epoch that enough trials have reached.

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
        searcher: str | AbstractSearcher = "tpe",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            objective,
            max_epochs,
            min_epochs,
            factor,
            max_trials,
            variant,
            brackets,
            bracket_choice,
            searcher,
            **kwargs,
        )
