"""Tests on two virtual CPU devices: they must be made before the backend starts, so the tests run in another process.

The files ``on_two_devices_*.py`` hold such tests. ``run_tests`` runs one of them; they import ``STRATEGY``, ``copies``
and ``distributed`` from here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np

ROOT = Path(__file__).parents[1]
BACKEND = keras.backend.backend()
#: On TensorFlow a MirroredStrategy; on JAX None: there a keras.distribution.DataParallel holds for the whole process.
STRATEGY: Any = None

if os.environ.get("KT_EXT_TWO_DEVICES") and BACKEND == "tensorflow":
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    STRATEGY = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
elif os.environ.get("KT_EXT_TWO_DEVICES"):
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"]))


def run_tests(file: Path) -> None:
    """Run the tests of a file on two devices; its output is the message where one fails."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        cwd=ROOT,
        env={
            **os.environ,
            "KT_EXT_TWO_DEVICES": "1",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
            "JAX_PLATFORMS": "cpu",
            "CUDA_VISIBLE_DEVICES": "-1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def distributed() -> AbstractContextManager:
    """Where models are built that train on both devices."""
    return nullcontext() if STRATEGY is None else STRATEGY.scope()


def copies(variable: keras.Variable) -> list[np.ndarray]:
    """The value that each device has of a variable."""
    if BACKEND == "tensorflow":
        return [one.numpy() for one in STRATEGY.experimental_local_results(variable.value)]
    return [np.asarray(shard.data) for shard in variable.value.addressable_shards]
