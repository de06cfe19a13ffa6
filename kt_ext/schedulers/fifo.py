"""First in, first out: every trial is trained to the end, in order."""

from __future__ import annotations

from typing import Any

import numpy as np

from kt_ext.core.decision import Done, Observation, Run, Stop, Wait
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.schedulers.checks import integer, same_configuration
from kt_ext.schedulers.running import Running


class FIFO(AbstractScheduler):
    """Trains each of ``max_trials`` trials for ``max_epochs`` epochs and stops none early, a diverged one neither.

    Args:
        max_trials: how many trials are started, >= 1.
        max_epochs: how many epochs each is trained, >= 1.

    Raises:
        ValueError: an argument is out of range.

    Examples:
        Three trials of four epochs on two workers take as long as eight epochs:

        >>> from kt_ext.core.simulate import simulate
        >>> simulate(FIFO(max_trials=3, max_epochs=4), lambda trial, epoch: 0.0, workers=2).end_seconds
        8.0
    """

    def __init__(self, max_trials: int, max_epochs: int) -> None:
        self.max_trials = integer("max_trials", max_trials, at_least=1, remedy="give the number of trials to train")
        self.max_epochs = integer("max_epochs", max_epochs, at_least=1, remedy="give the epochs to train each trial")
        self.rung_epochs = (self.max_epochs,)
        self._started = 0
        self._exhausted = False
        self._running = Running()

    def suggest(self, rng: np.random.Generator) -> Run | Wait | Done:
        if self._started == self.max_trials or self._exhausted:
            return Wait() if self._running else Done()
        trial_id = self._started
        self._started += 1
        self._running.start(trial_id, done=0, until=self.max_epochs)
        return Run(trial_id, until=self.max_epochs)

    def observe(self, observation: Observation, rng: np.random.Generator) -> Run | Stop:
        until = self._running.advance(observation)
        if observation.epoch < until:
            return Run(observation.trial_id, until)
        self._running.end(observation.trial_id)
        return Stop(observation.trial_id)

    def forget(self, trial_id: int) -> None:
        self._running.end(trial_id)

    def exhaust(self) -> None:
        self._exhausted = True

    def state(self) -> dict[str, Any]:
        return {
            "configuration": self._configuration(),
            "started": self._started,
            "exhausted": self._exhausted,
            "running": self._running.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        same_configuration(self._configuration(), state["configuration"])
        self._started = state["started"]
        self._exhausted = state["exhausted"]
        self._running.load_state(state["running"])

    def _configuration(self) -> dict[str, Any]:
        return {"scheduler": "FIFO", "max_trials": self.max_trials, "max_epochs": self.max_epochs}
