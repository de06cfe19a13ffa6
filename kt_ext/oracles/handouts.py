"""Who was given each trial, how often, and how often its worker was lost: a fold over the journal's events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from kt_ext.core.search import Event


class HandOuts:
    """Counts how often each trial was handed out; the count, its *attempt*, tells a late worker from the present one.

    ``ask`` and ``again`` hand a trial to the ``"worker"`` that they name. One that names None is decided for a trial
    that is still leaving its last worker; ``given`` follows when it is handed out. Journals of earlier versions name
    nobody.
    """

    def __init__(self) -> None:
        self._attempts: Counter[int] = Counter()
        self._workers: dict[int, str] = {}
        self._postponed: set[int] = set()
        self._lost_attempts: dict[int, list[int]] = {}
        self._reasons: dict[int, list[str]] = {}

    def note(self, event: Event) -> None:
        """Take over one event, when it is recorded or replayed."""
        kind = event["e"]
        if kind in ("ask", "again") and event.get("worker", "") is None:
            self._postponed.add(event["trial"])
        elif kind in ("ask", "again", "given"):
            number = event["trial"]
            self._postponed.discard(number)
            self._attempts[number] += 1
            self._workers.pop(number, None)
            if "worker" in event:
                self._workers[number] = event["worker"]
        elif kind == "tell":
            self._reasons.pop(event["trial"], None)
        elif kind == "end":
            self._postponed.discard(event["trial"])
        if kind == "end" and "lost" in event:
            number = event["trial"]
            self._workers.pop(number, None)
            self._lost_attempts.setdefault(number, []).append(self._attempts[number])
            self._reasons.setdefault(number, []).append(event["lost"])

    def attempt(self, number: int) -> int:
        """How often the trial was handed out."""
        return self._attempts[number]

    def worker(self, number: int) -> str | None:
        """The worker of the present attempt, also after it ended it; None if it was lost or is not on record."""
        return self._workers.get(number)

    def workers(self) -> set[str]:
        """Those of the present attempts of all trials, the ended ones included."""
        return set(self._workers.values())

    def is_postponed(self, number: int) -> bool:
        """Whether it is decided that the trial runs, and it was not handed out yet."""
        return number in self._postponed

    def ended_before(self, number: int, attempt: int) -> bool:
        """Whether an earlier attempt came to its end, rather than being taken from its worker."""
        return 0 < attempt < self._attempts[number] and attempt not in self._lost_attempts.get(number, ())

    def reasons(self, number: int) -> list[str]:
        """Why the trial's workers were lost since its last epoch."""
        return list(self._reasons.get(number, ()))

    def state(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "attempts": list(self._attempts.items()),
            "workers": list(self._workers.items()),
            "postponed": sorted(self._postponed),
            "lost_attempts": list(self._lost_attempts.items()),
            "reasons": list(self._reasons.items()),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over a ``state()``."""
        self._attempts = Counter(dict(state["attempts"]))
        self._workers = dict(state["workers"])
        self._postponed = set(state["postponed"])
        self._lost_attempts = {number: list(attempts) for number, attempts in state["lost_attempts"]}
        self._reasons = {number: list(reasons) for number, reasons in state["reasons"]}
