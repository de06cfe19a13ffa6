"""When it is hopeless to start another worker: too many died before they reached the chief."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

MOST = 3


class FailedStarts:
    """Counts the workers that died before they reached the chief.

    They are counted in a row and by worker id once any worker has ever reached it, and all together before: what no
    worker gets over is wrong with the call or the installation, what one of many does not is wrong with its place.

    Args:
        seen: whether the worker of this id has reached the chief since its predecessor's death.
    """

    def __init__(self, seen: Callable[[str], bool]) -> None:
        self._seen = seen
        self._any_seen = False
        self._failed: Counter[str] = Counter()

    def died(self, worker_id: str, running: Iterable[str]) -> int:
        """Count a death, before the chief is told of it; with ``MOST`` or more no other is to be started.

        Args:
            worker_id: who died.
            running: the ids of all workers.
        """
        self._any_seen = self._any_seen or any(map(self._seen, running))
        if self._seen(worker_id):
            self._any_seen = True
            self._failed[worker_id] = 0
        else:
            self._failed[worker_id] += 1
        return self._failed[worker_id] if self._any_seen else self._failed.total()
