"""Asynchronous successive halving.

Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht, Talwalkar (2018), "A System for Massively Parallel Hyperparameter
Tuning", https://arxiv.org/abs/1810.05934, Algorithm 2.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import Any, Literal

import numpy as np

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.schedulers.checks import integer, same_configuration
from kt_ext.schedulers.rungs import PromotionRung, StoppingRung, bracket_sizes, geometric_epochs
from kt_ext.schedulers.running import Running


class ASHA(AbstractScheduler):
    """Starts many trials with few epochs each and gives ``factor`` times more to the best, without waiting for a round.

    ``variant="promotion"`` is the paper's: a trial pauses at each rung, and a free worker takes the best paused trial
    among the top ``1 / factor`` of its rung, looking from the highest rung down, else it starts a new trial.
    ``variant="stopping"`` pauses nobody: each trial is sent to ``max_epochs`` and is stopped at the first rung where it
    is not among the top ``1 / factor`` of those that came before. It needs no checkpoints, but its early trials run
    far on luck alone.

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
        variant: ``"promotion"`` or ``"stopping"``.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        max_epochs: int,
        min_epochs: int = 1,
        factor: int = 3,
        brackets: int = 1,
        max_trials: int | None = None,
        variant: Literal["promotion", "stopping"] = "promotion",
    ) -> None:
        self.max_epochs = integer("max_epochs", max_epochs, at_least=1, remedy="give the most epochs of one trial")
        self.min_epochs = integer("min_epochs", min_epochs, at_least=1, remedy="1 compares trials after one epoch")
        if self.min_epochs > self.max_epochs:
            raise ValueError(
                f"min_epochs={min_epochs}: must be <= max_epochs={max_epochs}; lower it or raise max_epochs"
            )
        self.factor = integer("factor", factor, at_least=2, remedy="use FIFO to keep every trial")
        self.rung_epochs = geometric_epochs(self.min_epochs, self.max_epochs, self.factor)
        self.brackets = integer("brackets", brackets, at_least=1, remedy="1 is plain ASHA")
        if self.brackets > len(self.rung_epochs):
            raise ValueError(
                f"brackets={brackets}: must be <= {len(self.rung_epochs)}, the number of rungs {self.rung_epochs}; "
                "use fewer brackets, or get more rungs by a lower min_epochs or factor"
            )
        if max_trials is None:
            max_trials = self.factor ** len(self.rung_epochs)
        self.max_trials = integer("max_trials", max_trials, at_least=1, remedy="None takes factor ** number of rungs")
        if variant not in ("promotion", "stopping"):
            raise ValueError(f"variant={variant!r}: must be 'promotion' or 'stopping'; 'promotion' is the paper's")
        self.variant = variant
        self.stops_in_flight = variant == "stopping"

        rung = PromotionRung if variant == "promotion" else StoppingRung
        self._rungs = [[rung(epoch, self.factor) for epoch in self.rung_epochs[s:]] for s in range(self.brackets)]
        # where promotions are looked for: highest rung first, in a tie the lower bracket; the top rung is the end
        self._below_top = sorted(
            ((s, k) for s in range(self.brackets) for k in range(len(self._rungs[s]) - 1)),
            key=lambda place: (-self._rungs[place[0]][place[1]].epoch, place[0]),
        )
        self._cumulative_sizes = list(accumulate(bracket_sizes(len(self.rung_epochs), self.factor)[: self.brackets]))
        self._started = 0
        self._exhausted = False
        self._running = Running()
        self._bracket: dict[int, int] = {}  # of each running trial

    def suggest(self, rng: np.random.Generator) -> Run | Wait | Done:
        for s, k in self._below_top:
            rung = self._rungs[s][k]
            trial_id = rung.promote()
            if trial_id is not None:
                checkpoint = CheckpointRef(trial_id, rung.epoch)
                return self._run(trial_id, s, until=self._rungs[s][k + 1].epoch, restore=checkpoint)
        if self._started == self.max_trials or self._exhausted:
            return Wait() if self._running else Done()
        self._started += 1
        s = self._draw_bracket(rng)
        until = self._rungs[s][0].epoch if self.variant == "promotion" else self.max_epochs
        return self._run(self._started - 1, s, until=until)

    def observe(self, observation: Observation, rng: np.random.Generator) -> Run | Pause | Stop:
        trial_id, epoch = observation.trial_id, observation.epoch
        until = self._running.advance(observation)
        s = self._bracket[trial_id]
        rung = self._rungs[s][bisect_left(self.rung_epochs, epoch, lo=s) - s]  # at this epoch, else the next above
        if not math.isfinite(observation.objective):
            rung.reach(trial_id, math.inf)
            self.forget(trial_id)
            return Stop(trial_id)
        if epoch < rung.epoch:
            return Run(trial_id, until)
        goes_on = rung.reach(trial_id, float(observation.objective))  # numpy scalars are no JSON
        if goes_on and epoch < self.max_epochs:
            return Run(trial_id, until)
        self.forget(trial_id)
        return Pause(trial_id) if rung.pauses and epoch < self.max_epochs else Stop(trial_id)

    def forget(self, trial_id: int) -> None:
        # Only a running trial can be forgotten, and no rung has it among the paused, so none will promote it.
        # What it reached stays on record: it did reach it.
        self._running.end(trial_id)
        del self._bracket[trial_id]

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

    def _run(self, trial_id: int, s: int, until: int, restore: CheckpointRef | None = None) -> Run:
        self._running.start(trial_id, done=restore.epoch if restore else 0, until=until)
        self._bracket[trial_id] = s
        return Run(trial_id, until, restore=restore)

    def _draw_bracket(self, rng: np.random.Generator) -> int:
        if self.brackets == 1:
            return 0
        return bisect_right(self._cumulative_sizes, rng.integers(self._cumulative_sizes[-1]))

    def _configuration(self) -> dict[str, Any]:
        names = ("max_epochs", "min_epochs", "factor", "brackets", "max_trials", "variant")
        return {"scheduler": "ASHA"} | {name: getattr(self, name) for name in names}
