"""Which GPUs there are, and which of them each worker process gets."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Sequence

_log = logging.getLogger("kt_ext")
_QUERY_SECONDS = 30.0  # without the persistence daemon the driver may take 10 s and more to wake


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: indices, UUIDs or MIG ids.

    Neither TensorFlow nor JAX is initialised, which would take memory on each of them. Without CUDA_VISIBLE_DEVICES the
    ``nvidia-smi`` on PATH is asked; where there is none, or it fails, there are no GPUs.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return _until_invalid(named.split(","))
    query = shutil.which("nvidia-smi")
    if query is None:
        return []
    command = [query, "--query-gpu=index", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_QUERY_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("%s: %s. No GPU is used; set CUDA_VISIBLE_DEVICES to name them", " ".join(command), error)
        return []
    return answer.stdout.split()


def _until_invalid(names: Sequence[str]) -> list[str]:
    """The names before the first that is empty or negative: CUDA ignores it and all after it."""
    valid: list[str] = []
    for name in (name.strip() for name in names):
        if not name or name.startswith("-"):
            break
        valid.append(name)
    return valid


def slots(workers: int | str, gpus_per_worker: float | None, gpus: Sequence[str]) -> list[tuple[str, ...]]:
    """The GPUs of each worker.

    Args:
        workers: how many, >= 1; ``"gpus"`` for as many as the GPUs have room for.
        gpus_per_worker: an integer n >= 1 gives each worker n GPUs of its own; a fraction f < 1 lets ``floor(1 / f)``
            workers share each GPU, spread evenly; 0 hides the GPUs. None is 1 where there are GPUs, else 0.
        gpus: what ``visible_gpus`` found.

    Returns:
        One tuple per worker. GPUs may stay idle, e.g. one of three at two per worker.

    Raises:
        ValueError: an argument is none of these, or there are fewer GPUs than asked for.
    """
    if isinstance(workers, bool) or (workers != "gpus" and not (isinstance(workers, int) and workers >= 1)):
        raise ValueError(f"workers={workers!r}: must be an integer >= 1, or 'gpus' for one per GPU")
    if gpus_per_worker is None:
        gpus_per_worker = 1 if gpus else 0
    if not isinstance(gpus_per_worker, int | float) or not (
        0 <= gpus_per_worker < 1 or (gpus_per_worker >= 1 and gpus_per_worker % 1 == 0)
    ):
        raise ValueError(
            f"gpus_per_worker={gpus_per_worker!r}: must be 0, an integer >= 1, or a fraction below 1 "
            "such as 0.5, which lets two workers share a GPU"
        )
    if workers == "gpus" and not (gpus and gpus_per_worker):
        found = "gpus_per_worker=0 hides the GPUs" if gpus else "no GPU is visible"
        raise ValueError(
            f"workers='gpus': {found}; give workers= as a number, or see what nvidia-smi and CUDA_VISIBLE_DEVICES say"
        )
    if not gpus_per_worker:
        return [()] * int(workers)
    room: list[tuple[str, ...]]
    if gpus_per_worker >= 1:
        size = int(gpus_per_worker)
        room = [tuple(gpus[start : start + size]) for start in range(0, len(gpus) - size + 1, size)]
    else:
        sharing = int(1 / gpus_per_worker + 1e-9)  # 1 / (1 / 49) is a little less than 49
        room = [(gpu,) for _ in range(sharing) for gpu in gpus]
    wanted = len(room) if workers == "gpus" else int(workers)
    if wanted > len(room) or not room:
        remedy = "give a smaller gpus_per_worker="
        if room:
            remedy = f"give workers={len(room)}, or a smaller gpus_per_worker="
        raise ValueError(
            f"workers={workers!r}, gpus_per_worker={gpus_per_worker!r}: the {len(gpus)} visible GPUs have room for "
            f"{len(room)} workers; {remedy} (0.5 lets two share a GPU, 0 uses none)"
        )
    return room[:wanted]
