"""Workers on Ray: ``ray_cases.py`` in a network of its own, for Ray listens on all addresses; and what needs no Ray."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).with_name("ray_cases.py")
ROOT = CASES.parent.parent.parent
# As root, and as a user who may have a namespace of users, too.
WAYS = (["unshare", "--net"], ["unshare", "--net", "--map-root-user"])
# The second address is what other machines would use.
PREPARE = "ip link set lo up && ip address add 10.9.8.7/32 dev lo"


def own_network() -> list[str]:
    """The command that runs another one without any network but its own; skips where there is none."""
    for command in ("unshare", "ip"):
        if shutil.which(command) is None:
            pytest.skip(f"Ray needs a network of its own: there is no command {command} (Linux: util-linux, iproute2)")
    said = ""
    for way in WAYS:
        tried = subprocess.run([*way, "sh", "-c", PREPARE], capture_output=True, text=True)
        if tried.returncode == 0:
            return [*way, "sh", "-c", f'{PREPARE} && exec "$@"', "sh"]
        said = tried.stderr.strip()
    pytest.skip(f"Ray needs a network of its own, which is not permitted here: {said}")


@pytest.mark.ray
@pytest.mark.slow
def test_the_cases_in_a_network_of_their_own() -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip('Ray is not installed; run: pip install "kt_ext[ray]"')
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    # Else Ray gives its workers so low a priority that they wait for all else that this machine does.
    environment = {**os.environ, "RAY_worker_niceness": "0", "PYTHONPATH": str(ROOT)}
    for name in ("RAY_ADDRESS", "CUDA_VISIBLE_DEVICES"):  # the cases say which GPUs there are
        environment.pop(name, None)
    done = subprocess.run([*own_network(), *tests], env=environment, cwd=ROOT, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]


def test_without_ray_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "kt_ext.execution.ray_cluster", raising=False)
    with pytest.raises(ImportError, match=r'executor="ray" needs Ray .*Run: pip install "kt_ext\[ray\]"'):
        importlib.import_module("kt_ext.execution.ray_cluster")


@pytest.mark.ray
def test_ray_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from kt_ext.execution import ray_cluster

    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ValueError, match=r"RAY_ADDRESS='ray://head:10001': .*ray job submit"), ray_cluster.connected():
        pass


@pytest.mark.ray
@pytest.mark.parametrize(
    ("number", "resources", "complaint"),
    [
        (0, {}, "number=0: must be an integer >= 1"),
        (True, {}, "number=True: must be an integer >= 1"),
        (1, {"num_cpus": -1}, "num_cpus=-1: must be a number >= 0"),
        (1, {"num_gpus": 1.5}, "num_gpus=1.5: must be 0, an integer >= 1, or a fraction below 1"),
        (1, {"num_gpus": float("nan")}, "num_gpus=nan: must be 0, an integer >= 1, or a fraction below 1"),
    ],
)
def test_wrong_arguments(number: Any, resources: dict[str, float], complaint: str) -> None:
    pytest.importorskip("ray")
    from kt_ext.execution.ray_workers import RayWorkers

    with pytest.raises(ValueError, match=complaint):
        RayWorkers(None, number, "logs", {}, seen=bool, on_death=print, **resources)  # type: ignore[arg-type]
