"""Which trials are running, how far they are and how far they were sent."""

from __future__ import annotations

from collections.abc import Iterable

from kt_ext.core.decision import Observation


class Running:
    """The trials that workers hold at this moment: epochs done and epochs to reach, by trial."""

    def __init__(self) -> None:
        self._segments: dict[int, list[int]] = {}  # trial_id -> [epochs done, until]

    def __len__(self) -> int:
        return len(self._segments)

    def __contains__(self, trial_id: int) -> bool:
        return trial_id in self._segments

    def start(self, trial_id: int, *, done: int, until: int) -> None:
        """A worker takes the trial, which has trained ``done`` epochs, to train it up to ``until``."""
        self._segments[trial_id] = [done, until]

    def advance(self, observation: Observation) -> int:
        """Notes that the trial is at a later epoch, and returns the epoch that it was sent to.

        Epochs may be left out (a validation every second epoch), save those where trials are compared: that is for the
        adapter to hold.

        Raises:
            ValueError: the trial is not running, or the epoch is not after its last and up to where it was sent.
        """
        segment = self._segment(observation.trial_id)
        done, until = segment
        if not done < observation.epoch <= until:
            raise ValueError(
                f"epoch={observation.epoch}: trial {observation.trial_id} has done {done} epochs and was sent to "
                f"{until}; report each epoch once, in order"
            )
        segment[0] = observation.epoch
        return until

    def done(self, trial_id: int) -> int:
        """How many epochs the trial has done. Raises ValueError if it is not running."""
        return self._segment(trial_id)[0]

    def until(self, trial_id: int) -> int:
        """The epoch that the trial was sent to. Raises ValueError if it is not running."""
        return self._segment(trial_id)[1]

    def end(self, trial_id: int) -> None:
        """The trial left its worker. Raises ValueError if it is not running."""
        self._segment(trial_id)
        del self._segments[trial_id]

    def state(self) -> list[list[int]]:
        """A JSON array of ``[trial_id, done, until]``."""
        return [[trial_id, *segment] for trial_id, segment in self._segments.items()]

    def load_state(self, state: Iterable[Iterable[int]]) -> None:
        """Take over a ``state()``."""
        self._segments = {trial_id: [done, until] for trial_id, done, until in state}

    def _segment(self, trial_id: int) -> list[int]:
        if trial_id not in self._segments:
            raise ValueError(
                f"trial_id={trial_id!r}: is unknown or not running (running: {sorted(self._segments)}); observe and "
                "forget take a trial that suggest handed out and that has not paused, stopped or been forgotten since"
            )
        return self._segments[trial_id]
