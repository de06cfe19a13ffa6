"""What worker processes run in the tests, and how to see whether processes live. Imports neither keras nor numpy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 60.0


def report(directory: str, **facts: Any) -> None:
    """Leave facts for the test, as ``<worker id>.<pid>.json``; the file is there as a whole or not at all."""
    path = Path(directory, f"{os.environ['KERASTUNER_TUNER_ID']}.{os.getpid()}.json")
    path.with_suffix(".tmp").write_text(json.dumps(facts))
    path.with_suffix(".tmp").rename(path)


def reports(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))]


def surroundings(directory: str) -> None:
    report(
        directory,
        environ=dict(os.environ),
        path=sys.path,
        cwd=os.getcwd(),
        group=os.getpgrp(),
        pid=os.getpid(),
        modules=sorted(sys.modules),
        input=sys.stdin.read(),
    )


def family(directory: str) -> None:
    """A worker that has a child, and never ends by itself."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    report(directory, pids=[os.getpid(), child.pid])
    time.sleep(600)


def crash_with_child(directory: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    report(directory, pids=[child.pid])
    os.kill(os.getpid(), signal.SIGKILL)


def stubborn(directory: str) -> None:
    """A worker that does not end by SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    report(directory, pids=[os.getpid()])
    while True:
        time.sleep(600)


def hang_here(directory: str) -> None:
    report(directory, pids=[os.getpid()])
    time.sleep(600)


def die_once(directory: str) -> None:
    """Killed by its own hand the first time, then ends well."""
    first = not list(Path(directory).glob("*.json"))
    report(directory, pids=[os.getpid()])
    if first:
        os.kill(os.getpid(), signal.SIGKILL)


def mapped(directory: str, x: Any, validation_data: Any) -> None:
    """Tells which file the array is mapped from, and changes it, which no other process may see."""
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(".npy")]
    total = float(x.sum())
    x[0] = 1000
    report(directory, inodes=sorted({fields[4] for fields in maps}), total=total, same=validation_data[0] is x)


def until(condition: Callable[[], bool]) -> float:
    """Wait until a condition holds, and return the seconds that it took. Raises TimeoutError after a minute."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > PATIENCE_SECONDS:
            raise TimeoutError(f"not so within {PATIENCE_SECONDS} s")
        time.sleep(0.01)
    return time.monotonic() - start


def alive(pid: int) -> bool:
    """Whether a process runs; a dead one that nobody has waited for does not."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(found) and not found.startswith("Z")
