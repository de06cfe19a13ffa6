"""The oracle for who does not want to choose."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import keras_tuner

from kt_ext.oracles.base import SchedulerOracle
from kt_ext.schedulers import ASHA

#: Without a budget: as many epochs as so many full trainings take.
FULL_TRAININGS = 20
#: Trials are first compared after this share of ``max_epochs``.
FIRST_RUNG = 1 / 16
FACTOR = 3


class AutoOracle(SchedulerOracle):
    """Chooses the scheduler and the searcher itself; what it does is written down in README.md, "Which tuner when".

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
        if isinstance(max_epochs, bool) or not isinstance(max_epochs, Integral) or max_epochs < 1:
            raise ValueError(f"max_epochs={max_epochs!r}: must be an integer >= 1; give the most epochs of one trial")
        if budget is None and max_trials is None:
            budget = FULL_TRAININGS * int(max_epochs)
        if budget is not None and (isinstance(budget, bool) or not isinstance(budget, Integral) or budget < 1):
            raise ValueError(
                f"budget={budget!r}: must be an integer >= 1, the epochs that all trials together may train, or None"
            )
        first = max(1, round(max_epochs * FIRST_RUNG))
        if max_trials is None:
            assert budget is not None
            max_trials = max(1, -(-int(budget) // first))
        super().__init__(
            ASHA(int(max_epochs), first, FACTOR, max_trials=max_trials, variant="stopping"),
            "auto",
            objective,
            max_total_epochs=None if budget is None else int(budget),
            hyperparameters=hyperparameters,
            seed=seed,
            **kwargs,
        )
