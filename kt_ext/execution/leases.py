"""Which workers are there: a worker holds its id, and with it a trial, as long as it is heard."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


class WorkerTaken(Exception):
    """Another session that is alive has this worker id."""


@dataclass
class Lease:
    """One worker.

    Attributes:
        session: the process that has the id; None: whichever comes first, after a restart of the chief.
        heard: when the worker was last heard, by the clock.
        trial_id: the trial that it trains, None without one.
        attempt: how often that trial had been handed out then.
        reported: when it last said something of that trial.
        hangs: whether its trial was given up for want of reports: nobody waits for it.
    """

    session: str | None
    heard: float
    trial_id: str | None = None
    attempt: int = 0
    reported: float = 0.0
    hangs: bool = False


class Leases:
    """Pure bookkeeping, one thread at a time.

    A lease that nobody has collected by ``expired`` can still be renewed: nothing was taken from its worker yet.

    Args:
        seconds: how long a worker may be silent, > 0.
        clock: seconds that never go back.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
            raise ValueError(f"lease_seconds={seconds!r}: must be a number > 0, several heartbeats long; 30 is usual")
        self.seconds = float(seconds)
        self._clock = clock
        self._leases: dict[str, Lease] = {}
        self._left: set[str] = set()

    def __len__(self) -> int:
        return len(self._leases)

    def get(self, worker: str) -> Lease | None:
        """The worker's lease, None if it is not there."""
        return self._leases.get(worker)

    def hear(self, worker: str, session: str) -> Lease | None:
        """The worker said something: its lease begins anew; an unknown one gets one, unless it has said good-bye.

        Raises WorkerTaken.
        """
        lease = self._leases.get(worker)
        if lease is None:
            if session in self._left:
                return None
            lease = self._leases[worker] = Lease(session, self._clock())
        if lease.session is None:
            lease.session = session
        if lease.session != session:
            raise WorkerTaken(worker)
        lease.heard = self._clock()
        return lease

    def hello(self, worker: str, session: str) -> None:
        """As ``hear``, also for one that had said good-bye."""
        self._left.discard(session)
        self.hear(worker, session)

    def bye(self, worker: str, session: str) -> bool:
        """The worker leaves; what it still sends is not taken for a new arrival. Whether it had a lease."""
        self._left.add(session)
        lease = self._leases.get(worker)
        if lease is None or lease.session not in (None, session):
            return False
        del self._leases[worker]
        return True

    def drop(self, worker: str) -> bool:
        """The worker is known to be dead. Whether it had a lease."""
        return self._leases.pop(worker, None) is not None

    def adopt(self, worker: str, trial_id: str | None = None, attempt: int = 0) -> None:
        """After a restart of the chief: one full lease for a worker that may live on, with the trial that it had."""
        self._leases[worker] = Lease(None, self._clock())
        if trial_id is not None:
            self.give(worker, trial_id, attempt)

    def give(self, worker: str, trial_id: str, attempt: int) -> None:
        """The worker has this trial from now on, or goes on with it."""
        lease = self._leases.get(worker)
        if lease is not None:
            lease.trial_id, lease.attempt, lease.reported = trial_id, attempt, self._clock()
            lease.hangs = False

    def take(self, worker: str, trial_id: str) -> None:
        """The worker has this trial no more."""
        lease = self._leases.get(worker)
        if lease is not None and lease.trial_id == trial_id:
            lease.trial_id, lease.attempt = None, 0

    def give_up(self, worker: str) -> None:
        """The worker's trial hangs, and is taken from it; its heart may beat on."""
        lease = self._leases.get(worker)
        if lease is not None:
            lease.trial_id, lease.attempt, lease.hangs = None, 0, True

    @property
    def awaited(self) -> int:
        """How many workers are there, those that hang left out."""
        return sum(not lease.hangs for lease in self._leases.values())

    def expired(self) -> list[str]:
        """Collect the workers that were silent for too long; their leases are gone."""
        now = self._clock()
        silent = [worker for worker, lease in self._leases.items() if now - lease.heard >= self.seconds]
        for worker in silent:
            del self._leases[worker]
        return silent

    def hung(self, seconds: float) -> list[tuple[str, str]]:
        """Worker and trial of those that have said nothing of their trial for so long."""
        now = self._clock()
        return [
            (worker, lease.trial_id)
            for worker, lease in self._leases.items()
            if lease.trial_id is not None and now - lease.reported >= seconds
        ]
