"""One worker process at a time: started, watched, and stopped with all that it started itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# Not ``python -m kt_ext.execution.worker``: that puts the working directory first on sys.path, where a user's queue.py
# hides the library's, and does not find a kt_ext that the parent found by a change of sys.path.
_PROGRAM = "import sys; sys.path[:] = {path!r}; from kt_ext.execution.worker import main; main()"
_TAIL_BYTES = 1 << 16
_POLL_SECONDS = 0.01
_DEAD_SECONDS = 5.0  # how long a process may take to vanish after SIGKILL, e.g. in a call of a GPU driver


class Slot:
    """A place where worker processes run, one after another, each in a process group of its own.

    A worker that outlives its parent kills itself: it watches a pipe of which only the parent has the other end.

    Args:
        worker_id: who its workers are.
        payload: what they run, see ``kt_ext.execution.payload``.
        log: their output is appended to this file.
        environment: their whole environment.
        directory: their working directory.
        path: their sys.path.
    """

    def __init__(
        self,
        worker_id: str,
        payload: Path,
        log: Path,
        environment: Mapping[str, str],
        directory: str,
        path: Sequence[str],
    ) -> None:
        self.worker_id = worker_id
        self.log = log
        self._command = [sys.executable, "-c", _PROGRAM.format(path=list(path)), str(payload.absolute())]
        self._environment = dict(environment)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The process id of the worker; None before the first start."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start a worker; there must be none alive. Raises OSError if the log cannot be written or no process made."""
        with open(self.log, "ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._directory,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def poll(self) -> int | None:
        """The exit code of the worker, negative for the signal that killed it; None while it lives.

        When it has ended, so have the processes that it had started and not moved to a group of their own.
        """
        assert self._process is not None, "not started"
        if self._process.returncode is None and self._process.poll() is not None:
            self._signal(signal.SIGKILL)  # at once: the number of a group without members may be given to another
            assert self._process.stdin is not None
            self._process.stdin.close()
        return self._process.returncode

    def stop(self, grace_seconds: float, by: signal.Signals = signal.SIGTERM) -> None:
        """End the worker and all that it started: by a signal, and after ``grace_seconds`` by SIGKILL."""
        stop_all([self], grace_seconds, by)

    def reason(self) -> str:
        """How the worker ended, in words, e.g. ``"killed by SIGKILL (out of memory?)"``."""
        code = self.poll()
        if code is None:
            return "alive"
        if code >= 0:
            return f"exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:  # a real-time signal
            name = f"signal {-code}"
        return f"killed by {name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")

    def tail(self, lines: int = 30) -> str:
        """The last lines that the worker wrote to its log."""
        with open(self.log, "rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - _TAIL_BYTES))
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        # macOS refuses the permission for a group of which only dead members are left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def stop_all(slots: Sequence[Slot], grace_seconds: float, by: signal.Signals = signal.SIGTERM) -> list[Slot]:
    """``Slot.stop`` for many at once, which share one ``grace_seconds``; those never started are passed over.

    Returns:
        The slots whose worker could not be seen to end within 5 s of SIGKILL, as a driver may hold it.
    """
    alive = [slot for slot in slots if slot.pid is not None and slot.poll() is None]
    try:
        for slot in alive:
            slot._signal(by)
        alive = _left(alive, grace_seconds)
    finally:  # a second Ctrl-C cuts the grace short
        for slot in alive:
            if slot.poll() is None:
                slot._signal(signal.SIGKILL)
        alive = _left(alive, _DEAD_SECONDS)
    return alive


def _left(slots: Sequence[Slot], seconds: float) -> list[Slot]:
    """Those whose worker still lives after ``seconds``; returns at once when none does."""
    until = time.monotonic() + seconds
    while left := [slot for slot in slots if slot.poll() is None]:
        if time.monotonic() > until:
            break
        time.sleep(_POLL_SECONDS)
    return left
