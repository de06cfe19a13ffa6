"""The chief: serves an oracle to workers, and takes back what silent ones hold."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent import futures
from types import TracebackType

import grpc

from kt_ext.execution.credentials import Credentials, check_bind
from kt_ext.execution.identity import search_of
from kt_ext.execution.leases import Leases
from kt_ext.execution.service import Service, TokenCheck
from kt_ext.oracles import SchedulerOracle

_log = logging.getLogger("kt_ext")
_THREADS = 40
_GRACE_SECONDS = 1.0  # for calls that are being answered when the chief leaves
_CHECK_SECONDS = 0.1


class Chief:
    """Serves a search to workers while its ``with`` block lasts.

    A worker that is silent for ``lease_seconds`` loses its trial, which goes on elsewhere from its last reported epoch.
    A chief that was killed and is started again goes on from its journal: workers keep the trials that they have, and
    for one lease it waits even at the end of the search for those that had one, to dismiss them.

    Args:
        oracle: the search; its directory is taken when the ``with`` block is entered.
        host: the address to serve at; one that other machines reach needs ``credentials``.
        port: 0 takes a free one, see the attribute ``port``.
        lease_seconds: how long a worker may be silent; one that is killed is noticed within 1.5 times that.
        heartbeat_seconds: how often workers say that they are there, at most half of ``lease_seconds``.
        trial_timeout: seconds without a report after which a trial is given up; None never does.
        credentials: for TLS and the workers' token.
        adopt_running: whether workers may have outlived an earlier chief of this search, and keep their trials.

    Attributes:
        port: the port that is served, 0 before.
        on_hung: called with a worker's id when its trial was given up by ``trial_timeout``, so that it can be stopped.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        oracle: SchedulerOracle,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        lease_seconds: float = 30.0,
        heartbeat_seconds: float = 5.0,
        trial_timeout: float | None = None,
        credentials: Credentials | None = None,
        adopt_running: bool = True,
    ) -> None:
        if not isinstance(oracle, SchedulerOracle):
            raise TypeError(f"oracle={oracle!r}: must be a kt_ext oracle")
        self.leases = Leases(lease_seconds)
        if not 0 < heartbeat_seconds <= lease_seconds / 2:
            raise ValueError(
                f"heartbeat_seconds={heartbeat_seconds!r}: must be > 0 and at most half of lease_seconds="
                f"{lease_seconds!r}, or a single late one costs a trial; lower it or raise lease_seconds"
            )
        if trial_timeout is not None and not trial_timeout > 0:
            raise ValueError(f"trial_timeout={trial_timeout!r}: must be seconds > 0, or None to wait for ever")
        check_bind(host, credentials)
        self.oracle = oracle
        self.port = 0
        self.search: str | None = None  # see ``search_of``
        self.heartbeat_seconds = float(heartbeat_seconds)
        self.on_hung: Callable[[str], None] | None = None
        #: Guards ``leases`` and wakes ``wait``. Never held while taking the oracle's lock.
        self.changed = threading.Condition()
        self._host, self._wanted_port = host, port
        self._adopt_running = adopt_running
        self._trial_timeout = trial_timeout
        self._credentials = credentials
        self._seen: set[str] = set()
        self._failure: BaseException | None = None
        self._stopping = threading.Event()
        self._server: grpc.Server | None = None
        self._threads = futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="kt_ext-chief")
        self._reaper = threading.Thread(target=self._reap_for_ever, name="kt_ext-reaper", daemon=True)

    def __enter__(self) -> Chief:
        """Go on with the search in the oracle's directory, and serve.

        Raises:
            OSError: the address cannot be served.
            ProjectLocked, StorageError, ValueError, JournalDamaged, ReplayDiffers: as the oracle's ``begin``.
        """
        self.oracle.adopt_running = self._adopt_running
        self.oracle.begin()
        self.search = search_of(self.oracle)
        if self._adopt_running:
            # One that was between two trials looks for its chief for seconds, and the search may be over before.
            for worker in self.oracle.handed_out.workers():
                self.leases.adopt(worker)
        for worker, trial in self.oracle.ongoing_trials.items():
            self.leases.adopt(worker, trial.trial_id, self.oracle.attempt(trial.trial_id))
        if self.oracle.trials:
            self.oracle.stop_reason = self.oracle.why_over()  # perhaps no worker will come to be told
        secured = self._credentials
        server = grpc.server(
            self._threads,
            interceptors=[] if secured is None else [TokenCheck(secured.token)],
            # else a second chief on the same port would silently get half of the calls
            options=[("grpc.so_reuseport", 0)],
        )
        Service(self).add_to(server)
        address = f"[{self._host}]:{self._wanted_port}" if ":" in self._host else f"{self._host}:{self._wanted_port}"
        try:
            if secured is None:
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, secured.server())
        except RuntimeError:
            self.port = 0
        if self.port == 0:
            raise OSError(
                f"host={self._host!r}, port={self._wanted_port}: cannot be served; it is in use, or is no address of "
                "this machine: choose another, or port=0 for a free one"
            )
        server.start()
        self._server = server
        self._reaper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Serve no more. The oracle stays as it is; ``finish`` gives its directory back."""
        self._stopping.set()
        if self._server is not None:
            self._server.stop(_GRACE_SECONDS).wait()
            self._threads.shutdown()  # no late call may take the directory again
            self._reaper.join()

    def seen(self, worker_id: str) -> bool:
        """Whether a worker of this id has come since the last one was ``lost``."""
        return worker_id in self._seen

    def wait(self, check: Callable[[], None] | None = None) -> None:
        """Block until the search is over and every worker has left, or has been silent for too long.

        A search whose workers have all gone before it is over waits for others.

        Args:
            check: called about ten times a second, to look after the workers' processes; what it raises ends the wait.

        Raises:
            StorageError: a decision could not be recorded.
        """
        while not self._is_over():
            if self._failure is not None:
                raise self._failure
            if check is not None:
                check()
            with self.changed:
                self.changed.wait(_CHECK_SECONDS)

    def lost(self, worker_id: str, reason: str) -> None:
        """A worker's process is known to be dead: its trial is offered again at once.

        Args:
            worker_id: the worker; one that never came is ignored.
            reason: what is known of its end, for the journal.
        """
        with self.oracle.lock:
            with self.changed:
                self.leases.drop(worker_id)
            self._seen.discard(worker_id)
            self._release(worker_id, f"worker {worker_id!r}: {reason}")

    # For the service

    def note_arrival(self, worker: str) -> None:
        """The worker is there."""
        self._seen.add(worker)

    def leave(self, worker: str, session: str) -> None:
        """The worker says good-bye; a trial that it leaves behind goes on elsewhere."""
        with self.oracle.lock:
            with self.changed:
                was_there = self.leases.bye(worker, session)
            if was_there:
                self.oracle.tuner_ids.discard(worker)
                self._release(worker, f"worker {worker!r} left without ending it")

    def reap(self) -> None:
        """Take back the trials of workers that were silent for too long, and those without progress."""
        hung: list[str] = []
        with self.oracle.lock:
            with self.changed:
                expired = self.leases.expired()
            for worker in expired:
                self._release(worker, f"worker {worker!r} was silent for {self.leases.seconds:g} seconds")
            if self._trial_timeout is not None:
                with self.changed:
                    waiting = self.leases.hung(self._trial_timeout)
                for worker, trial_id in waiting:
                    reason = f"worker {worker!r} made no report for trial_timeout={self._trial_timeout:g} seconds"
                    _log.warning("trial %s is given up: %s", trial_id, reason)
                    self.oracle.fail(trial_id, reason)
                    with self.changed:
                        self.leases.give_up(worker)
                    hung.append(worker)
        for worker in hung:
            if self.on_hung is not None:
                self.on_hung(worker)

    def fail(self, error: BaseException) -> None:
        """There is no sense in going on: ``wait`` raises this."""
        self._failure = error
        self.notify()

    def notify(self) -> None:
        """Something changed: ``wait`` looks again."""
        with self.changed:
            self.changed.notify_all()

    def _release(self, worker: str, reason: str) -> None:
        """The trial that the worker holds is offered again. The oracle's lock is held."""
        trial = self.oracle.ongoing_trials.get(worker)
        if trial is not None:
            _log.warning("trial %s is taken back: %s", trial.trial_id, reason)
            self.oracle.release(trial.trial_id, reason)
        self.notify()

    def _reap_for_ever(self) -> None:
        # An expired lease is to be seen within half a lease.
        shortest = min(self.leases.seconds, self._trial_timeout or self.leases.seconds)
        while not self._stopping.wait(min(shortest / 5, 1.0)):
            try:
                self.reap()
            except Exception as error:  # nobody is there to see it in this thread
                self.fail(error)
                return

    def _is_over(self) -> bool:
        with self.changed:
            if self.leases.awaited:
                return False
        return self.oracle.stop_reason is not None and not self.oracle.ongoing_trials and self._failure is None
