"""Real processes, which import numpy and no Keras, so that each starts in a moment."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from execution import worker_targets
from execution.worker_targets import alive, reports, until
from kt_ext.execution import payload
from kt_ext.execution.environment import worker_environment
from kt_ext.execution.slot import Slot, stop_all

Make = Callable[..., Slot]


@pytest.fixture(autouse=True)
def no_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers take over the Keras settings of a process that has Keras; of one that has not, they start at once."""
    monkeypatch.delitem(sys.modules, "keras", raising=False)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Slot] = []

    def make(target: Callable[..., object], gpus: tuple[str, ...] = (), **arguments: Any) -> Slot:
        directory = tmp_path / f"payload-{len(made)}"
        directory.mkdir()
        path = payload.write(directory, target, **arguments)
        worker_id = f"w{len(made)}"
        environment = worker_environment(worker_id, gpus, workers=2, extra={"KERASTUNER_ORACLE_PORT": "7"})
        made.append(Slot(worker_id, path, tmp_path / f"{worker_id}.log", environment, os.getcwd(), sys.path))
        return made[-1]

    yield make
    assert stop_all(made, grace_seconds=0) == []


def ended(slot: Slot) -> int:
    until(lambda: slot.poll() is not None)
    code = slot.poll()
    assert code is not None
    return code


def test_a_worker_has_the_surroundings_of_its_parent(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path, "/nowhere/of/mine"])
    monkeypatch.chdir(tmp_path)
    slot = make(worker_targets.surroundings, gpus=("GPU-7", "2"), directory=str(tmp_path))
    slot.start()
    assert ended(slot) == 0
    (facts,) = reports(tmp_path)
    expected = {
        "KERASTUNER_TUNER_ID": "w0",
        "KERASTUNER_ORACLE_PORT": "7",
        "CUDA_VISIBLE_DEVICES": "GPU-7,2",
        "OMP_NUM_THREADS": "5",
        "TF_NUM_INTRAOP_THREADS": str(max(1, len(os.sched_getaffinity(0)) // 2)),
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    assert {name: facts["environ"].get(name) for name in expected} == expected
    assert facts["path"] == sys.path
    assert facts["cwd"] == str(tmp_path)
    assert facts["group"] == facts["pid"] == slot.pid
    assert facts["input"] == ""
    assert {"keras", "keras_tuner", "tensorflow", "jax", "grpc"}.isdisjoint(facts["modules"])


def test_the_environment_hides_the_gpus_and_names_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert worker_environment("w", (), 1)["CUDA_VISIBLE_DEVICES"] == "-1"
    assert worker_environment("w", (), 1)["KERAS_BACKEND"] == "torch"
    assert worker_environment("w", (), 10**6)["TF_NUM_INTEROP_THREADS"] == os.environ.get("TF_NUM_INTEROP_THREADS", "1")
    import keras

    assert worker_environment("w", (), 1)["KERAS_BACKEND"] == keras.backend.backend()


def test_files_of_the_working_directory_do_not_hide_the_library(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit(77)")
    (tmp_path / "select.py").write_text("raise SystemExit(77)")
    monkeypatch.chdir(tmp_path)
    slot = make(worker_targets.surroundings, directory=str(tmp_path))
    slot.start()
    assert ended(slot) == 0


@pytest.mark.parametrize(
    ("target", "reason", "tail"),
    [
        (lambda: None, "exit code 0", ""),
        (lambda: sys.exit(3), "exit code 3", ""),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "killed by SIGKILL (out of memory?)", ""),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "killed by SIGSEGV", "Fatal Python error: Segmentation fault"),
        (lambda: os.kill(os.getpid(), 40), "killed by signal 40", ""),
        (lambda: 1 / 0, "exit code 1", "ZeroDivisionError: division by zero"),
    ],
)
def test_the_end_is_told_in_words(make: Make, target: Callable[[], object], reason: str, tail: str) -> None:
    target.__module__ = "__main__"  # as a user's own: travels by value
    slot = make(target)
    slot.start()
    ended(slot)
    assert slot.reason() == reason
    assert tail in slot.tail()


def test_the_tail_is_of_the_last_worker_only(make: Make) -> None:
    def target() -> None:
        print("\n".join(map(str, range(40))))

    target.__module__ = "__main__"
    slot = make(target)
    slot.log.write_text("of an earlier search\n")
    slot.start()
    assert ended(slot) == 0
    assert slot.tail(3) == "37\n38\n39"
    assert slot.tail(99).splitlines() == [str(number) for number in range(40)]
    slot.start()
    assert ended(slot) == 0
    assert len(slot.tail(99).splitlines()) == 40
    assert len(slot.log.read_text().splitlines()) == 81


def test_what_a_dead_worker_had_started_goes_with_it(make: Make, tmp_path: Path) -> None:
    slot = make(worker_targets.crash_with_child, directory=str(tmp_path))
    slot.start()
    assert ended(slot) == -signal.SIGKILL
    (child,) = reports(tmp_path)[0]["pids"]
    until(lambda: not alive(child))


def test_stop_ends_the_worker_and_its_children(make: Make, tmp_path: Path) -> None:
    slot = make(worker_targets.family, directory=str(tmp_path))
    slot.start()
    until(lambda: len(reports(tmp_path)) == 1)
    slot.stop(grace_seconds=60)
    assert slot.reason() == "killed by SIGTERM"
    for pid in reports(tmp_path)[0]["pids"]:
        until(lambda pid=pid: not alive(pid))


def test_who_does_not_heed_sigterm_is_killed(make: Make, tmp_path: Path) -> None:
    slot = make(worker_targets.stubborn, directory=str(tmp_path))
    slot.start()
    until(lambda: len(reports(tmp_path)) == 1)
    slot.stop(grace_seconds=0.1)
    assert slot.reason() == "killed by SIGKILL (out of memory?)"


def test_a_stopped_process_is_killed_too(make: Make, tmp_path: Path) -> None:
    slot = make(worker_targets.hang_here, directory=str(tmp_path))
    slot.start()
    until(lambda: len(reports(tmp_path)) == 1)
    assert slot.pid is not None
    os.kill(slot.pid, signal.SIGSTOP)
    slot.stop(grace_seconds=0.1)
    assert not alive(slot.pid)


def test_the_ends_of_the_pipes_are_not_inherited(make: Make, tmp_path: Path) -> None:
    """Else a worker would live as long as its sibling, or as a child of its own, does."""
    first = make(worker_targets.family, directory=str(tmp_path))
    second = make(worker_targets.family, directory=str(tmp_path))
    first.start()
    second.start()
    until(lambda: len(reports(tmp_path)) == 2)
    assert first._process is not None and first._process.stdin is not None
    first._process.stdin.close()  # as the death of the parent does
    until(lambda: first.poll() is not None)
    assert first.reason() == "killed by SIGKILL (out of memory?)"
    assert second.poll() is None
