"""Asynchronous Hyperband.

Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar (2018), "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization", JMLR 18(185), https://jmlr.org/papers/v18/16-558.html, with asynchronous brackets as in Li et al. (2018),
https://arxiv.org/abs/1810.05934, section 3, and, for ``bracket_choice="learned"``, Li et al. (2022), "Hyper-Tune:
Towards Efficient Hyper-parameter Tuning at Scale", VLDB 15(6), https://arxiv.org/abs/2201.06834, section 4.1.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from kt_ext.core.decision import Observation, Pause, Run, Stop
from kt_ext.schedulers.brackets import LargestDeficit, RungAgreement, hyperband_table, learned_weights
from kt_ext.schedulers.checks import integer
from kt_ext.schedulers.halving import AbstractHalving


class Hyperband(AbstractHalving):
    """Successive halving in several brackets at once: from many trials that start small to a few that start full.

    Where few epochs say little about many, a bracket that starts higher up saves the trials that ASHA would drop. Each
    bracket is an ``ASHA`` of its own: a free worker promotes if it can, from the highest rung down, else it starts a
    trial in the bracket that is furthest behind its share.

    Synchronous Hyperband goes through its brackets one by one, the most aggressive first. Here they are spread evenly
    over the search, which is as exact (after each ``sum(sizes)`` trials every bracket has its size) and the safer
    order for a search that may be cut off: at any time each bracket has had its share. In simulations one by one is
    ahead for the first quarter of a table where low rungs foretell high ones (take ``ASHA`` if you know that they do),
    behind for the first half where they mislead, and no better at the end of the table in either.

    Args:
        max_epochs: the last rung, R in the paper: the most epochs that a trial is trained.
        min_epochs: the first rung, from 1 to ``max_epochs``.
        factor: the reduction factor, eta in the paper, >= 2: rungs lie at ``min_epochs * factor**k`` epochs.
        max_trials: how many trials may be started; None: one whole table (143 for 81, 1 and 3).
        variant: ``"promotion"``, ``"stopping"`` or ``"decisive"``, see ``ASHA``.
        brackets: only the most aggressive so many, from 1; None: as many as there are rungs.
        bracket_choice: ``"budget"``: shares as in the table. ``"learned"``: a bracket's share is reduced as its first
            rung fails to foretell the order of trials at the highest rung that enough of them reached; until 8 reached
            one beyond the first, it is ``"budget"``. It counts every trial at every rung that it passes. Where low
            rungs mislead, as many trials then take several times the epochs.

    Attributes:
        table: synchronous Hyperband's rounds, see ``hyperband_table``; the ``brackets`` first ones.

    Raises:
        ValueError: an argument is out of range.

    Examples:
        Brackets of (trials, epochs) at each rung:

        >>> Hyperband(max_epochs=9).table
        (((9, 1), (3, 3), (1, 9)), ((5, 3), (1, 9)), ((3, 9),))
    """

    def __init__(
        self,
        max_epochs: int,
        min_epochs: int = 1,
        factor: int = 3,
        max_trials: int | None = None,
        variant: Literal["promotion", "stopping", "decisive"] = "promotion",
        brackets: int | None = None,
        bracket_choice: Literal["budget", "learned"] = "budget",
    ) -> None:
        super().__init__(max_epochs, min_epochs, factor, brackets, variant)
        if bracket_choice not in ("budget", "learned"):
            raise ValueError(
                f"bracket_choice={bracket_choice!r}: must be 'budget' or 'learned'; 'budget' keeps to Hyperband's table"
            )
        self.bracket_choice = bracket_choice
        if max_trials is None:
            max_trials = sum(self.sizes)
        self.max_trials = integer("max_trials", max_trials, at_least=1, remedy="None takes one whole table")
        self._deficit = LargestDeficit(self.brackets)
        self._agreement = RungAgreement(len(self.rung_epochs)) if bracket_choice == "learned" else None

    @property
    def table(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        return hyperband_table(self.max_epochs, self.min_epochs, self.factor)[: self.brackets]

    def observe(self, observation: Observation, rng: np.random.Generator) -> Run | Pause | Stop:
        decision = super().observe(observation, rng)
        if self._agreement is not None:
            if observation.epoch in self.rung_epochs and math.isfinite(observation.objective):
                self._agreement.record(observation.trial_id, float(observation.objective))
            if isinstance(decision, Stop):
                self._agreement.forget(observation.trial_id)
        return decision

    def forget(self, trial_id: int) -> None:
        super().forget(trial_id)
        if self._agreement is not None:
            self._agreement.forget(trial_id)

    def state(self) -> dict[str, Any]:
        agreement = None if self._agreement is None else self._agreement.state()
        return super().state() | {"deficit": self._deficit.state(), "agreement": agreement}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self._deficit.load_state(state["deficit"])
        if self._agreement is not None:
            self._agreement.load_state(state["agreement"])

    def _choose_bracket(self, rng: np.random.Generator) -> int:
        shares = None if self._agreement is None else self._agreement.shares(self.brackets)
        return self._deficit.choose(self.sizes if shares is None else learned_weights(self.sizes, shares))

    def _configuration(self) -> dict[str, Any]:
        names = ("max_epochs", "min_epochs", "factor", "max_trials", "variant", "brackets", "bracket_choice")
        return {"scheduler": "Hyperband"} | {name: getattr(self, name) for name in names}
