"""Population based training.

Jaderberg, Dalibard, Osindero, Czarnecki, Donahue, Razavi, Vinyals, Green, Dunning, Simonyan, Fernando, Kavukcuoglu
(2017), "Population Based Training of Neural Networks", https://arxiv.org/abs/1711.09846, Algorithm 1.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any, Literal

import numpy as np

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait
from kt_ext.core.explorer import AbstractExplorer
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.schedulers.adaptive import AdaptivePerturb, PacedExplorer
from kt_ext.schedulers.checks import integer, same_configuration
from kt_ext.schedulers.exploit import EXPLOITS
from kt_ext.schedulers.running import Running


class PBT(AbstractScheduler):
    """Trains a population; at intervals the worst take over the state and the perturbed values of the best.

    A trial is one member. Members are compared at equal epochs only, the boundaries: the multiples of
    ``perturbation_interval`` from ``burn_in`` on and before ``max_epochs``. With fewer workers than members they take
    turns, those who are behind first. So every member trains ``max_epochs`` epochs, and the population exactly
    ``population_size * max_epochs``.

    A member decides when it goes on from a boundary, by the scores there of all that have reached it. Ranks break ties
    in an order that rotates from one boundary to the next, so that equal members exploit one another in turn. A member
    whose score is not finite takes over a finite one's state; if there is none when all have come, it is given up, and
    the search has failed when no member is left.

    Args:
        population_size: how many members, >= 1.
        max_epochs: how many epochs each is trained, >= 1.
        perturbation_interval: epochs from one comparison to the next, >= 1.
        burn_in: no comparison before this many epochs, >= 0.
        quantile_fraction: the share of the members that exploit, and of those they take from, in (0, 0.5]; of those
            that have come, rounded down, but at least one when all have.
        exploit: ``"truncation"`` (the last quantile takes from the first), ``"tournament"`` (each takes from another
            drawn at random if that is better) or ``"ttest"`` (if that is significantly better).
        synchronous: True waits at each boundary until all members have come, so that a slow worker holds up the
            others; False decides with those that are there, however far the others are behind, and keeps a state of
            each boundary in between; ``"auto"`` waits for half of the members, for as many as make a quantile of one,
            and for all at the boundary before, so that at most two states of a member are kept. On one worker all
            three are the same, since all are there when the first is to go on.
        explorer: proposes the values to go on with; None: ``AdaptivePerturb()``; ``Perturb()`` is the paper's.

    Raises:
        ValueError, TypeError: an argument is out of range.

    Examples:
        Every member trains to the end, whoever took over whose state:

        >>> from kt_ext.core.simulate import simulate
        >>> simulate(PBT(population_size=4, max_epochs=4), lambda trial, epoch: trial, workers=2).epochs
        {0: 4, 1: 4, 2: 4, 3: 4}
    """

    repeats = True

    def __init__(
        self,
        population_size: int = 8,
        max_epochs: int = 100,
        perturbation_interval: int = 1,
        burn_in: int = 0,
        quantile_fraction: float = 0.25,
        exploit: Literal["truncation", "tournament", "ttest"] = "truncation",
        synchronous: bool | Literal["auto"] = "auto",
        explorer: AbstractExplorer | None = None,
    ) -> None:
        self.population_size = integer("population_size", population_size, at_least=1, remedy="8 is usual, 20 better")
        self.max_epochs = integer("max_epochs", max_epochs, at_least=1, remedy="give the epochs to train each member")
        self.perturbation_interval = integer(
            "perturbation_interval", perturbation_interval, at_least=1, remedy="give the epochs between comparisons"
        )
        self.burn_in = integer("burn_in", burn_in, at_least=0, remedy="0 compares from the first interval on")
        if not isinstance(quantile_fraction, (int, float)) or not 0 < quantile_fraction <= 0.5:
            raise ValueError(
                f"quantile_fraction={quantile_fraction!r}: must be in (0, 0.5]; 0.25 replaces the last quarter"
            )
        self.quantile_fraction = float(quantile_fraction)
        if exploit not in EXPLOITS:
            raise ValueError(f"exploit={exploit!r}: must be one of {', '.join(EXPLOITS)}; 'truncation' is usual")
        self.exploit = exploit
        if synchronous not in (True, False, "auto"):
            raise ValueError(f"synchronous={synchronous!r}: must be True, False or 'auto'")
        self.synchronous = synchronous if synchronous == "auto" else bool(synchronous)
        if explorer is not None and not isinstance(explorer, AbstractExplorer):
            raise TypeError(f"explorer={explorer!r}: must be an explorer such as kt_ext.schedulers.Perturb()")
        self.max_trials = self.population_size
        self._boundaries = tuple(
            epoch
            for epoch in range(self.perturbation_interval, self.max_epochs, self.perturbation_interval)
            if epoch >= self.burn_in
        )
        self.rung_epochs = (*self._boundaries, self.max_epochs)
        explorer = AdaptivePerturb() if explorer is None else explorer
        if isinstance(explorer, PacedExplorer):
            explorer = explorer.within(len(self._boundaries))
        self.explorer: AbstractExplorer = explorer
        self._started = 0
        self._exhausted = False
        self._running = Running()
        self._scores: dict[int, list[float]] = {}  # of each member of the population, by epoch
        self._paused: dict[int, int] = {}  # member to the boundary from which it is to go on
        self._takeovers: dict[int, list[int]] = {}  # member to the boundaries at which it took over another's state
        self._diverged_at: int | None = None

    @property
    def failure(self) -> str | None:  # type: ignore[override]
        if self._diverged_at is None:
            return None
        return (
            f"all members of the population have diverged: none has a finite objective after {self._diverged_at} "
            "epochs; lower the learning rates, clip the gradients or look at the data"
        )

    def suggest(self, rng: np.random.Generator) -> Run | Wait | Done:
        if self._to_start:
            member = self._started
            self._started += 1
            self._scores[member] = []
            return self._run(member, done=0)
        for member, epoch in sorted(self._paused.items(), key=lambda pair: (pair[1], pair[0])):
            if self._may_go_on(epoch):
                donor = self._go_on(member, epoch, rng)
                return self._run(member, epoch, CheckpointRef(member if donor is None else donor, epoch))
        return Wait() if self._running else Done()

    def observe(self, observation: Observation, rng: np.random.Generator) -> Run | Pause | Stop:
        member, epoch = observation.trial_id, observation.epoch
        until = self._running.advance(observation)
        objective = float(observation.objective)
        scores = self._scores[member]
        scores += [objective if math.isfinite(objective) else math.inf] * (epoch - len(scores))
        if epoch < until:
            return Run(member, until)
        self._running.end(member)
        if epoch < self.max_epochs:
            self._paused[member] = epoch
        self._give_up_diverged()
        if member not in self._paused:
            return Stop(member)
        behind = any(other < epoch and self._may_go_on(other) for other in set(self._paused.values()))
        if self._to_start or behind or not self._may_go_on(epoch):
            return Pause(member)
        donor = self._go_on(member, epoch, rng)
        return self._run(member, epoch, None if donor is None else CheckpointRef(donor, epoch))

    def forget(self, trial_id: int) -> None:
        self._running.end(trial_id)
        del self._scores[trial_id]  # nor is it a donor any more: its checkpoints may be gone
        self._give_up_diverged()

    def exhaust(self) -> None:
        self._exhausted = True
        self._give_up_diverged()

    def pinned(self) -> list[CheckpointRef]:
        """The states at boundaries from which some member has still to go on."""
        if self._to_start:
            first_open = 1
        else:
            first_open = min(
                (self._paused.get(member, len(scores) + 1) for member, scores in self._scores.items()),
                default=self.max_epochs,
            )
        return [
            CheckpointRef(member, epoch)
            for epoch in self._boundaries[bisect_left(self._boundaries, first_open) :]
            for member, scores in self._scores.items()
            if len(scores) >= epoch and math.isfinite(scores[epoch - 1])
        ]

    # Who may go on, and from whose state

    @property
    def _to_start(self) -> bool:
        return self._started < self.population_size and not self._exhausted

    def _missing(self, epoch: int) -> int:
        """How many members will come to this boundary and have not."""
        yet_to_start = self.population_size - self._started if self._to_start else 0
        return yet_to_start + sum(len(scores) < epoch for scores in self._scores.values())

    def _ranking(self, epoch: int) -> list[int]:
        """The members that have reached this epoch, best first."""
        rotation = epoch // self.perturbation_interval
        there = [member for member, scores in self._scores.items() if len(scores) >= epoch]
        size = self.population_size
        return sorted(there, key=lambda member: (self._scores[member][epoch - 1], (member - rotation) % size))

    def _may_go_on(self, epoch: int) -> bool:
        """Whether those that are paused at this boundary need wait no longer."""
        missing = self._missing(epoch)
        there = [scores[epoch - 1] for scores in self._scores.values() if len(scores) >= epoch]
        if missing == 0 or self.synchronous is True:
            return missing == 0
        if self.synchronous == "auto":
            enough = len(there) >= missing and int(self.quantile_fraction * len(there)) >= 1
            boundary_before = max((boundary for boundary in self._boundaries if boundary < epoch), default=0)
            if not enough or self._missing(boundary_before):
                return False
        return math.isfinite(min(there))

    def _go_on(self, member: int, epoch: int, rng: np.random.Generator) -> int | None:
        """The donor whose state the member takes over, None to go on from its own."""
        del self._paused[member]
        ranking = self._ranking(epoch)
        count = int(self.quantile_fraction * len(ranking))
        if self._missing(epoch) == 0 and len(ranking) > 1:
            count = max(1, count)
        scores = {one: self._scores[one][self._last_takeover(one, epoch) : epoch] for one in ranking}
        donor = EXPLOITS[self.exploit](member, ranking, scores, count, rng)
        if donor is not None:
            self._takeovers.setdefault(member, []).append(epoch)
        return donor

    def _last_takeover(self, member: int, epoch: int) -> int:
        """Where the member last took over another's state before this epoch, 0 if it never did."""
        takeovers = self._takeovers.get(member, [])
        before = bisect_left(takeovers, epoch)
        return takeovers[before - 1] if before else 0

    def _give_up_diverged(self) -> None:
        """Drops those paused at a boundary that nobody will reach with a finite score any more."""
        for epoch in sorted(set(self._paused.values())):
            there = [scores[epoch - 1] for scores in self._scores.values() if len(scores) >= epoch]
            if self._missing(epoch) == 0 and math.isinf(min(there)):
                for member in [member for member, at in self._paused.items() if at == epoch]:
                    del self._paused[member], self._scores[member]
                if not self._scores:
                    self._diverged_at = epoch

    def _run(self, member: int, done: int, restore: CheckpointRef | None = None) -> Run:
        until = next(epoch for epoch in self.rung_epochs if epoch > done)
        self._running.start(member, done=done, until=until)
        return Run(member, until, restore=restore)

    # State

    def state(self) -> dict[str, Any]:
        return {
            "configuration": self._configuration(),
            "started": self._started,
            "exhausted": self._exhausted,
            "running": self._running.state(),
            "scores": [
                [member, [None if math.isinf(score) else score for score in scores]]
                for member, scores in self._scores.items()
            ],
            "paused": [[member, epoch] for member, epoch in self._paused.items()],
            "takeovers": [[member, list(epochs)] for member, epochs in self._takeovers.items()],
            "diverged_at": self._diverged_at,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        same_configuration(self._configuration(), state["configuration"])
        self._started = state["started"]
        self._exhausted = state["exhausted"]
        self._running.load_state(state["running"])
        self._scores = {
            member: [math.inf if score is None else score for score in scores] for member, scores in state["scores"]
        }
        self._paused = {member: epoch for member, epoch in state["paused"]}
        self._takeovers = {member: list(epochs) for member, epochs in state["takeovers"]}
        self._diverged_at = state["diverged_at"]

    def _configuration(self) -> dict[str, Any]:
        names = (
            "max_epochs",
            "perturbation_interval",
            "burn_in",
            "quantile_fraction",
            "exploit",
            "synchronous",
            "population_size",
        )
        explorer = self.explorer.configuration()
        return {"scheduler": "PBT", "explorer": explorer} | {name: getattr(self, name) for name in names}
