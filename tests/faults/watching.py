"""Runs the searches of working.py, waits for what happens in them, and says what they leave."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from execution.worker_targets import alive
from faults.killing import JOURNAL, events, results, times_trained
from kt_ext.core.journal import Journal

SCRIPT = Path(__file__).with_name("working.py")
DEADLINE_SECONDS = 400.0


def until(condition: Callable[[], Any], *processes: subprocess.Popen[bytes]) -> Any:
    """Wait until a condition holds, and give what it gave; the processes are to live on meanwhile."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := condition()):
        for process in processes:
            assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.02)
    return found


class Watch:
    """The searches in one directory."""

    def __init__(self, directory: Path, **options: Any) -> None:
        directory.mkdir(exist_ok=True)
        self.directory, self.options = directory, options
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, name: str = "script", **environment: str) -> subprocess.Popen[bytes]:
        """One process of the script. What it prints is added to ``output(name)``."""
        with open(self.directory / f"{name}.txt", "ab") as output:
            process = subprocess.Popen(
                [sys.executable, str(SCRIPT), str(self.directory), json.dumps(self.options)],
                env=os.environ | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A shell starts what runs in the background with SIGINT ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        self._started.append(process)
        return process

    def run(self) -> None:
        """The script, to its good end."""
        code = self.start().wait(DEADLINE_SECONDS)
        assert code == 0, self.output()

    def close(self) -> None:
        """End what was started and still runs."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()

    def output(self, name: str = "script") -> str:
        return (self.directory / f"{name}.txt").read_text()

    def notes_of(self, pid: int) -> list[dict[str, Any]]:
        """What one process did with trials, in the order of time."""
        lines = (self.directory / "notes.jsonl").read_text().splitlines()
        return [note for note in map(json.loads, lines) if note["pid"] == pid and "trial" in note]

    def notes(self, did: str) -> list[dict[str, Any]]:
        """What the workers did, in the order of time."""
        path = self.directory / "notes.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [note for note in map(json.loads, lines) if note["did"] == did]

    def worker_pids(self) -> list[int]:
        return [note["pid"] for note in self.notes("begin")]

    def nobody_lives(self) -> bool:
        return not any(map(alive, self.worker_pids()))

    def reached(self, place: int = 0) -> int | None:
        """The process that died or stopped at a point; None before."""
        path = self.directory / f"reached-{place}"
        text = path.read_text() if path.exists() else ""
        return int(text) if text else None

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Those in the journal, which may be being written."""
        return [event for event in events(self.directory) if event["e"] == kind]

    def lost(self) -> list[str]:
        """Why trials were taken from their workers."""
        return [event["lost"] for event in self.events("end") if "lost" in event]

    def times(self) -> list[float]:
        """When each event was recorded, in seconds of the search."""
        return [event["t"] for _, event in Journal.read(self.directory / JOURNAL) if "t" in event]

    def trained_again(self) -> int:
        return sum(times - 1 for times in times_trained(self.directory).values())

    def check_nothing_lost(self) -> None:
        """Each trial ended well; each of its epochs was trained, and counted once, in order; models are there."""
        told: dict[int, list[int]] = {}
        for event in self.events("tell"):
            told.setdefault(event["trial"], []).append(event["epoch"])
        assert told == {trial: list(range(1, len(epochs) + 1)) for trial, epochs in told.items()}
        assert set(times_trained(self.directory)) == {(t, epoch) for t, epochs in told.items() for epoch in epochs}
        for note in self.notes("epoch"):  # the optimizer's own count: its state came from the checkpoint before
            assert note["steps"] == 4 * note["epoch"], note
        found = results(self.directory)
        assert {status for status, *_ in found["trials"].values()} == {"COMPLETED"}
        assert abs(min(score for _, score, *_ in found["trials"].values()) - found["best"]["loss"]) < 1e-5
        left = [path.name for path in (self.directory / "search").rglob("*.tmp")]
        assert left == []


@contextmanager
def watching(directory: Path, **options: Any) -> Iterator[Watch]:
    """A ``Watch`` that leaves no process behind."""
    watch = Watch(directory, **options)
    try:
        yield watch
    finally:
        watch.close()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def gap_seconds(watch: Watch) -> list[float]:
    """How long each trial that was taken from a worker waited until another had it. To be printed."""
    ended: dict[int, float] = {}
    gaps = []
    for _, event in Journal.read(watch.directory / JOURNAL):
        if event["e"] == "end" and "lost" in event:
            ended[event["trial"]] = event["t"]
        elif event["e"] in ("again", "ask", "given") and event["trial"] in ended:
            gaps.append(event["t"] - ended.pop(event["trial"]))
    return gaps
