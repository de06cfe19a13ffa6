"""What ASHA and Hyperband share: brackets of rungs, who is promoted in them, and who stops."""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.schedulers.checks import integer, same_configuration
from kt_ext.schedulers.rungs import (
    DecisiveRung,
    PromotionRung,
    StoppingRung,
    bracket_sizes,
    checked_epochs,
    geometric_epochs,
)
from kt_ext.schedulers.running import Running

_RUNGS: dict[str, type[PromotionRung] | type[StoppingRung]] = {
    "promotion": PromotionRung,
    "stopping": StoppingRung,
    "decisive": DecisiveRung,
}


class AbstractHalving(AbstractScheduler):
    """Asynchronous successive halving in one or more brackets; a subclass says which bracket a new trial joins.

    Bracket s (0, 1, ...) leaves out the s lowest rungs. The arguments are ASHA's, save that ``brackets`` None takes
    all; a subclass sets ``max_trials``.

    Attributes:
        sizes: how many trials synchronous Hyperband starts in each of the brackets.
    """

    def __init__(self, max_epochs: int, min_epochs: int, factor: int, brackets: int | None, variant: str) -> None:
        self.max_epochs, self.min_epochs, self.factor = checked_epochs(max_epochs, min_epochs, factor)
        self.rung_epochs = geometric_epochs(self.min_epochs, self.max_epochs, self.factor)
        if brackets is None:
            brackets = len(self.rung_epochs)
        self.brackets = integer("brackets", brackets, at_least=1, remedy="1 is plain ASHA")
        if self.brackets > len(self.rung_epochs):
            raise ValueError(
                f"brackets={brackets}: must be <= {len(self.rung_epochs)}, the number of rungs {self.rung_epochs}; "
                "use fewer brackets, or get more rungs by a lower min_epochs or factor"
            )
        if variant not in _RUNGS:
            raise ValueError(
                f"variant={variant!r}: must be 'promotion', 'stopping' or 'decisive'; 'promotion' is the paper's"
            )
        self.variant = variant
        self.stops_in_flight = variant != "promotion"
        self.sizes = bracket_sizes(len(self.rung_epochs), self.factor)[: self.brackets]

        rung = _RUNGS[variant]
        self._rungs = [[rung(epoch, self.factor) for epoch in self.rung_epochs[s:]] for s in range(self.brackets)]
        # where promotions are looked for: highest rung first, in a tie the lower bracket; the top rung is the end
        self._below_top = sorted(
            ((s, k) for s in range(self.brackets) for k in range(len(self._rungs[s]) - 1)),
            key=lambda place: (-self._rungs[place[0]][place[1]].epoch, place[0]),
        )
        self._started = 0
        self._exhausted = False
        self._running = Running()
        self._bracket: dict[int, int] = {}  # of each running trial

    @abstractmethod
    def _choose_bracket(self, rng: np.random.Generator) -> int:
        """The bracket of the trial that is about to be started."""

    @abstractmethod
    def _configuration(self) -> dict[str, Any]:
        """The arguments of the constructor, and the scheduler's name, as a JSON object."""

    def suggest(self, rng: np.random.Generator) -> Run | Wait | Done:
        for s, k in self._below_top:
            rung = self._rungs[s][k]
            trial_id = rung.promote()
            if trial_id is not None:
                checkpoint = CheckpointRef(trial_id, rung.epoch)
                return self._run(trial_id, s, k + 1, checkpoint)
        if self._started == self.max_trials or self._exhausted:
            return Wait() if self._running else self._finish()
        self._started += 1
        return self._run(self._started - 1, self._choose_bracket(rng), 0)

    def observe(self, observation: Observation, rng: np.random.Generator) -> Run | Pause | Stop:
        trial_id, epoch = observation.trial_id, observation.epoch
        until = self._running.advance(observation)
        s = self._bracket[trial_id]
        rung = self._rungs[s][bisect_left(self.rung_epochs, epoch, lo=s) - s]  # at this epoch, else the next above
        if not math.isfinite(observation.objective):
            rung.reach(trial_id, math.inf)
            self._leave(trial_id)
            return Stop(trial_id)
        if epoch < rung.epoch:
            return Run(trial_id, until)
        goes_on = rung.reach(trial_id, float(observation.objective))  # numpy scalars are no JSON
        if goes_on and epoch < self.max_epochs:
            return Run(trial_id, until)
        self._leave(trial_id)
        return Pause(trial_id) if rung.pauses and epoch < self.max_epochs else Stop(trial_id)

    def _finish(self) -> Run | Done:
        """Nothing is left to decide. Where the first at a rung wait for others that never come, the best goes on."""
        tops = [rungs[-1] for rungs in self._rungs]
        if not any(not isinstance(top, DecisiveRung) or top.finished for top in tops):
            for s, k in self._below_top:
                trial_id = self._rungs[s][k].take()
                if trial_id is not None:
                    return self._run(trial_id, s, k + 1, CheckpointRef(trial_id, self._rungs[s][k].epoch))
        return Done()

    def forget(self, trial_id: int) -> None:
        # Only a running trial can be forgotten, and no rung has it among the paused, so none will promote it.
        # What it reached stays on record: it did reach it.
        self._leave(trial_id)

    def retire(self, trial_id: int) -> None:
        # As one that diverged on the way to its next rung: a share of those that set out for the rung is promoted,
        # not a share of the few that a rule let arrive.
        done = self._running.done(trial_id)
        s = self._bracket[trial_id]
        self._rungs[s][bisect_right(self.rung_epochs, done, lo=s) - s].reach(trial_id, math.inf)
        self.forget(trial_id)

    def exhaust(self) -> None:
        self._exhausted = True

    def state(self) -> dict[str, Any]:
        return {
            "configuration": self._configuration(),
            "started": self._started,
            "exhausted": self._exhausted,
            "running": self._running.state(),
            "bracket": [[trial_id, s] for trial_id, s in self._bracket.items()],
            "rungs": [[rung.state() for rung in rungs] for rungs in self._rungs],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        same_configuration(self._configuration(), state["configuration"])
        self._started = state["started"]
        self._exhausted = state["exhausted"]
        self._running.load_state(state["running"])
        self._bracket = {trial_id: s for trial_id, s in state["bracket"]}
        for rungs, rungs_state in zip(self._rungs, state["rungs"], strict=True):
            for rung, rung_state in zip(rungs, rungs_state, strict=True):
                rung.load_state(rung_state)

    def _run(self, trial_id: int, s: int, k: int, restore: CheckpointRef | None = None) -> Run:
        """On its way to rung k of bracket s."""
        until = self.max_epochs if self.stops_in_flight else self._rungs[s][k].epoch
        self._running.start(trial_id, done=restore.epoch if restore else 0, until=until)
        self._bracket[trial_id] = s
        return Run(trial_id, until, restore=restore)

    def _leave(self, trial_id: int) -> None:
        self._running.end(trial_id)
        del self._bracket[trial_id]
