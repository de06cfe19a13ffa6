"""Where the lines of a search go: in a log few enough to be read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from kt_ext.oracles import printing

BURST = 60  # lines at once
SECONDS_PER_LINE = 10.0  # in the long run
STATUS_SECONDS = 60.0


class Screen(Protocol):
    """Shows the lines of a search."""

    def begin(self) -> None:
        """The first trial is handed out."""

    def say(self, line: str, important: bool = False) -> None:
        """Show a line, or leave it out where there are too many; never one that is important."""

    def end(self) -> None:
        """The search is over; what was left out is not shown any more."""


class SilentScreen:
    """Shows nothing."""

    def begin(self) -> None:
        pass

    def say(self, line: str, important: bool = False) -> None:
        pass

    def end(self) -> None:
        pass


class LogScreen:
    """Plain lines: the first 60 at once, then one in ten seconds; how many were left out is said.

    Args:
        status: the search in one line, "" if there is nothing to say yet; shown once a minute among the others.
        burst: how many lines may come at once.
        clock: seconds.
    """

    def __init__(
        self,
        status: Callable[[], str] | None = None,
        burst: int = BURST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status, self._burst, self._clock = status, burst, clock
        self._room = float(burst)
        self._filled = self._reported = clock()
        self._left_out = 0

    def begin(self) -> None:
        self._reported = self._clock()

    def say(self, line: str, important: bool = False) -> None:
        now = self._clock()
        self._room = min(self._burst, self._room + (now - self._filled) / SECONDS_PER_LINE)
        self._filled = now
        if self._room < 1.0 and not important:
            self._left_out += 1
            return
        self._room = max(0.0, self._room - 1.0)
        if self._left_out:
            self.write(f"(left out here: {self._left_out})")
            self._left_out = 0
        self.write(line)
        if self._status is not None and now - self._reported >= STATUS_SECONDS:
            self._reported = now
            status = self._status()
            if status:
                self.write(status)

    def end(self) -> None:
        pass

    def write(self, line: str) -> None:
        """Show a line."""
        printing.write(line)
