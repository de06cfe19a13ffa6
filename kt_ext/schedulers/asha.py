"""Asynchronous successive halving.

Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht, Talwalkar (2018), "A System for Massively Parallel Hyperparameter
Tuning", https://arxiv.org/abs/1810.05934, Algorithm 2.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Any, Literal

import numpy as np

from kt_ext.schedulers.checks import integer
from kt_ext.schedulers.halving import AbstractHalving


class ASHA(AbstractHalving):
    """Starts many trials with few epochs each and gives ``factor`` times more to the best, without waiting for a round.

    ``variant="promotion"`` is the paper's: a trial pauses at each rung, and a free worker takes the best paused trial
    among the top ``1 / factor`` of its rung, looking from the highest rung down, else it starts a new trial.
    ``variant="stopping"`` pauses nobody: each trial is sent to ``max_epochs`` and is stopped at the first rung where it
    is not among the top ``1 / factor`` of those that came before. It needs no checkpoints, but its early trials run
    far on luck alone. ``variant="decisive"`` is the same, save that the first ``factor - 1`` trials at each rung, of
    which nothing can be said yet, pause there until others have come; if none come, the best goes on. With values from
    a model, which improve as the search goes on, that did best in our measurements: no epochs go to trials that were
    good only for their time.

    Ties go to the earlier arrival at the rung. A trial whose objective is not finite is stopped at once; it counts
    among those that reached the rung it was heading for.

    Args:
        max_epochs: the last rung, R in the paper: the most epochs that a trial is trained.
        min_epochs: the first rung, r in the paper, from 1 to ``max_epochs``.
        factor: the reduction factor, eta in the paper, >= 2: rungs lie at ``min_epochs * factor**k`` epochs.
        brackets: from 1 to the number of rungs. Bracket s (0, 1, ...) leaves out the s lowest rungs; a new trial's
            bracket is drawn in proportion to what synchronous Hyperband starts there. With 1 nothing is drawn.
        max_trials: how many trials may be started; None: ``factor ** number of rungs``, so that about ``factor``
            trials reach ``max_epochs`` (27 trials for rungs at 1, 3 and 9).
        variant: ``"promotion"``, ``"stopping"`` or ``"decisive"``.

    Raises:
        ValueError: an argument is out of range.

    Examples:
        Nine trials, of which the fifth is the best and its neighbours come next; trial to epochs:

        >>> from kt_ext.core.simulate import simulate
        >>> simulate(ASHA(max_epochs=9, max_trials=9), lambda trial, epoch: abs(trial - 4), workers=1).epochs
        {0: 1, 1: 1, 2: 3, 3: 3, 4: 9, 5: 3, 6: 1, 7: 1, 8: 1}
        >>> ASHA(max_epochs=27).rung_epochs, ASHA(max_epochs=27).max_trials
        ((1, 3, 9, 27), 81)
    """

    def __init__(
        self,
        max_epochs: int,
        min_epochs: int = 1,
        factor: int = 3,
        brackets: int = 1,
        max_trials: int | None = None,
        variant: Literal["promotion", "stopping", "decisive"] = "promotion",
    ) -> None:
        brackets = integer("brackets", brackets, at_least=1, remedy="1 is plain ASHA")  # None is Hyperband's
        super().__init__(max_epochs, min_epochs, factor, brackets, variant)
        if max_trials is None:
            max_trials = self.factor ** len(self.rung_epochs)
        self.max_trials = integer("max_trials", max_trials, at_least=1, remedy="None takes factor ** number of rungs")
        self._cumulative_sizes = list(accumulate(self.sizes))

    def _choose_bracket(self, rng: np.random.Generator) -> int:
        if self.brackets == 1:
            return 0
        return bisect_right(self._cumulative_sizes, rng.integers(self._cumulative_sizes[-1]))

    def _configuration(self) -> dict[str, Any]:
        names = ("max_epochs", "min_epochs", "factor", "brackets", "max_trials", "variant")
        return {"scheduler": "ASHA"} | {name: getattr(self, name) for name in names}
