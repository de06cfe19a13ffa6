"""The oracle for who does not want to choose."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras_tuner

from kt_ext.oracles.base import SchedulerOracle
from kt_ext.schedulers import ASHA
from kt_ext.schedulers.checks import integer

#: Without a budget: as many epochs as so many full trainings take.
FULL_TRAININGS = 20
#: Trials are first compared after this share of ``max_epochs``.
FIRST_RUNG = 1 / 16
FACTOR = 3


class AutoOracle(SchedulerOracle):
    """Chooses the scheduler and the searcher itself; what it does is written down in docs/which_tuner.md.

    Args:
        objective: as in Keras Tuner.
        max_epochs: the most epochs of one trial.
        max_trials: how many trials may be started; None: as many as the budget has room for.
        budget: how many epochs all trials together may train; None: without ``max_trials`` 20 times ``max_epochs``,
            with it no limit.
        hyperparameters: as in ``keras_tuner.Oracle``.
        seed: see ``SchedulerOracle``.
        **kwargs: the other arguments of ``SchedulerOracle`` save ``scheduler``, ``searcher`` and ``max_total_epochs``.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        objective: Any = None,
        max_epochs: int = 100,
        max_trials: int | None = None,
        budget: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        for name in ("scheduler", "searcher", "max_total_epochs"):
            if name in kwargs:
                instead = "budget=" if name == "max_total_epochs" else "a SchedulerOracle or SchedulerTuner"
                raise TypeError(f"{name}={kwargs[name]!r}: the automatic choice takes none; use {instead}")
        max_epochs = integer("max_epochs", max_epochs, at_least=1, remedy="give the most epochs of one trial")
        if max_trials is not None:
            remedy = "None starts as many as the budget has room for"
            max_trials = integer("max_trials", max_trials, at_least=1, remedy=remedy)
        if budget is not None:
            remedy = "give the epochs that all trials together may train, or None"
            budget = integer("budget", budget, at_least=1, remedy=remedy)
        elif max_trials is None:
            budget = FULL_TRAININGS * max_epochs
        first = max(1, round(max_epochs * FIRST_RUNG))
        if max_trials is None:
            max_trials = budget  # no trial that reports takes less than an epoch; one that diverges may take no more
        super().__init__(
            ASHA(max_epochs, first, FACTOR, max_trials=max_trials, variant="decisive"),
            "gp",
            objective,
            max_total_epochs=budget,
            hyperparameters=hyperparameters,
            seed=seed,
            **kwargs,
        )
        self.budget = dataclasses.replace(self.budget, argument="budget")
