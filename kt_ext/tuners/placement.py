"""Where a tuner's trials run: in this process, in processes of their own, or on a cluster."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal

EXECUTORS = ("auto", "serial", "process", "grpc", "ray", "slurm")
CHIEF_VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
LAUNCHED = "KT_EXT_LAUNCHED"  # set in the workers that an executor of ours has started


@dataclass(frozen=True)
class Placement:
    """What a user says of where trials run; the arguments are those of the tuners.

    Raises ValueError or TypeError if one is wrong.
    """

    executor: str = "auto"
    workers: int | Literal["gpus"] | None = None
    gpus_per_worker: float | None = None
    lease_seconds: float = 30.0
    heartbeat_seconds: float = 5.0
    trial_timeout: float | None = None

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise ValueError(f"executor={self.executor!r}: must be one of {', '.join(map(repr, EXECUTORS))}")
        if self.workers not in (None, "gpus") and (
            isinstance(self.workers, bool) or not isinstance(self.workers, int) or self.workers < 1
        ):
            raise ValueError(f"workers={self.workers!r}: must be an integer >= 1, or 'gpus' for one on each GPU")
        if self.gpus_per_worker is not None and not _is_number(self.gpus_per_worker, least=0.0):
            raise ValueError(
                f"gpus_per_worker={self.gpus_per_worker!r}: must be a number >= 0: 1, 2, ..., a share such as 0.5, or "
                "0 for none"
            )
        for name in ("lease_seconds", "heartbeat_seconds", "trial_timeout"):
            value = getattr(self, name)
            if value is None and name == "trial_timeout":
                continue
            if not _is_number(value, least=0.0) or value == 0:
                raise ValueError(f"{name}={value!r}: must be a number of seconds > 0")
        if self.heartbeat_seconds > self.lease_seconds / 2:
            raise ValueError(
                f"heartbeat_seconds={self.heartbeat_seconds!r}: must be at most half of "
                f"lease_seconds={self.lease_seconds!r}, so that one lost heartbeat does not cost a worker its trial"
            )
        if self.executor == "serial" and self.trial_timeout is not None:
            raise ValueError(
                f"executor='serial', trial_timeout={self.trial_timeout!r}: a process cannot stop its own trial when it "
                "hangs; use executor='process', workers=1"
            )
        if self.executor in ("grpc", "slurm") and (self.workers is not None or self.gpus_per_worker is not None):
            raise ValueError(
                f"executor={self.executor!r}, workers={self.workers!r}, gpus_per_worker={self.gpus_per_worker!r}: as "
                "many train as are started, each with the GPUs that it sees; give both where they are started, e.g. "
                "python -m kt_ext slurm script.py --workers 8 --gpus-per-worker 1"
            )
        if self.executor == "serial" and (self.workers not in (None, 1) or self.gpus_per_worker is not None):
            raise ValueError(
                f"executor='serial', workers={self.workers!r}, gpus_per_worker={self.gpus_per_worker!r}: all trials "
                "run in this process; use executor='process' for workers"
            )

    def chosen(
        self, environment: Mapping[str, str], gpus: Callable[[], Sequence[str]], has_strategy: bool = False
    ) -> str:
        """The executor that ``"auto"`` means here, or the one that was named.

        ``"auto"`` is the cluster's own where this process belongs to one (Keras Tuner's variables, a Slurm step of
        several tasks, a Ray address); ``"process"`` where workers or several GPUs are there; else ``"serial"``.

        Args:
            environment: as ``os.environ``.
            gpus: tells the GPUs of this machine; asked only if that matters.
            has_strategy: whether each model is to use all GPUs, so that several of them do not mean several workers.

        Raises:
            ValueError: Keras Tuner's variables say something else than ``executor``.
        """
        in_cluster = "KERASTUNER_ORACLE_IP" in environment
        if in_cluster and (LAUNCHED in environment or self.executor in ("auto", "grpc", "slurm")):
            return "grpc"
        if in_cluster:
            raise ValueError(
                f"executor={self.executor!r}: KERASTUNER_ORACLE_IP={environment['KERASTUNER_ORACLE_IP']!r} makes this "
                "process a chief or a worker of a cluster; use executor='auto', or unset the KERASTUNER_ variables"
            )
        if self.executor == "grpc":
            raise ValueError(
                f"executor='grpc': set {', '.join(CHIEF_VARIABLES)} in the chief (whose id contains 'chief') and in "
                "each worker, as Keras Tuner's guide to distributed tuning says; or use executor='process'"
            )
        if self.executor != "auto":
            return self.executor
        if int(environment.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in environment:
            return "slurm"
        if environment.get("RAY_ADDRESS"):
            return "ray"
        if self.workers is not None or self.gpus_per_worker is not None:
            return "process"
        if not has_strategy and len(gpus()) > 1:
            return "process"
        return "serial"


def _is_number(value: object, least: float) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value) and float(value) >= least
