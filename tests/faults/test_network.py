"""The network between a chief and its workers is cut, truly: each has a network namespace of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from faults.network import ADDRESSES, Network, Node, not_permitted
from kt_ext.execution.credentials import create
from oracles.oracle_driving import journal

pytestmark = pytest.mark.slow


class Cluster:
    """A chief, a worker ``near`` and a worker ``far``, whose cable is pulled. Over TLS, as other machines would be."""

    def __init__(self, directory: Path, stack: ExitStack, lease_seconds: float, heartbeat_seconds: float) -> None:
        self.directory = directory
        self.network = stack.enter_context(Network())

        def start(name: str, *arguments: str) -> Node:
            node = Node(self.network.command(name, *arguments), directory / f"{name}.txt")
            stack.callback(node.stop)
            return node

        host = ADDRESSES["chief"]
        self.chief = start("chief", "chief", str(directory), host, str(lease_seconds), str(heartbeat_seconds))
        port = self.chief.answer()["port"]
        self.near, self.far = (start(name, "worker", name, f"{host}:{port}") for name in ("near", "far"))
        for worker in (self.near, self.far):
            assert "ready" in worker.answer()

    @property
    def events(self) -> list[dict[str, Any]]:
        return journal(self.directory / "search")

    @property
    def told(self) -> list[tuple[int, int]]:
        """Trial and epoch of each report that counted."""
        return [(event["trial"], event["epoch"]) for event in self.events if event["e"] == "tell"]

    def end(self, worker: Node, first: int) -> None:
        """The worker trains its trial from this epoch to the end."""
        answers = [worker.ask("report", epoch) for epoch in range(first, 5)]
        assert [answer["status"] for answer in answers] == ["RUNNING"] * (4 - first) + ["STOPPED"]
        assert worker.ask("end") == {}


@pytest.fixture(scope="module")
def reason() -> str | None:
    """Why there can be no networks here, None if there can."""
    return not_permitted()


@pytest.fixture
def cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str | None
) -> Iterator[Callable[[float, float], Cluster]]:
    if reason is not None:
        pytest.skip(reason)
    create(tmp_path / "credentials")
    monkeypatch.setenv("KT_EXT_CREDENTIALS", str(tmp_path / "credentials"))
    with ExitStack() as stack:
        yield lambda lease_seconds, heartbeat_seconds: Cluster(tmp_path, stack, lease_seconds, heartbeat_seconds)


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline, f"not within two minutes: {what}"
        time.sleep(0.05)


@pytest.mark.nightly
def test_a_cut_shorter_than_the_lease_costs_nothing(cluster) -> None:
    """Reports that could not be sent are sent when the cable is back; no trial is handed out again."""
    searching = cluster(30.0, 0.5)
    assert searching.far.ask("create") == {"trial": "0", "from": 0, "attempt": 1}
    assert searching.far.ask("report", 1) == {"status": "RUNNING"}
    for epoch in (2, 3):
        searching.network.cut("far")
        searching.far.tell("report", epoch)
        time.sleep(2)  # four beats are lost, too
        assert searching.told == [(0, done) for done in range(1, epoch)]
        searching.network.join("far")
        assert searching.far.answer() == {"status": "RUNNING"}
    searching.end(searching.far, 4)
    assert searching.far.ask("create") == {"trial": "1", "from": 0, "attempt": 1}
    assert [event["e"] for event in searching.events] == ["search", "ask", "tell", "tell", "tell", "tell", "ask"]


def test_after_a_longer_cut_the_trial_is_elsewhere_and_its_late_report_is_refused(cluster) -> None:
    searching = cluster(2.0, 0.25)
    assert searching.far.ask("create") == {"trial": "0", "from": 0, "attempt": 1}
    assert searching.far.ask("report", 1) == {"status": "RUNNING"}
    searching.network.cut("far")
    searching.far.tell("report", 2)
    until(lambda: searching.events[-1].get("as") == "queued", "the trial is taken back")
    assert searching.events[-1]["lost"] == "worker 'far' was silent for 2 seconds"
    assert searching.near.ask("create") == {"trial": "0", "from": 1, "attempt": 2}
    before = searching.events
    searching.network.join("far")
    refused = searching.far.answer()
    assert "trial 0 is not worker 'far''s any more (attempt 1, now 2)" in refused["lost"]
    assert "trial 0 is not worker 'far''s any more" in searching.far.ask("end")["lost"]
    assert searching.events == before
    searching.end(searching.near, 2)
    assert searching.far.ask("create") == {"trial": "1", "from": 0, "attempt": 1}  # it is welcome again
    assert searching.told == [(0, 1), (0, 2), (0, 3), (0, 4)]


@pytest.mark.nightly
def test_two_workers_that_were_both_cut_off_go_on_with_the_trials_they_had(cluster) -> None:
    """It is the chief's cable: nobody is there to take the trials, and each is still its worker's afterwards."""
    searching = cluster(30.0, 0.5)
    for number, worker in enumerate((searching.near, searching.far)):
        assert worker.ask("create") == {"trial": str(number), "from": 0, "attempt": 1}
    searching.network.cut("chief")
    for worker in (searching.near, searching.far):
        worker.tell("report", 1)
    time.sleep(2)
    assert searching.told == []
    searching.network.join("chief")
    for worker in (searching.near, searching.far):
        assert worker.answer() == {"status": "RUNNING"}
        searching.end(worker, 2)
    assert sorted(searching.told) == [(trial, epoch) for trial in (0, 1) for epoch in (1, 2, 3, 4)]
    assert [event["e"] for event in searching.events].count("ask") == 2
