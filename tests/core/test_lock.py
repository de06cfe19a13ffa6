from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from bad_disks import read_only
from core_process import start
from kt_ext.core.durable import StorageError
from kt_ext.core.lock import ProjectLock, ProjectLocked

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

# Takes the lock, does what argv[2] says, tells that it is ready, and stays.
HOLD = """
import subprocess, time
from kt_ext.core.lock import ProjectLock
lock = ProjectLock(sys.argv[1])
lock.acquire()
child = 0
if sys.argv[2] == "fork":
    child = os.fork()
    if child == 0:
        while True:
            time.sleep(1)
if sys.argv[2] == "exec":
    child = subprocess.Popen(["sleep", "1000"], close_fds=False, stdout=subprocess.DEVNULL).pid
print(child, flush=True)
time.sleep(1000)
"""

# Waits for the start, then says whether it got the lock, and stays.
CONTEND = """
import time
from kt_ext.core.lock import ProjectLock, ProjectLocked
while not os.path.exists(sys.argv[2]):
    time.sleep(0.001)
lock = ProjectLock(sys.argv[1])
try:
    lock.acquire()
except ProjectLocked:
    print("refused", flush=True)
else:
    print("held", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "search.lock"


def test_a_second_lock_of_the_same_process_is_refused_and_told_who_holds_it(path):
    first, second = ProjectLock(path), ProjectLock(path)
    first.acquire()
    for lock in (second, first):
        with pytest.raises(ProjectLocked) as raised:
            lock.acquire()
        assert raised.value.holder["pid"] == os.getpid()
    assert (first.held, second.held) == (True, False)
    message = str(raised.value)
    assert message.startswith(f"{path} is held by process {os.getpid()} on {socket.gethostname()} since 20")
    assert "choose another directory or project_name" in message
    assert str(pickle.loads(pickle.dumps(raised.value))) == message
    first.release()


def test_a_released_lock_can_be_taken_again(path):
    first, second = ProjectLock(path), ProjectLock(path)
    for lock in (first, second, first):
        lock.acquire()
        assert lock.held
        lock.release()
        lock.release()
        assert not lock.held


def test_the_holder_is_known_without_taking_the_lock(path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--name", "my run"])
    assert ProjectLock.holder(path) is None
    assert not path.exists()
    lock = ProjectLock(path)
    lock.acquire()
    holder = ProjectLock.holder(path)
    since = datetime.fromisoformat(holder.pop("since"))
    assert holder == {"pid": os.getpid(), "host": socket.gethostname(), "command": "train.py --name 'my run'"}
    assert abs(datetime.now(timezone.utc) - since) < timedelta(hours=1)
    assert lock.held
    lock.release()
    assert ProjectLock.holder(path) is None
    lock.acquire()
    lock.release()


@pytest.mark.parametrize(
    "text", ["", '{"pid": 4', "not json", '{"pid": 4}', '{"pid": 4, "command": "' + "x" * 1000 + '"}']
)
def test_a_file_of_nobody_blocks_nobody_whatever_it_says(path, text):
    path.write_text(text)
    assert ProjectLock.holder(path) is None
    lock = ProjectLock(path)
    lock.acquire()
    assert ProjectLock.holder(path)["pid"] == os.getpid()
    path.write_text(text)  # as if seen just before the holder writes
    with pytest.raises(ProjectLocked, match="on an unknown host since an unknown time"):
        ProjectLock(path).acquire()
    lock.release()
    assert path.read_bytes() == b""


def test_a_holder_that_is_just_going_is_waited_for(path, monkeypatch):
    first, second = ProjectLock(path), ProjectLock(path)
    first.acquire()
    monkeypatch.setattr("kt_ext.core.lock.time.sleep", lambda seconds: first.release())
    second.acquire()
    assert (first.held, second.held) == (False, True)
    second.release()


def test_releasing_works_even_if_a_fork_that_python_does_not_see_shares_the_descriptor(path):
    first, second = ProjectLock(path), ProjectLock(path)
    first.acquire()
    shared = os.dup(first._fd)
    first.release()
    second.acquire()
    second.release()
    os.close(shared)


@pytest.mark.parametrize("child", ["none", pytest.param("fork", marks=needs_fork), "exec"])
def test_a_killed_holder_blocks_nobody_even_if_its_child_lives_on(path, child):
    process = start(HOLD, path, child)
    child_pid = int(process.stdout.readline())
    try:
        with pytest.raises(ProjectLocked) as raised:
            ProjectLock(path).acquire()
        assert raised.value.holder["pid"] == process.pid
        assert ProjectLock.holder(path)["pid"] == process.pid
        process.kill()
        process.wait()
        assert ProjectLock.holder(path) is None
        lock = ProjectLock(path)
        lock.acquire()
        lock.release()
        if child_pid:
            os.kill(child_pid, 0)  # it does live
    finally:
        process.kill()
        if child_pid:
            os.kill(child_pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_one_of_many_at_the_same_moment_gets_it(path, tmp_path):
    processes = [start(CONTEND, path, tmp_path / "go") for _ in range(5)]
    (tmp_path / "go").touch()
    answers = sorted(process.stdout.readline().strip() for process in processes)
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()
    assert answers == [b"held"] + 4 * [b"refused"]


def test_asking_who_holds_it_disturbs_nobody_who_takes_it(path):
    asking = start(
        "from kt_ext.core.lock import ProjectLock\nprint(flush=True)\nwhile True: ProjectLock.holder(sys.argv[1])", path
    )
    asking.stdout.readline()
    lock = ProjectLock(path)
    for _ in range(50):
        lock.acquire()
        lock.release()
    asking.kill()
    asking.wait()
    asking.stdout.close()


def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
    directory = tmp_path / "project"
    directory.mkdir()
    with read_only(directory), pytest.raises(StorageError, match=r"cannot lock .*search.lock"):
        ProjectLock(directory / "search.lock").acquire()
    with pytest.raises(StorageError, match="No such file"):
        ProjectLock(tmp_path / "absent" / "search.lock").acquire()
