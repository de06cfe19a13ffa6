"""The rungs of successive halving: at which epochs trials are compared, and who may go on from one rung to the next."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from heapq import heappop, heappush
from typing import Any

from kt_ext.schedulers.checks import integer


def checked_epochs(max_epochs: int, min_epochs: int, factor: int) -> tuple[int, int, int]:
    """The three as ints. Raises ValueError unless 1 <= ``min_epochs`` <= ``max_epochs`` and ``factor`` >= 2."""
    checked = (
        integer("max_epochs", max_epochs, at_least=1, remedy="give the most epochs of one trial"),
        integer("min_epochs", min_epochs, at_least=1, remedy="1 compares trials after one epoch"),
        integer("factor", factor, at_least=2, remedy="use FIFO to keep every trial"),
    )
    if checked[1] > checked[0]:
        raise ValueError(f"min_epochs={min_epochs}: must be <= max_epochs={max_epochs}; lower it or raise max_epochs")
    return checked


def geometric_epochs(min_epochs: int, max_epochs: int, factor: int) -> tuple[int, ...]:
    """``min_epochs * factor**k`` while below ``max_epochs``, and ``max_epochs``; ascending. (1, 9, 3) -> (1, 3, 9)."""
    epochs = []
    epoch = min_epochs
    while epoch < max_epochs:
        epochs.append(epoch)
        epoch *= factor
    return (*epochs, max_epochs)


def bracket_sizes(rungs: int, factor: int) -> tuple[int, ...]:
    """How many configurations synchronous Hyperband starts in each bracket, from the most halvings to none.

    With s = rungs - 1 - bracket halvings left and s_max = rungs - 1 it is n_s = ceil((s_max + 1) / (s + 1) * eta**s)
    (Li et al., 2018, "Hyperband", JMLR 18(185), Algorithm 1, budget B = (s_max + 1) R). (5, 3) -> (81, 34, 15, 8, 5).
    """
    return tuple(-(-rungs * factor**halvings // (halvings + 1)) for halvings in reversed(range(rungs)))


class PromotionRung:
    """Trials pause here and are promoted one by one, whenever one is among the top ``1 / factor``.

    Each trial that reached the rung has the key (objective, arrival); keys are unique, so an earlier arrival wins a
    tie. The best trial not yet promoted is among the top floor(reached / factor) exactly when fewer promoted ones than
    that have a better key, since nobody else can be before it. Both operations are O(log n) comparisons.
    """

    pauses = True

    def __init__(self, epoch: int, factor: int) -> None:
        self.epoch = epoch
        self._factor = factor
        self._reached = 0
        self._paused: list[tuple[float, int, int]] = []  # a heap of (objective, arrival, trial_id); finite ones only
        self._promoted: list[tuple[float, int]] = []  # (objective, arrival), ascending

    def reach(self, trial_id: int, objective: float) -> bool:
        """Records the trial; whether it goes on at once: no. One at inf counts as arrived but is never promoted."""
        if objective < math.inf:
            heappush(self._paused, (objective, self._reached, trial_id))
        self._reached += 1
        return False

    def promote(self) -> int | None:
        """The trial that goes on from here, marked as promoted, or None."""
        if not self._paused:
            return None
        objective, arrival, trial_id = self._paused[0]
        better = bisect_left(self._promoted, (objective, arrival))
        # ASHA get_job: the top 1/eta of those that REACHED this rung, promoted ones included
        if better >= self._reached // self._factor:
            return None
        heappop(self._paused)
        self._promoted.insert(better, (objective, arrival))
        return trial_id

    def take(self) -> int | None:
        """The best trial that pauses here, marked as promoted, whatever its rank; None if nobody pauses."""
        if not self._paused:
            return None
        objective, arrival, trial_id = heappop(self._paused)
        insort(self._promoted, (objective, arrival))
        return trial_id

    def state(self) -> dict[str, Any]:
        """The rung as a JSON object."""
        return {"reached": self._reached, "paused": list(self._paused), "promoted": list(self._promoted)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a ``state()``."""
        self._reached = state["reached"]
        # a heap written in its own order is a heap
        self._paused = [(objective, arrival, trial_id) for objective, arrival, trial_id in state["paused"]]
        self._promoted = [(objective, arrival) for objective, arrival in state["promoted"]]


class DecisiveRung(PromotionRung):
    """Trials run through or stop, save the first ``factor - 1``, which pause: there is no top ``1 / factor`` of them.

    Whoever comes later goes on at once if it is among the top ``1 / factor`` of those that reached the rung so far, and
    stops else. One that paused is promoted when it is among them, as in a ``PromotionRung``.
    """

    def __init__(self, epoch: int, factor: int) -> None:
        super().__init__(epoch, factor)
        self._objectives: list[float] = []  # finite ones, ascending

    @property
    def pauses(self) -> bool:  # type: ignore[override]
        """Whether the trial that came last, if it does not go on, pauses."""
        return self._reached < self._factor

    @property
    def finished(self) -> bool:
        """Whether a trial that did not diverge has reached the rung."""
        return bool(self._objectives)

    def reach(self, trial_id: int, objective: float) -> bool:
        """Records the trial; whether it goes on. One at inf counts as arrived and never goes on."""
        rank = bisect_right(self._objectives, objective)  # it arrived last, so it is behind its equals
        if objective < math.inf:
            insort(self._objectives, objective)
        if self._reached < self._factor - 1:
            return super().reach(trial_id, objective)
        self._reached += 1
        goes_on = objective < math.inf and rank < self._reached // self._factor
        if goes_on:
            insort(self._promoted, (objective, self._reached - 1))
        return goes_on

    def state(self) -> dict[str, Any]:
        """The rung as a JSON object."""
        return super().state() | {"objectives": list(self._objectives)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a ``state()``."""
        super().load_state(state)
        self._objectives = list(state["objectives"])


class StoppingRung:
    """Trials run through: one goes on if it is among the top ``1 / factor`` of those that reached the rung so far.

    The first ``factor - 1`` trials always go on: there is no top ``1 / factor`` of them yet.
    """

    pauses = False

    def __init__(self, epoch: int, factor: int) -> None:
        self.epoch = epoch
        self._factor = factor
        self._reached = 0
        self._objectives: list[float] = []  # finite ones, ascending

    def reach(self, trial_id: int, objective: float) -> bool:
        """Records the trial; whether it goes on. One at inf counts as arrived and never goes on."""
        self._reached += 1
        if objective == math.inf:
            return False
        rank = bisect_right(self._objectives, objective)  # it arrived last, so it is behind its equals
        insort(self._objectives, objective)
        return self._reached < self._factor or rank < self._reached // self._factor

    def promote(self) -> int | None:
        """None: nobody pauses here."""
        return None

    def take(self) -> int | None:
        """None: nobody pauses here."""
        return None

    def state(self) -> dict[str, Any]:
        """The rung as a JSON object."""
        return {"reached": self._reached, "objectives": list(self._objectives)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a ``state()``."""
        self._reached = state["reached"]
        self._objectives = list(state["objectives"])
