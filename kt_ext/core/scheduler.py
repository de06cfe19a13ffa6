"""The contract of a scheduler: WHO runs and HOW LONG."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any

import numpy as np

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait
from kt_ext.core.explorer import AbstractExplorer


class AbstractScheduler(ABC):
    """Decides which trial runs, up to which epoch, and when it pauses or stops.

    A scheduler is pure: it knows nothing of Keras, disks or clocks, it draws only from the ``rng`` it is given, and
    after ``load_state(state())`` the same decisions follow. It numbers its trials 0, 1, 2, ... and always minimises.

    Attributes:
        max_trials: how many trials may be started.
        max_epochs: the largest number of epochs that one trial may be trained.
        rung_epochs: the epochs at which trials are compared, ascending; the last is ``max_epochs``.
        stops_in_flight: whether ``observe`` may end a trial before the epoch it was sent to.
        repeats: whether two trials may have equal values, since chance and later changes will tell them apart.
        explorer: asked for values when a ``Run`` without ``values`` restores the state of another trial; None keeps
            the trial's own.
        failure: why there is no sense in going on, in the user's words; None if there is.
        unit: what the user knows its epochs as, in the singular.
    """

    max_trials: int
    max_epochs: int
    rung_epochs: tuple[int, ...]
    stops_in_flight: bool = False
    repeats: bool = False
    explorer: AbstractExplorer | None = None
    failure: str | None = None
    unit: str = "epoch"

    @abstractmethod
    def suggest(self, rng: np.random.Generator) -> Run | Wait | Done:
        """What a free worker does next.

        ``Wait`` only while another trial is running; ``Done`` when nothing runs and nothing is left to run.
        """

    @abstractmethod
    def observe(self, observation: Observation, rng: np.random.Generator) -> Run | Pause | Stop:
        """What the trial that reported does next.

        Called for the epochs of a running trial in ascending order, each at most once; ``rung_epochs`` and the epoch
        that the trial was sent to are never left out.
        """

    @abstractmethod
    def forget(self, trial_id: int) -> None:
        """The trial ended without reaching the epoch it was sent to (it failed, or ended itself): never resume it."""

    def retire(self, trial_id: int) -> None:
        """A rule around this scheduler stopped the trial for doing badly, before the epoch it was sent to.

        Never resume it; where trials are compared it may be counted among the worst. As ``forget``, unless overridden.
        """
        self.forget(trial_id)

    @abstractmethod
    def exhaust(self) -> None:
        """No new values can be had: start no more trials, only finish those that exist."""

    def pinned(self) -> Collection[CheckpointRef]:
        """States of trials that a later decision may restore in other trials: they must not be removed."""
        return ()

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """The whole state as a JSON object; the arguments of the constructor stand under ``"configuration"``."""

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a ``state()``; the same decisions follow from then on."""
