"""Kills a search at random moments, again and again, and compares what it finds with an unbroken one.

    python benchmarks/soak_kill.py --kills 20 --seed 0

The search is that of ``tests/faults/searching.py``. A search that ends before it is killed is compared, and the next
one begins in a new directory. Prints a line for each kill; exits with 1 at the first difference.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from faults.killing import JOURNAL, SearchServer, differences_of_searches, trained_again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        server = SearchServer(Path(scratch))
        try:
            soak(server, Path(scratch), args.kills, random.Random(args.seed))
        finally:
            server.close()


def soak(server: SearchServer, scratch: Path, kills: int, rng: random.Random) -> None:
    """Kill ``kills`` times; raises SystemExit at the first difference."""
    unbroken = scratch / "unbroken"
    began = time.monotonic()
    if (code := server.run(unbroken).code) != 0:
        raise SystemExit(f"the unbroken search exited with {code}")
    shortest_seconds = time.monotonic() - began
    done, searches, killed_here = 0, 0, 0
    while done < kills or killed_here:
        directory = scratch / f"search{searches}"
        began = time.monotonic()
        pid = server.start(directory)
        if done < kills:
            time.sleep(rng.uniform(0.0, shortest_seconds))
            os.kill(pid, signal.SIGKILL)  # the server has not waited for it yet, so the pid is still its own
        ended = server.wait(pid)
        if ended.code == -signal.SIGKILL:
            done, killed_here = done + 1, killed_here + 1
            journal = directory / JOURNAL
            lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
            print(f"kill {done}: search {searches} with {lines} lines in its journal", flush=True)
            continue
        if ended.code != 0:
            raise SystemExit(f"search {searches} exited with {ended.code}:\n{ended.output}")
        if not killed_here:
            shortest_seconds = min(shortest_seconds, time.monotonic() - began)
        again, differences = trained_again(directory), differences_of_searches(directory, unbroken)
        print(f"search {searches}: killed {killed_here} times, {again} epochs twice, {len(differences)} differences")
        if differences or again > killed_here:
            raise SystemExit("\n".join(differences) or "more epochs were trained again than were in flight at a kill")
        searches, killed_here = searches + 1, 0


if __name__ == "__main__":
    main()
