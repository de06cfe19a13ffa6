"""The strategies that a tuner refuses, because Keras's own ``fit`` fails under them.

A test that fails here because it passed (XPASS) says that Keras has mended it: try searches under that strategy.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

ROOT = Path(__file__).parents[2]

WORKER = """
import numpy as np
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
"""

CHIEF_OF_SERVERS = """
import json, sys
import numpy as np
import tensorflow as tf
cluster = tf.train.ClusterSpec(json.loads(sys.argv[1]))
tasks = [(job, task) for job in cluster.jobs for task in range(cluster.num_tasks(job))]
servers = [tf.distribute.Server(cluster, job_name=job, task_index=task) for job, task in tasks]
resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(cluster, rpc_layer="grpc")
strategy = tf.distribute.ParameterServerStrategy(resolver)
"""

REFUSED_THEN_FITTED = """
import os
import sys
import keras
from kt_ext.training.distribution import make_strategy
try:
    make_strategy(lambda: strategy)
except ValueError as error:
    print("refused:", error)
with strategy.scope():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
try:
    model.fit(np.ones((16, 3), "float32"), np.ones((16, 1), "float32"), batch_size=8, verbose=0)
    print("fitted")
except ValueError as error:
    print("failed:", " ".join(str(error).split()))
sys.stdout.flush()
os._exit(0)  # servers and collective operations would wait for each other
"""


class FitFails(Exception):
    """Keras's fit failed for the reason that we know."""


def free_addresses(number: int) -> list[str]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(number)]
    addresses = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses


def run(code: str, scripts: list[tuple[list[str], dict[str, str]]]) -> list[str]:
    """What each process printed; they run side by side."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code + REFUSED_THEN_FITTED, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for arguments, environment in scripts
    ]
    try:
        outputs = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode == 0 for process in processes), outputs
    return [printed for printed, _ in outputs]


def check(printed: str, refused: str, failed: str) -> None:
    assert refused in printed
    if failed in printed:
        raise FitFails(printed)
    assert "fitted" in printed


@pytest.mark.xfail(raises=FitFails, strict=True, reason="Keras issue 20585")
def test_multi_worker_mirrored_strategy() -> None:
    workers = free_addresses(2)
    configs = [json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": n}}) for n in range(2)]
    for printed in run(WORKER, [([], {"TF_CONFIG": config}) for config in configs]):
        check(
            printed,
            refused="Keras 3 cannot fit under MultiWorkerMirroredStrategy ('PerReplica ... unsupported type', Keras ",
            failed="with an unsupported type (<class 'tensorflow.python.distribute.values.PerReplica'>) to a Tensor",
        )


@pytest.mark.xfail(raises=FitFails, strict=True, reason="Keras 3 makes no ClusterCoordinator")
def test_parameter_server_strategy() -> None:
    addresses = free_addresses(3)
    cluster = json.dumps({"worker": addresses[:2], "ps": addresses[2:]})
    (printed,) = run(CHIEF_OF_SERVERS, [([cluster], {})])
    check(
        printed,
        refused="Keras 3 cannot fit under ParameterServerStrategy (its datasets need a ClusterCoordinator",
        failed="you need to pass this dataset to ClusterCoordinator.create_per_worker_dataset",
    )
