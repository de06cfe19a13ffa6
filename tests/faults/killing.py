"""Starts searches to be killed (see searching.py), and compares what they leave with an unbroken one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from kt_ext.core.journal import Journal

SCRIPT = Path(__file__).with_name("searching.py")
JOURNAL = Path("search") / "journal.jsonl"


class Ended(NamedTuple):
    """How a process ended: exit status, negative for a signal, None if it is stopped; and all that it printed."""

    code: int | None
    output: str


class SearchServer:
    """A process that has Keras loaded and forks itself for each search: a real process each, without the start-up."""

    def __init__(self, scratch: Path, kind: str = "asha") -> None:
        self._scratch, self._kind = scratch, kind
        self._outputs: dict[int, Path] = {}
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, directory: Path, point: str | None = None) -> Ended:
        """Search in ``directory`` until the process ends or is stopped."""
        return self.wait(self.start(directory, point))

    def start(self, directory: Path, point: str | None = None) -> int:
        """Begin a search; its process id."""
        directory.mkdir(exist_ok=True)
        output = self._scratch / f"output-{len(self._outputs)}.txt"
        pid = self._ask({"start": str(directory), "kind": self._kind, "point": point, "output": str(output)})["pid"]
        self._outputs[pid] = output
        return pid

    def wait(self, pid: int) -> Ended:
        """Wait until the process ends or is stopped."""
        return Ended(self._ask({"wait": pid}).get("code"), self._outputs[pid].read_text())

    def close(self) -> None:
        """End the server; its searches must have ended."""
        self._process.communicate()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def events(directory: Path) -> list[dict[str, Any]]:
    """All events in the journal of a search, without their times."""
    return [{k: v for k, v in event.items() if k != "t"} for _, event in Journal.read(directory / JOURNAL)]


def decisions(directory: Path) -> list[dict[str, Any]]:
    """What was decided and what it was decided on, without the traces of interruptions."""
    return [event for event in events(directory) if event["e"] in ("ask", "tell", "exhaust")]


def results(directory: Path) -> dict[str, Any]:
    """What the process that ended the search found."""
    return json.loads((directory / "results.json").read_text())


def times_trained(directory: Path) -> Counter[tuple[int, int]]:
    """How often each (trial, epoch) was trained to its end."""
    lines = (directory / "trained.txt").read_text().splitlines()
    return Counter((int(trial), int(epoch)) for trial, epoch in (line.split() for line in lines))


def trained_again(directory: Path) -> int:
    """Epochs that were trained to their end and then trained again."""
    return sum(count - 1 for count in times_trained(directory).values())


def differences(found: Any, expected: Any, where: str = "") -> list[str]:
    """Where two JSON values differ; real numbers may by 1e-5."""
    if isinstance(found, float) and isinstance(expected, float):
        return [] if abs(found - expected) <= 1e-5 else [f"{where}: {found} is not {expected}"]
    if isinstance(found, dict) and isinstance(expected, dict) and found.keys() == expected.keys():
        return [line for key in found for line in differences(found[key], expected[key], f"{where}[{key!r}]")]
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        return [
            line
            for i, (a, b) in enumerate(zip(found, expected, strict=True))
            for line in differences(a, b, f"{where}[{i}]")
        ]
    return [] if found == expected else [f"{where}: {found} is not {expected}"]


def differences_of_searches(found: Path, expected: Path) -> list[str]:
    """Where a search differs from an unbroken one: decisions, reports, values, results, epochs trained, files left."""
    return [
        *differences(decisions(found), decisions(expected), "decisions"),
        *differences(results(found), results(expected), "results"),
        *differences(sorted(times_trained(found)), sorted(times_trained(expected)), "epochs"),
        *differences(sorted(contents(found / "search")), sorted(contents(expected / "search")), "files"),
    ]


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    files = (Path(parent) / name for parent, _, names in os.walk(directory) for name in names)
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}
