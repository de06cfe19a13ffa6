"""A chief and workers on networks of their own, joined by a switch whose cables can be pulled.

    python network.py chief DIRECTORY HOST LEASE_SECONDS HEARTBEAT_SECONDS    # serves until its input ends
    python network.py worker NAME ADDRESS                                     # does what its input says

A pulled cable is what a fault looks like from both ends: no error and no closed connection, only silence.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).parents[2]
NAMES = ("chief", "near", "far")
ADDRESSES = {name: f"10.77.0.{number}" for number, name in enumerate(NAMES, start=1)}


def ip(*arguments: str) -> None:
    """Run ``ip``. Raises CalledProcessError with what it said in ``stderr``."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def not_permitted() -> str | None:
    """Why this process can make no networks; None if it can."""
    name = f"kt-{os.getpid()}-try"
    try:
        ip("netns", "add", name)
        try:
            ip("-n", name, "link", "add", "bridge0", "type", "bridge")
        finally:
            ip("netns", "delete", name)
    except FileNotFoundError:
        return "needs the program ip (iproute2)"
    except subprocess.CalledProcessError as error:
        return f"needs the right to make network namespaces: {error.stderr.strip()}"
    return None


class Network:
    """A network namespace for each of NAMES, with the address in ADDRESSES, and one for the switch between them."""

    def __enter__(self) -> Network:
        self._made: list[str] = []
        try:
            self._add("switch")
            ip("-n", self._name("switch"), "link", "add", "bridge0", "type", "bridge")
            ip("-n", self._name("switch"), "link", "set", "bridge0", "up")
            for name in NAMES:
                self._add(name)
                here, there = ("-n", self._name(name)), ("-n", self._name("switch"))
                ip(*there, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", self._name(name))
                ip(*here, "address", "add", f"{ADDRESSES[name]}/24", "dev", "eth0")
                for device in ("lo", "eth0"):
                    ip(*here, "link", "set", device, "up")
                ip(*there, "link", "set", name, "up")
                self.join(name)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def cut(self, name: str) -> None:
        """Pull the cable: whatever is sent is lost, and neither end is told."""
        ip("-n", self._name("switch"), "link", "set", name, "nomaster")

    def join(self, name: str) -> None:
        """Put the cable back."""
        ip("-n", self._name("switch"), "link", "set", name, "master", "bridge0")

    def command(self, name: str, *arguments: str) -> list[str]:
        """The command line that runs this file there."""
        return ["ip", "netns", "exec", self._name(name), sys.executable, __file__, *arguments]

    def _name(self, name: str) -> str:
        return f"kt-{os.getpid()}-{name}"

    def _add(self, name: str) -> None:
        ip("netns", "add", self._name(name))
        self._made.append(self._name(name))

    def _remove(self) -> None:
        for made in self._made:
            ip("netns", "delete", made)


class Node:
    """A process on one of the networks, which does what it is told, one thing at a time.

    Args:
        command: see ``Network.command``.
        log: gets what it prints to standard error.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def tell(self, *what: Any) -> None:
        """Have it do something; ``answer`` is what came of it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What came of what was told, in the order of telling; waits for it."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, *what: Any) -> dict[str, Any]:
        """Tell, and wait for the answer."""
        self.tell(*what)
        return self.answer()

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


def lead(directory: str, host: str, lease_seconds: str, heartbeat_seconds: str) -> None:
    """The chief of a search of three trials with four epochs each."""
    from kt_ext.execution import Chief
    from kt_ext.execution.credentials import from_environment
    from kt_ext.oracles import SchedulerOracle
    from kt_ext.schedulers import FIFO
    from oracles.oracle_driving import LOSS, placed, small_space

    made = SchedulerOracle(FIFO(3, 4), objective=LOSS, seed=3, hyperparameters=small_space())
    oracle = placed(made, Path(directory), "search")
    with Chief(
        oracle,
        host,
        lease_seconds=float(lease_seconds),
        heartbeat_seconds=float(heartbeat_seconds),
        credentials=from_environment(),
    ) as chief:
        print(json.dumps({"port": chief.port}), flush=True)
        sys.stdin.read()


def work(name: str, address: str) -> None:
    """A worker that trains nothing."""
    from kt_ext.execution import ChiefClient, LostTrial
    from kt_ext.oracles import SchedulerOracle
    from kt_ext.schedulers import FIFO
    from oracles.oracle_driving import LOSS, hand_out

    client = ChiefClient(SchedulerOracle(FIFO(3, 4), objective=LOSS), name, address)
    trial = None

    def do(what: str, *rest: Any) -> dict[str, Any]:
        nonlocal trial
        if what == "create":
            trial = client.create_trial(name)
            segment = hand_out(trial)
            return {"trial": segment.trial_id, "from": segment.initial, "attempt": client.attempts[trial.trial_id]}
        assert trial is not None
        if what == "report":
            (epoch,) = rest
            return {"status": client.update_trial(trial.trial_id, {"loss": 1.0 / epoch}, step=epoch).status}
        trial.status = "COMPLETED"
        client.end_trial(trial)
        return {}

    print(json.dumps({"ready": name}), flush=True)
    for line in sys.stdin:
        try:
            answer = do(*json.loads(line))
        except LostTrial as lost:
            answer = {"lost": str(lost)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    if sys.argv[1] == "chief":
        lead(*sys.argv[2:])
    else:
        work(*sys.argv[2:])
