"""The environment variables of a worker process: who it is, its GPUs, its share of the cores, its Keras backend."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

# Where the user has set one, in the environment of the script, it stays.
_DEFAULTS = {
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # else the first of two workers on a GPU takes all its memory
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # the same for JAX
    "PYTHONUNBUFFERED": "1",  # else what a killed worker printed last is lost
}
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def worker_environment(
    worker_id: str, gpus: Sequence[str], workers: int, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The whole environment for one of ``workers`` worker processes.

    Args:
        worker_id: becomes KERASTUNER_TUNER_ID.
        gpus: what CUDA_VISIBLE_DEVICES names; none hides all GPUs.
        workers: how many share this machine's cores.
        extra: further variables, e.g. KERASTUNER_ORACLE_IP; they overrule all others.
    """
    threads = str(max(1, _cores() // workers))
    environment = {**_DEFAULTS, **dict.fromkeys(_THREADS, threads), **os.environ}
    # -1, and not nothing: some tools take an empty variable for one that is not set.
    environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus) or "-1"
    environment["KERASTUNER_TUNER_ID"] = worker_id
    if "keras" in sys.modules:
        # The script may have chosen it without the environment, as keras.json or keras.config do.
        environment["KERAS_BACKEND"] = sys.modules["keras"].backend.backend()
    return {**environment, **(extra or {})}


def _cores() -> int:
    """The cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
