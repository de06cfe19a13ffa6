"""Workers on real Ray clusters. ``test_ray_workers.py`` runs these tests where no other machine can reach Ray.

The functions that workers run are local ones, which travel as a user's own do. They import numpy and, but for the last
test, no Keras.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster

from execution.worker_targets import alive, die_once, family, hang_here, report, reports, until
from kt_ext.execution import credentials, ray_cluster, ray_payload
from kt_ext.execution.ray_actor import Surroundings
from kt_ext.execution.ray_workers import RayWorkers

ADDRESS = "10.9.8.7"  # of this machine, and not loopback: what other nodes would use


@pytest.fixture(autouse=True)
def no_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers take over the Keras settings of a process that has Keras; of one that has not, they start at once."""
    monkeypatch.delitem(sys.modules, "keras", raising=False)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A node with one core and one GPU, as far as Ray knows."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1, "node_ip_address": ADDRESS})
    yield made
    made.shutdown()


@pytest.fixture
def on_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    with ray_cluster.connected():
        yield cluster


class Chief:
    """What the workers' deaths look like to a chief which some have reached."""

    def __init__(self, *seen: str) -> None:
        self.reached = set(seen)
        self.deaths: list[tuple[str, str]] = []

    def seen(self, worker_id: str) -> bool:
        return worker_id in self.reached

    def on_death(self, worker_id: str, reason: str) -> None:
        self.deaths.append((worker_id, reason))


def workers_of(chief: Chief, stored: ray_payload.RayPayload, directory: Path, number: int = 1, **kwargs: Any) -> Any:
    environment = kwargs.pop("environment", {})
    return RayWorkers(
        stored, number, directory / "logs", environment, seen=chief.seen, on_death=chief.on_death, **kwargs
    )


def checked(workers: RayWorkers, condition: Callable[[], bool]) -> Callable[[], bool]:
    def check() -> bool:
        workers.check()
        return condition()

    return check


def all_finish(workers: RayWorkers) -> None:
    with workers:
        until(checked(workers, lambda: not workers.running))


def test_a_local_cluster_lasts_as_long_as_it_is_needed(tmp_path: Path) -> None:
    def target(directory: str) -> None:
        report(directory, environ=dict(os.environ), cwd=os.getcwd())
        print("printed")
        os.system("echo by a child")

    with ray_cluster.connected():
        with ray_cluster.connected():
            assert ray_cluster.address() == "127.0.0.1"
        assert ray.is_initialized()
        environment = {"KERASTUNER_ORACLE_IP": ray_cluster.address(), "MINE": "1"}
        stored = ray_payload.put(target, directory=str(tmp_path))
        all_finish(workers_of(Chief(), stored, tmp_path, environment=environment, num_cpus=2))
    assert not ray.is_initialized()
    facts = reports(tmp_path)[0]
    expected = {
        "KERASTUNER_TUNER_ID": "worker-0",
        "MINE": "1",
        "TF_NUM_INTRAOP_THREADS": "2",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    assert {name: facts["environ"].get(name) for name in expected} == expected
    assert facts["cwd"] == os.getcwd()
    assert (tmp_path / "logs" / "worker-0.log").read_text().splitlines() == ["printed", "by a child"]


def test_arrays_arrive_equal_read_only_and_mapped(tmp_path: Path, on_cluster: Cluster) -> None:
    def target(directory: str, x: Any, validation_data: Any, views: list[Any], small: Any) -> None:
        address = x.__array_interface__["data"][0]
        maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
        ranges = [([int(end, 16) for end in fields[0].split("-")], " ".join(fields[5:])) for fields in maps]
        report(
            directory,
            file=next(name for (start, end), name in ranges if start <= address < end),
            writeable=[array.flags.writeable for array in (x, *views)],
            same=validation_data[0] is x,
            equal=[bool((view == expected).all()) for view, expected in zip(views, arrays(), strict=True)],
            total=float(x.sum()),
            small=small.tolist(),
        )

    def arrays() -> list[np.ndarray]:
        numbers = np.arange(1 << 19, dtype="float64").reshape(1 << 9, 1 << 10)
        return [numbers.T, numbers[:, ::2], numbers.astype("datetime64[s]")]  # dates are copied

    x = np.ones(1 << 18)
    stored = ray_payload.put(
        target, directory=str(tmp_path), x=x, validation_data=(x,), views=arrays(), small=np.arange(3)
    )
    assert len(stored.arrays) == 4
    all_finish(workers_of(Chief(), stored, tmp_path, 2, num_cpus=0.5))
    facts = reports(tmp_path)
    assert len(facts) == 2
    assert facts[0] == facts[1]
    assert "plasma" in facts[0].pop("file")
    assert facts[0] == {
        "writeable": [False, False, False, True],
        "same": True,
        "equal": [True] * 3,
        "total": 2.0**18,
        "small": [0, 1, 2],
    }


def test_what_cannot_be_sent_is_named(on_cluster: Cluster) -> None:
    with pytest.raises(TypeError, match=r"^data, item 0: cannot be sent to a worker process.*; give data_fn="):
        ray_payload.put(print, data=[(number for number in range(3))])


def test_two_share_a_core_and_a_gpu(tmp_path: Path, on_cluster: Cluster) -> None:
    def target(directory: str) -> None:
        report(directory, gpu=os.environ["CUDA_VISIBLE_DEVICES"])
        time.sleep(600)

    stored = ray_payload.put(target, directory=str(tmp_path))
    with workers_of(Chief(), stored, tmp_path, 2, num_cpus=0.5, num_gpus=0.5) as workers:
        until(checked(workers, lambda: len(reports(tmp_path)) == 2))
        assert workers.running == ("worker-0", "worker-1")
    assert reports(tmp_path) == [{"gpu": "0"}] * 2


def test_those_for_whom_there_is_no_room_wait_for_it(
    tmp_path: Path, on_cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    stored = ray_payload.put(report, directory=str(tmp_path))
    all_finish(workers_of(Chief(), stored, tmp_path, 3))
    assert len(reports(tmp_path)) == 3
    assert "room for 1 of 3 workers with num_cpus=1, num_gpus=0; the others wait" in caplog.text


def test_a_worker_that_is_killed_is_started_anew(tmp_path: Path, on_cluster: Cluster) -> None:
    chief = Chief("worker-0")
    all_finish(workers_of(chief, ray_payload.put(die_once, directory=str(tmp_path)), tmp_path))
    assert chief.deaths == [("worker-0", "The actor is dead because its worker process has died")]
    assert len(reports(tmp_path)) == 2


def test_an_error_before_the_chief_is_reached_ends_the_search(tmp_path: Path, on_cluster: Cluster) -> None:
    class TooWrong(Exception):
        pass

    def target() -> None:
        raise TooWrong("much\ntoo wrong")

    chief = Chief()
    workers = workers_of(chief, ray_payload.put(target), tmp_path)
    with pytest.raises(RuntimeError) as error:
        all_finish(workers)
    assert [worker_id for worker_id, _ in chief.deaths] == ["worker-0"] * 3
    assert chief.deaths[0][1].endswith("TooWrong: much")
    assert "before it reached the chief, like 2 more before it. Its log, on its node, is " in str(error.value)
    assert 'in target\n    raise TooWrong("much' in str(error.value)  # a traceback
    assert (tmp_path / "logs" / "worker-0.log").read_text().count('raise TooWrong("much') == 3


def test_a_hung_worker_is_replaced_and_its_log_says_where_it_hung(tmp_path: Path, on_cluster: Cluster) -> None:
    chief = Chief("worker-0")
    with workers_of(chief, ray_payload.put(hang_here, directory=str(tmp_path)), tmp_path) as workers:
        until(checked(workers, lambda: len(reports(tmp_path)) == 1))
        workers.restart("worker-0")
        assert chief.deaths == []
        until(checked(workers, lambda: len(reports(tmp_path)) == 2))
        workers.check()
        assert chief.deaths == [("worker-0", "stopped because it made no progress")]
        hung, fresh = sorted((facts["pids"][0] for facts in reports(tmp_path)), key=alive)
        assert (alive(hung), alive(fresh)) == (False, True)
    assert "in hang_here" in (tmp_path / "logs" / "worker-0.log").read_text()
    until(lambda: not alive(fresh))


def test_a_restart_does_not_hit_the_successor(tmp_path: Path, on_cluster: Cluster) -> None:
    class Late(Chief):
        def on_death(self, worker_id: str, reason: str) -> None:
            super().on_death(worker_id, reason)
            workers.restart(worker_id)

    chief = Late("worker-0")
    with workers_of(chief, ray_payload.put(hang_here, directory=str(tmp_path)), tmp_path) as workers:
        until(checked(workers, lambda: len(reports(tmp_path)) == 1))
        os.kill(reports(tmp_path)[0]["pids"][0], signal.SIGKILL)
        until(checked(workers, lambda: len(reports(tmp_path)) == 2))
        workers.check()
    assert len(chief.deaths) == 1


def test_nothing_outlives_the_workers(tmp_path: Path, on_cluster: Cluster) -> None:
    with workers_of(Chief(), ray_payload.put(family, directory=str(tmp_path)), tmp_path) as workers:
        until(checked(workers, lambda: len(reports(tmp_path)) == 1))
    until(lambda: not any(map(alive, reports(tmp_path)[0]["pids"])))


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from execution import worker_targets
from kt_ext.execution import ray_cluster, ray_payload
from kt_ext.execution.ray_workers import RayWorkers

with ray_cluster.connected():
    stored = ray_payload.put(worker_targets.family, directory={directory!r})
    with RayWorkers(stored, 1, {directory!r}, {{}}, seen=lambda worker: True, on_death=print) as workers:
        while True:
            workers.check()
            time.sleep(0.01)
"""


def test_nothing_outlives_a_script_that_is_killed(tmp_path: Path, on_cluster: Cluster) -> None:
    tests = str(Path(__file__).parent.parent)
    script = subprocess.Popen([sys.executable, "-c", SCRIPT.format(tests=tests, directory=str(tmp_path))])
    until(lambda: len(reports(tmp_path)) == 1)
    script.kill()
    script.wait()
    until(lambda: not any(map(alive, reports(tmp_path)[0]["pids"])))


def test_the_worker_of_a_lost_node_starts_on_another(tmp_path: Path, on_cluster: Cluster) -> None:
    def target(directory: str) -> None:
        report(directory, node=ray.get_runtime_context().get_node_id())
        time.sleep(600)

    assert ray_cluster.address() == ADDRESS  # RAY_ADDRESS is set: others may come
    nodes = {node.node_id: node for node in (on_cluster.add_node(num_cpus=2) for _ in range(2))}
    assert ray_cluster.room(1, 0, None) == 5
    assert ray_cluster.room(1, 0, ray_cluster.node_id()) == 1
    assert ray_cluster.room(0.5, 0.25, None) == 2
    assert ray_cluster.room(0, 0, None) is None
    chief = Chief("worker-0")
    stored = ray_payload.put(target, directory=str(tmp_path))
    try:
        with workers_of(chief, stored, tmp_path, num_cpus=2) as workers:
            until(checked(workers, lambda: len(reports(tmp_path)) == 1))
            first = reports(tmp_path)[0]["node"]
            on_cluster.remove_node(nodes.pop(first), allow_graceful=False)
            seconds = until(checked(workers, lambda: len(chief.deaths) == 1))
            print(f"\nnode lost: known after {seconds:.2f} s: {chief.deaths[0][1]}")
            until(checked(workers, lambda: len(reports(tmp_path)) == 2))
            assert {facts["node"] for facts in reports(tmp_path)} == {first, *nodes}
            assert [worker_id for worker_id, _ in chief.deaths] == ["worker-0"]
    finally:
        for node in nodes.values():
            on_cluster.remove_node(node)


def test_workers_of_a_chief_on_loopback_stay_on_its_node(tmp_path: Path, on_cluster: Cluster) -> None:
    def target(directory: str) -> None:
        report(directory, node=ray.get_runtime_context().get_node_id())

    other = on_cluster.add_node(num_cpus=4)
    try:
        stored = ray_payload.put(target, directory=str(tmp_path))
        all_finish(workers_of(Chief(), stored, tmp_path, 3, environment={"KERASTUNER_ORACLE_IP": ray_cluster.LOOPBACK}))
    finally:
        on_cluster.remove_node(other)
    assert reports(tmp_path) == [{"node": ray_cluster.node_id()}] * 3


def test_a_worker_gets_its_part_of_the_credentials(tmp_path: Path, on_cluster: Cluster) -> None:
    def target(directory: str) -> None:
        own = credentials.from_environment()
        assert own is not None
        report(directory, files=sorted(os.listdir(own.directory)), where=own.directory, ca=own.ca.decode())

    full = credentials.create(tmp_path / "credentials")
    stored = ray_payload.put(target, directory=str(tmp_path))
    all_finish(workers_of(Chief(), stored, tmp_path, credentials=full))
    facts = reports(tmp_path)[0]
    assert facts["files"] == ["ca.pem", "token"]
    assert facts["ca"] == full.ca.decode()
    assert not os.path.exists(facts["where"])
    assert full.token not in repr(Surroundings(tmp_path, "", (), (full.ca, full.token)))


def test_a_search_whose_worker_is_killed(tmp_path: Path, on_cluster: Cluster) -> None:
    """With a real chief, at an address that needs credentials."""
    from kt_ext.execution import Chief as RealChief
    from kt_ext.execution import ChiefClient
    from oracles.oracle_driving import asha, journal

    def target(directory: str) -> None:
        from oracles.oracle_driving import Workers, by_values

        def curve(trial: Any, epoch: int) -> dict[str, float]:
            if int(trial.trial_id) == 3 and epoch == 1 and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return by_values(trial, epoch)

        marker = Path(directory, "killed")
        client = ChiefClient(asha())
        driven = Workers(client, curve)
        driven._turns = [(client.tuner_id, driven._work(client.tuner_id))]
        driven.run()
        client.close()

    full = credentials.create(tmp_path / "credentials")
    oracle = asha(tmp_path)
    with RealChief(oracle, ray_cluster.address(), credentials=full) as chief:
        environment = {"KERASTUNER_ORACLE_IP": ray_cluster.address(), "KERASTUNER_ORACLE_PORT": str(chief.port)}
        workers = RayWorkers(
            ray_payload.put(target, directory=str(tmp_path)),
            2,
            tmp_path / "logs",
            environment,
            num_cpus=0.5,
            credentials=full,
            seen=chief.seen,
            on_death=chief.lost,
        )
        with workers:
            chief.wait(workers.check)
    oracle.finish()
    assert (tmp_path / "killed").exists()
    assert oracle.stop_reason == "all 9 trials are done (max_trials=9)"
    told = [(event["trial"], event["epoch"]) for event in journal(tmp_path / "project") if event["e"] == "tell"]
    assert len(told) == len(set(told)) == oracle.search.history.total_epochs
