"""What one trial did."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from kt_ext.core.decision import Value


@dataclass
class Stretch:
    """One stay of a trial with a worker.

    Attributes:
        worker: its name.
        began, ended: seconds since the search began; ``ended`` is None while it goes on.
        first_epoch, last_epoch: epochs done before it and after it.
        until: the epoch that it was sent to.
    """

    worker: str
    began: float
    first_epoch: int
    until: int
    ended: float | None = None
    last_epoch: int = 0


@dataclass
class Takeover:
    """A trial goes on from another's state, or with other values.

    Attributes:
        epoch: epochs that it had done.
        donor: the trial whose state it took; None if it kept its own.
        values: what it goes on with.
    """

    epoch: int
    donor: int | None
    values: Mapping[str, Value]


@dataclass
class TrialRecord:
    """One trial.

    Attributes:
        number: from 0 in the order of the start.
        name: Keras Tuner's trial id.
        values: the user's hyperparameters as they are now.
        first_values: as they were at the start.
        parent: the trial whose weights it began with; None: from scratch.
        status: "running", "queued" (to be handed out again), "paused", "done" or "failed".
        until: the epoch that it was last sent to.
        why: why it is not running, in words.
        stopped: whether the scheduler ended it before it had trained all that there is.
        epochs, times, objectives, metrics: of each report the epochs done, the seconds since the search began, the
            objective (in the user's units, NaN if it counted as the worst) and all metrics.
        stretches: its stays with workers.
        takeovers: its changes in mid-training.
    """

    number: int
    name: str
    values: dict[str, Value]
    first_values: dict[str, Value]
    parent: int | None
    status: str = "running"
    until: int = 0
    why: str = ""
    stopped: bool = False
    epochs: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    objectives: list[float] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    takeovers: list[Takeover] = field(default_factory=list)

    def best(self, maximise: bool) -> tuple[float, int]:
        """The best objective and the first epoch that reached it; (NaN, 0) without a finite one."""
        found = [(o, epoch) for o, epoch in zip(self.objectives, self.epochs, strict=True) if math.isfinite(o)]
        if not found:
            return math.nan, 0
        return min(found, key=lambda pair: (-pair[0] if maximise else pair[0], pair[1]))

    def values_at(self, epoch: int) -> Mapping[str, Value]:
        """The hyperparameters that held in this epoch, from 1."""
        earlier = [takeover.values for takeover in self.takeovers if takeover.epoch < epoch]
        return earlier[-1] if earlier else self.first_values

    @property
    def worked(self) -> float:
        """Seconds that it was with a worker, without the stretch that goes on."""
        return sum(stretch.ended - stretch.began for stretch in self.stretches if stretch.ended is not None)
