"""How long a search has run."""

from __future__ import annotations

import time


class Stopwatch:
    """Counts the seconds of all sessions of a search together; it stands still between them."""

    def __init__(self) -> None:
        self._before = 0.0
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + (0.0 if self._started is None else time.monotonic() - self._started)

    def start(self) -> None:
        """A session begins; without effect while one goes on."""
        if self._started is None:
            self._started = time.monotonic()

    def stop(self) -> None:
        """The session ends."""
        self._before, self._started = self.seconds, None

    def go_on_from(self, seconds: float) -> None:
        """Earlier sessions took so many seconds."""
        self._before = seconds
