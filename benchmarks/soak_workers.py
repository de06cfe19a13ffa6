"""Kills workers, and now and then their parent or chief, at random moments, and counts what is lost by it.

    python benchmarks/soak_workers.py --kills 200 --form cluster     # chief and two workers, forked: no start-up
    python benchmarks/soak_workers.py --kills 30 --form process      # executor="process", start-up and all

Nothing is trained: an epoch is a sum in numpy, a checkpoint, a report and a sleep. Whether each of these sums began at
the one before can be told from the loss. A search that ends is looked at, and the next one begins in a new directory.
All figures below the number of kills must be 0, and the exit status says so. POSIX only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import keras_tuner
import numpy as np

import kt_ext
from kt_ext.core.journal import Journal, JournalDamaged
from kt_ext.oracles.hyperparameters import EPOCHS, INITIAL_EPOCH
from kt_ext.training.checkpoints import CheckpointDamaged, CheckpointStore
from kt_ext.tuners.segment import store_of

WORKERS = ("worker-0", "worker-1")
EPOCH_SECONDS = 0.02
SEARCH_SECONDS = 600.0  # none takes so long, however often it is killed
LEASE: dict[str, Any] = {"lease_seconds": 3.0, "heartbeat_seconds": 0.5}


def expected_loss(rate: float, epoch: int) -> float:
    """After so many epochs, none of them left out and none trained twice."""
    total = 0.0
    for _ in range(epoch):
        total = 0.9 * total + rate
    return 1.0 / (1.0 + total)


class Tuner(kt_ext.ASHATuner):
    """Trains without Keras, and writes down what the chief has acknowledged."""

    def on_search_begin(self) -> None:
        self.add("pids.txt", str(os.getpid()))

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> None:
        values = trial.hyperparameters.values
        store = store_of(self, trial.trial_id, 0)
        last = store.latest(values[EPOCHS])
        known, done = values.get(INITIAL_EPOCH, 0), last.epoch if last is not None else 0
        total = np.array(last.state["total"]) if last is not None else np.zeros(1)
        logs = list(last.meta["logs"]) if last is not None else []
        if done < known:
            self.add("lost.txt", f"trial {trial.trial_id}: no good checkpoint of epoch {known}")
        for epoch in range(known + 1, values[EPOCHS] + 1):
            if epoch > done:
                time.sleep(EPOCH_SECONDS)
                total = 0.9 * total + values["rate"]
                logs.append({"val_loss": float(1.0 / (1.0 + total[0]))})
                store.save(epoch, {"total": total}, {"logs": logs})
                store.keep([epoch - 1, epoch])
            ends = self.report(trial, epoch, logs[epoch - 1])
            self.add("acknowledged.txt", f"{int(trial.trial_id)} {epoch}")
            if ends:
                return

    def add(self, name: str, line: str) -> None:
        with open(Path(self.directory) / name, "ab", buffering=0) as file:
            file.write(line.encode() + b"\n")


def search(directory: Path, form: str, seed: int) -> None:
    """The search in ``directory``, or its next part."""
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Float("rate", 0.01, 1.0)
    workers: dict[str, Any] = {"executor": "process", "workers": len(WORKERS)} if form == "process" else {}
    tuner = Tuner(
        objective="val_loss", max_epochs=27, max_trials=60, seed=seed, hyperparameters=hyperparameters,
        max_consecutive_failed_trials=1000, directory=str(directory), project_name="search", **workers, **LEASE,
    )  # fmt: skip
    tuner.search(verbose=0)


class Form:
    """Starts the processes of a search, and kills one of them."""

    def begin(self, directory: Path, seed: int) -> None:
        self.directory, self.seed = directory, seed

    def kill(self, rng: random.Random) -> str | None:
        """Who was killed."""
        raise NotImplementedError

    def tend(self) -> bool:
        """Start again what was killed; whether the search has ended well."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave nothing behind."""

    def _pids(self) -> list[int]:
        path = self.directory / "pids.txt"
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


class Processes(Form):
    """``executor="process"``: the parent replaces its workers, and this script replaces the parent."""

    parent: subprocess.Popen[bytes] | None = None

    def kill(self, rng: random.Random) -> str | None:
        assert self.parent is not None
        alive = [pid for pid in self._pids() if _is_child(pid, self.parent.pid)]
        if not alive:
            return None
        if rng.random() < 0.1:
            self.parent.kill()
            return "parent"
        os.kill(rng.choice(alive), signal.SIGKILL)
        return "worker"

    def tend(self) -> bool:
        if self.parent is not None and self.parent.poll() is None:
            return False
        if self.parent is not None and self.parent.returncode == 0:
            self.parent = None
            return True
        if self.parent is not None and self.parent.returncode != -signal.SIGKILL:
            raise SystemExit(f"the search failed, see {self.directory}/output.txt")
        with open(self.directory / "output.txt", "ab") as output:
            command = [sys.executable, __file__, "--search", str(self.directory), "--seed", str(self.seed)]
            self.parent = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        return False

    def close(self) -> None:
        if self.parent is not None:
            self.parent.kill()
            self.parent.wait()


class Cluster(Form):
    """A chief and workers, each a fork of this process, which has Keras loaded."""

    def begin(self, directory: Path, seed: int) -> None:
        super().begin(directory, seed)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self.pids: dict[str, int] = {}
        self.ended: set[str] = set()

    def kill(self, rng: random.Random) -> str | None:
        if not self._pids():
            return None
        name = "chief" if rng.random() < 0.2 else rng.choice(WORKERS)
        if name not in self.pids:
            return None
        os.kill(self.pids[name], signal.SIGKILL)
        return name.split("-")[0]

    def tend(self) -> bool:
        for name, pid in list(self.pids.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self.pids[name]
                code = os.waitstatus_to_exitcode(status)
                if code == 0:
                    self.ended.add(name)
                elif code != -signal.SIGKILL:
                    raise SystemExit(f"{name} failed, see {self.directory}/{name}.txt")
        for name in {"chief", *WORKERS} - self.pids.keys() - self.ended:
            if name != "chief" and "chief" in self.ended:
                self.ended.add(name)  # it was killed while all said good-bye
            else:
                self.pids[name] = self._fork(name)
        return not self.pids

    def close(self) -> None:
        for pid in self.pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _fork(self, name: str) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            output = os.open(self.directory / f"{name}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.environ |= {
                "KERASTUNER_TUNER_ID": name,
                "KERASTUNER_ORACLE_IP": "127.0.0.1",
                "KERASTUNER_ORACLE_PORT": str(self.port),
                "KT_EXT_CHIEF_PATIENCE": "60",
            }
            search(self.directory, "cluster", self.seed)
            code = 0
        except BaseException:  # whatever it was, this copy must not go on killing
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _is_child(pid: int, parent: int) -> bool:
    done = subprocess.run(["ps", "-o", "ppid=,stat=", "-p", str(pid)], capture_output=True, text=True)
    fields = done.stdout.split()
    return len(fields) == 2 and int(fields[0]) == parent and not fields[1].startswith("Z")


def damage(directory: Path) -> Counter[str]:
    """What is not as it should be in a search that has ended."""
    found: Counter[str] = Counter()
    try:
        events = [event for _, event in Journal.read(directory / "search" / "journal.jsonl")]
    except JournalDamaged:
        return Counter({"unreadable files": 1})
    told = Counter((event["trial"], event["epoch"]) for event in events if event["e"] == "tell")
    lines = (directory / "acknowledged.txt").read_text().splitlines()
    found["acknowledged epochs lost"] = len({(int(t), int(e)) for t, e in map(str.split, lines)} - told.keys())
    found["acknowledged epochs lost"] += sum((t, e - 1) not in told for t, e in told if e > 1)
    if (directory / "lost.txt").exists():
        found["checkpoints lost"] = len((directory / "lost.txt").read_text().splitlines())
    found["epochs counted twice"] = sum(times - 1 for times in told.values())
    rates = {event["trial"]: event["values"]["rate"] for event in events if event["e"] == "ask" and "values" in event}
    found["losses that are not those of an unbroken training"] = sum(
        abs(event["objective"] - expected_loss(rates[event["trial"]], event["epoch"])) > 1e-9
        for event in events
        if event["e"] == "tell"
    )
    for path in (directory / "search").rglob("*"):
        try:
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".ckpt":
                CheckpointStore(path.parent).load(int(path.stem.split("-")[1]))
        except (ValueError, CheckpointDamaged):
            found["unreadable files"] += 1
    return found


def soak(form: Form, kills: int, scratch: Path, rng: random.Random, say: Callable[[str], None]) -> bool:
    """Kill so often, and let the last search end. Whether nothing was lost."""
    totals: Counter[str] = Counter()
    done = searches = 0
    longest = 4.0 if isinstance(form, Processes) else 1.0  # seconds between two kills
    while done < kills:
        directory = scratch / f"search{searches}"
        directory.mkdir()
        form.begin(directory, searches)
        began, due = time.monotonic(), time.monotonic() + rng.uniform(0.0, longest)
        while not form.tend():
            if done < kills and time.monotonic() >= due:
                due = time.monotonic() + rng.uniform(0.0, longest)
                who = form.kill(rng)
                if who is not None:
                    done += 1
                    totals[f"kills of a {who}"] += 1
            if time.monotonic() - began > SEARCH_SECONDS:
                raise SystemExit(f"search {searches} does not end, see {directory}")
            time.sleep(0.005)
        found = damage(directory)
        totals += found
        searches += 1
        say(f"search {searches}: {done} kills so far; {dict(+found) or 'nothing lost'}")
        if sum(found.values()):
            break
        shutil.rmtree(directory)
    say(f"{done} kills ({dict(totals)}) in {searches} searches")
    for name in (
        "acknowledged epochs lost", "checkpoints lost", "epochs counted twice",
        "losses that are not those of an unbroken training", "unreadable files",
    ):  # fmt: skip
        say(f"{totals[name]:6d}  {name}")
    return not any(count for name, count in totals.items() if not name.startswith("kills"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--form", choices=("cluster", "process"), default="cluster")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.search is not None:
        search(args.search, "process", args.seed)
        return
    scratch = Path(tempfile.mkdtemp(prefix="soak-"))
    form = Processes() if args.form == "process" else Cluster()
    try:
        well = soak(form, args.kills, scratch, random.Random(args.seed), lambda line: print(line, flush=True))
    finally:
        form.close()
    if not well:
        raise SystemExit(f"see {scratch}")
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
