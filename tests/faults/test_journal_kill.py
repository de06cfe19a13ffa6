"""Real SIGKILLs, at moments nobody chose."""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from core_process import start
from kt_ext.core.durable import write_atomic
from kt_ext.core.journal import Journal

KILLS = 10

# Every twentieth line is long, so that some kills strike within a write. An event is acknowledged when its number is
# printed.
APPEND = """
from kt_ext.core.journal import Journal
journal = Journal(sys.argv[1])
number = journal.position.lines
while True:
    journal.append({"i": number, "padding": "x" * (100_000 if number % 20 == 0 else number % 200)})
    os.write(1, b"%d\\n" % number)
    number += 1
"""

# Version v is v, a newline, and 300,000 times the letter of v.
REPLACE = """
from kt_ext.core.durable import write_atomic
version = int(sys.argv[2])
while True:
    write_atomic(sys.argv[1], b"%d\\n" % version + bytes([97 + version % 26]) * 300_000, sync=sys.argv[3] == "True")
    os.write(1, b"%d\\n" % version)
    version += 1
"""


def kill_at_work(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Kill the process ``seconds`` after its first acknowledgement; the last number that it acknowledged."""
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    said = os.read(pipe, 1 << 16)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([pipe], [], [], left)[0]:
            said = said[-40:] + os.read(pipe, 1 << 16)
    process.kill()
    said = said[-40:] + process.stdout.read()
    process.wait()
    process.stdout.close()
    return int(said[: said.rindex(b"\n")].split()[-1])


def test_a_killed_search_loses_and_doubles_no_acknowledged_event(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    delays = np.random.default_rng(1).uniform(0.0, 0.03, size=KILLS)
    for delay in delays:
        last = kill_at_work(start(APPEND, path), delay)
        numbers = [event["i"] for _, event in Journal.read(path)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) - 1 in (last, last + 1)  # one may be written and not yet acknowledged
    journal = Journal(path)  # what the last kill tore is cut
    journal.append({"i": len(numbers)})
    journal.close()
    assert [event["i"] for _, event in Journal.read(path)] == list(range(len(numbers) + 1))


@pytest.mark.parametrize("sync", [True, False])
def test_a_kill_leaves_a_replaced_file_whole_in_its_old_or_new_version(tmp_path: Path, sync: bool):
    path = tmp_path / "state.json"
    delays = np.random.default_rng(2).uniform(0.0, 0.05, size=KILLS // 2)
    version = 0
    for delay in delays:
        last = kill_at_work(start(REPLACE, path, version, sync), delay)
        number, letters = path.read_bytes().split(b"\n")
        version = int(number)
        assert version in (last, last + 1)
        assert letters == bytes([97 + version % 26]) * 300_000
    write_atomic(path, b"{}")
    assert path.read_bytes() == b"{}"
    assert os.listdir(tmp_path) == [path.name]
