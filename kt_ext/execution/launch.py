"""Worker processes on this machine: started in their slots, started anew when they die, and all gone at the end."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from kt_ext.core.durable import FilePath
from kt_ext.execution.environment import worker_environment
from kt_ext.execution.failed_starts import MOST, FailedStarts
from kt_ext.execution.slot import Slot, stop_all

_log = logging.getLogger("kt_ext")
_GRACE_SECONDS = 1.0


class Workers:
    """One worker process per slot, ``worker-0``, ``worker-1``, ...; a context manager that starts and stops them.

    It knows nothing of trials or of the chief: it calls ``on_death`` and asks ``seen``, both from within ``check``. The
    workers run in this process's working directory and sys.path, as they are now.

    Args:
        payload: what they run, see ``kt_ext.execution.payload``.
        slots: the GPUs of each, see ``kt_ext.execution.gpus.slots``.
        logs: the directory of their logs, ``<worker_id>.log``; made if missing, appended to if there.
        environment: further environment variables, e.g. where the chief is.
        seen: whether the worker of this id has reached the chief since ``on_death`` was last called for it.
        on_death: called with the worker's id and the reason, in words, before another is started in its slot.

    Raises:
        NotImplementedError: on Windows, which has no process groups that can be killed as one.
    """

    def __init__(
        self,
        payload: Path,
        slots: Sequence[tuple[str, ...]],
        logs: FilePath,
        environment: Mapping[str, str],
        *,
        seen: Callable[[str], bool],
        on_death: Callable[[str, str], None],
    ) -> None:
        if os.name != "posix":
            raise NotImplementedError("worker processes need Linux or macOS; use executor='serial' on this system")
        self._logs = Path(logs)
        self._on_death = on_death
        directory, path = os.getcwd(), list(sys.path)
        self._slots = {
            worker_id: Slot(
                worker_id,
                payload,
                self._logs / f"{worker_id}.log",
                worker_environment(worker_id, gpus, len(slots), environment),
                directory,
                path,
            )
            for worker_id, gpus in ((f"worker-{place}", gpus) for place, gpus in enumerate(slots))
        }
        self._running: set[str] = set()
        self._hung: dict[str, int | None] = {}  # by worker id: which process is meant
        self._failed_starts = FailedStarts(seen)

    @property
    def running(self) -> tuple[str, ...]:
        """The ids of the workers that were started and have not finished, as of the last ``check``."""
        return tuple(worker_id for worker_id in self._slots if worker_id in self._running)

    def start(self) -> None:
        """Start all workers, or none. Raises OSError if there is no room for one, or its log cannot be written."""
        self._logs.mkdir(parents=True, exist_ok=True)
        try:
            for worker_id, slot in self._slots.items():
                slot.start()
                self._running.add(worker_id)
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Look at each worker, and start another where one has died or was to be restarted. To be called often.

        A worker that exits with code 0 has finished: nothing is called and none is started in its place.

        Raises:
            RuntimeError: workers die before they reach the chief, three times in one slot, or three times in all while
                none has ever reached it; with the end of the last one's log.
        """
        for worker_id in self.running:
            slot = self._slots[worker_id]
            hung = self._hung.pop(worker_id, None) == slot.pid
            code = slot.poll()
            if code == 0:
                self._running.discard(worker_id)
            elif code is not None:
                self._replace(slot, slot.reason())
            elif hung:
                slot.stop(_GRACE_SECONDS, by=signal.SIGUSR1)  # its log then says where it hung
                self._replace(slot, "stopped because it made no progress")

    def wait(self, seconds: float) -> None:
        """Let the workers end by themselves, which have no more to do; returns after ``seconds`` at the latest."""
        until = time.monotonic() + seconds
        while any(slot.poll() is None for slot in self._slots.values()) and time.monotonic() < until:
            time.sleep(0.02)

    def restart(self, worker_id: str) -> None:
        """Have the next ``check`` end this worker, which hangs, and start another; may be called from any thread."""
        self._hung[worker_id] = self._slots[worker_id].pid

    def stop(self) -> None:
        """End all workers and what they started: SIGTERM, and after 1 s SIGKILL."""
        self._running.clear()
        for slot in stop_all(list(self._slots.values()), _GRACE_SECONDS):
            _log.warning("%s (process %s) does not end, even by SIGKILL", slot.worker_id, slot.pid)

    def __enter__(self) -> Workers:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _replace(self, slot: Slot, reason: str) -> None:
        """Report that a worker is gone and start another, unless that is hopeless."""
        worker_id = slot.worker_id
        failed = self._failed_starts.died(worker_id, self.running)
        self._on_death(worker_id, reason)
        if failed >= MOST:
            raise RuntimeError(
                f"{worker_id}: {reason}, before it reached the chief, like {failed - 1} more before it. "
                f"The end of its log, {slot.log}:\n{slot.tail()}"
            )
        _log.warning("%s: %s; starting another in its place. Its log: %s", worker_id, reason, slot.log)
        slot.start()
