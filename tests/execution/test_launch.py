"""Workers that really run, under scripts that are really killed; they import numpy and no Keras."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from execution import worker_targets
from execution.worker_targets import alive, reports, until
from kt_ext.execution import payload
from kt_ext.execution.launch import Workers

TESTS = str(Path(worker_targets.__file__).parent.parent)


@pytest.fixture(autouse=True)
def no_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers take over the Keras settings of a process that has Keras; of one that has not, they start at once."""
    monkeypatch.delitem(sys.modules, "keras", raising=False)


class Chief:
    """What the workers' deaths look like to a chief which some have reached."""

    def __init__(self, *seen: str) -> None:
        self.reached = set(seen)
        self.deaths: list[tuple[str, str]] = []

    def seen(self, worker_id: str) -> bool:
        return worker_id in self.reached

    def on_death(self, worker_id: str, reason: str) -> None:
        self.deaths.append((worker_id, reason))


def workers_of(chief: Chief, path: Path, directory: Path, count: int = 1) -> Workers:
    return Workers(path, [()] * count, directory / "logs", {}, seen=chief.seen, on_death=chief.on_death)


def checked(workers: Workers, condition: Callable[[], bool]) -> Callable[[], bool]:
    def check() -> bool:
        workers.check()
        return condition()

    return check


def test_two_workers_share_the_pages_of_an_array(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    x = np.ones(1 << 17)
    with payload.written(worker_targets.mapped, directory=str(tmp_path), x=x, validation_data=(x,)) as path:
        inode = str((path.parent / "array-0.npy").stat().st_ino)
        with workers_of(Chief(), path, tmp_path, count=2) as workers:
            assert workers.running == ("worker-0", "worker-1")
            until(checked(workers, lambda: not workers.running))
    assert reports(tmp_path) == [{"inodes": [inode], "total": 2.0**17, "same": True}] * 2


def test_a_worker_that_is_killed_is_started_anew(tmp_path: Path) -> None:
    chief = Chief("worker-0")
    with (
        payload.written(worker_targets.die_once, directory=str(tmp_path)) as path,
        workers_of(chief, path, tmp_path) as workers,
    ):
        until(checked(workers, lambda: not workers.running))
    assert chief.deaths == [("worker-0", "killed by SIGKILL (out of memory?)")]
    assert len(reports(tmp_path)) == 2


def test_an_error_before_the_chief_is_reached_ends_the_search(tmp_path: Path) -> None:
    (tmp_path / "broken_on_import.py").write_text("import no_such_library\n")
    chief = Chief()
    program = (
        "import sys; from kt_ext.execution import payload\n"
        f"sys.path.append({str(tmp_path)!r})\n"
        "import types; module = sys.modules['broken_on_import'] = types.ModuleType('broken_on_import')\n"
        "def build(): ...\n"
        "build.__module__ = 'broken_on_import'; module.build = build\n"
        f"payload.write({str(tmp_path)!r}, build)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        workers = workers_of(chief, tmp_path / "payload.pkl", tmp_path)
    with pytest.raises(RuntimeError) as error, workers:
        until(checked(workers, lambda: False))
    assert chief.deaths == [("worker-0", "exit code 1")] * 3
    assert str(error.value).startswith(
        "worker-0: exit code 1, before it reached the chief, like 2 more before it. The end of its log, "
    )
    assert "Traceback" in str(error.value)
    assert "No module named 'no_such_library'" in str(error.value)


@pytest.mark.parametrize(("reached", "total"), [((), sum), (("worker-3",), max)])
def test_three_starts_may_fail_in_all_or_in_one_slot_once_a_worker_has_reached_the_chief(
    tmp_path: Path, reached: tuple[str, ...], total: Callable[[list[int]], int]
) -> None:
    def target() -> None:
        import time

        if os.environ["KERASTUNER_TUNER_ID"] == "worker-3":
            time.sleep(600)
        raise ValueError("wrong")

    target.__module__ = "__main__"  # as a user's own: travels by value
    chief = Chief(*reached)
    with (
        payload.written(target) as path,
        pytest.raises(RuntimeError, match="ValueError: wrong"),
        workers_of(chief, path, tmp_path, count=4) as workers,
    ):
        until(checked(workers, lambda: False))
    deaths = [[name for name, _ in chief.deaths].count(f"worker-{place}") for place in range(4)]
    assert total(deaths) == 3
    assert deaths[3] == 0


def test_failed_starts_are_counted_in_a_row(tmp_path: Path) -> None:
    """A worker that reached the chief before it died has begun a new row."""

    class Reached(Chief):
        def on_death(self, worker_id: str, reason: str) -> None:
            super().on_death(worker_id, reason)
            self.reached = {worker_id} if len(self.deaths) == 2 else set()

    chief = Reached()
    with (
        payload.written(worker_targets.crash_with_child, directory=str(tmp_path)) as path,
        pytest.raises(RuntimeError, match="SIGKILL"),
        workers_of(chief, path, tmp_path) as workers,
    ):
        until(checked(workers, lambda: False))
    assert len(chief.deaths) == 2 + 1 + 3


def test_a_hung_worker_is_replaced_and_its_log_says_where_it_hung(tmp_path: Path) -> None:
    chief = Chief("worker-0")
    with (
        payload.written(worker_targets.hang_here, directory=str(tmp_path)) as path,
        workers_of(chief, path, tmp_path) as workers,
    ):
        until(checked(workers, lambda: len(reports(tmp_path)) == 1))
        workers.restart("worker-0")
        assert chief.deaths == []
        until(checked(workers, lambda: len(reports(tmp_path)) == 2))
        assert chief.deaths == [("worker-0", "stopped because it made no progress")]
        hung, fresh = sorted((facts["pids"][0] for facts in reports(tmp_path)), key=alive)
        assert (alive(hung), alive(fresh)) == (False, True)
        assert "in hang_here" in (tmp_path / "logs" / "worker-0.log").read_text()
    until(lambda: not alive(fresh))


def test_a_restart_does_not_hit_the_successor(tmp_path: Path) -> None:
    """The chief may find a worker hung while ``check`` is replacing it."""

    class Late(Chief):
        def on_death(self, worker_id: str, reason: str) -> None:
            super().on_death(worker_id, reason)
            workers.restart(worker_id)

    chief = Late("worker-0")
    with (
        payload.written(worker_targets.hang_here, directory=str(tmp_path)) as path,
        workers_of(chief, path, tmp_path) as workers,
    ):
        until(checked(workers, lambda: len(reports(tmp_path)) == 1))
        os.kill(reports(tmp_path)[0]["pids"][0], signal.SIGKILL)
        until(checked(workers, lambda: len(reports(tmp_path)) == 2))
        workers.check()
    assert chief.deaths == [("worker-0", "killed by SIGKILL (out of memory?)")]


def test_if_one_cannot_start_none_is_left(tmp_path: Path) -> None:
    (tmp_path / "logs" / "worker-1.log").mkdir(parents=True)
    with payload.written(worker_targets.family, directory=str(tmp_path)) as path:
        workers = workers_of(Chief(), path, tmp_path, count=2)
        with pytest.raises(IsADirectoryError):
            workers.start()
        pid = workers._slots["worker-0"].pid
        assert pid is not None
        assert not alive(pid)
        assert workers.running == ()


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from execution.worker_targets import report
from kt_ext.execution import payload
from kt_ext.execution.launch import Workers

factor = 21
class Model:
    def answer(self, hp):
        return hp * factor

def make(offset):
    return lambda hp: Model().answer(hp) + offset

def run(build, directory):
    from execution import worker_targets
    worker_targets.report(directory, answer=build(2))

with payload.written(run, build=make(0.5), directory={directory!r}) as path:
    with Workers(path, [()], {directory!r}, {{}}, seen=lambda worker: False, on_death=print) as workers:
        while workers.running:
            workers.check()
            time.sleep(0.01)
print("ended")
"""


@pytest.mark.parametrize("how", ["script", "cell"])
def test_functions_and_classes_of_an_unguarded_main_travel(tmp_path: Path, how: str) -> None:
    source = SCRIPT.format(tests=TESTS, directory=str(tmp_path))
    if how == "script":
        (tmp_path / "user_script.py").write_text(source)
        command = [sys.executable, str(tmp_path / "user_script.py")]
    else:  # as Jupyter runs a cell: in __main__, from no file
        command = [sys.executable, "-c", f"exec(compile({source!r}, '<cell 1>', 'exec'))"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "ended\n", ended.stderr
    assert reports(tmp_path) == [{"answer": 42.5}]


ENDLESS = """
import os, sys, time
sys.path.insert(0, {tests!r})
from execution import worker_targets
from kt_ext.execution import payload
from kt_ext.execution.launch import Workers

with payload.written(worker_targets.family, directory={directory!r}) as path:
    print(path.parent, flush=True)
    with Workers(path, [(), ()], {directory!r}, {{}}, seen=lambda worker: True, on_death=print) as workers:
        {fork}
        while True:
            workers.check()
            time.sleep(0.01)
"""
FORK = "print(os.fork() or time.sleep(600), flush=True)"


def endless(tmp_path: Path, fork: str = "pass") -> tuple[subprocess.Popen[str], Path, list[int]]:
    """A script with two workers and a child of each: the script, its private directory, the ids of the four."""
    source = ENDLESS.format(tests=TESTS, directory=str(tmp_path), fork=fork)
    script = subprocess.Popen(
        [sys.executable, "-c", source],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # A shell starts what runs in the background with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert script.stdout is not None
    private = Path(script.stdout.readline().strip())
    until(lambda: len(reports(tmp_path)) == 2)
    return script, private, [pid for facts in reports(tmp_path) for pid in facts["pids"]]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_script(tmp_path: Path, number: signal.Signals, capsys: Any) -> None:
    script, private, pids = endless(tmp_path)
    assert private.is_dir()
    assert all(map(alive, pids))
    script.send_signal(number)
    seconds = until(lambda: not any(map(alive, pids)))
    with capsys.disabled():
        print(f"\n{number.name}: all gone after {seconds:.2f} s")
    assert script.wait(60) != 0
    until(lambda: not private.exists())


def test_a_forked_child_that_holds_the_pipe_keeps_no_worker_alive(tmp_path: Path) -> None:
    script, private, pids = endless(tmp_path, FORK)
    assert script.stdout is not None
    forked = int(script.stdout.readline())
    try:
        script.kill()
        until(lambda: not any(map(alive, pids)))
        assert alive(forked)
        until(lambda: not private.exists())
    finally:
        os.kill(forked, signal.SIGKILL)
        script.wait(60)
