"""Workers on a Ray cluster: started where there is room, anew when they or their nodes die, and gone at the end."""

from __future__ import annotations

import logging
import math
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from kt_ext.core.durable import FilePath
from kt_ext.execution import ray_cluster
from kt_ext.execution.credentials import CREDENTIALS, Credentials
from kt_ext.execution.environment import worker_environment
from kt_ext.execution.failed_starts import MOST, FailedStarts
from kt_ext.execution.ray_actor import RayWorker, Surroundings
from kt_ext.execution.ray_cluster import ray
from kt_ext.execution.ray_payload import RayPayload

_log = logging.getLogger("kt_ext")
_GRACE_SECONDS = 1.0  # for a hung worker to say where it hangs
_DEAD_SECONDS = 5.0  # for killed actors to be gone
# Of the script's environment; all else is that of the node.
_TRAVELS = ("KERAS", "KT_EXT_", "TF_", "XLA_", "JAX_", "PYTHONUNBUFFERED")


class RayWorkers:
    """Workers ``worker-0``, ``worker-1``, ..., each a Ray actor; a context manager that starts and stops them.

    It knows nothing of trials or of the chief: it calls ``on_death`` and asks ``seen``, both from within ``check``. Ray
    must be connected, see ``ray_cluster.connected``, and kt_ext be installed on all nodes. Workers for whom there is no
    room wait for it. They may run on any node, unless the environment's KERASTUNER_ORACLE_IP is 127.0.0.1.

    Args:
        payload: what they run, see ``ray_payload.put``.
        number: how many.
        logs: the directory of their logs, ``<worker_id>.log``, on their nodes; made if missing.
        environment: further environment variables, e.g. where the chief is.
        num_cpus: the cores of each, >= 0; it also gets as many threads, at least one.
        num_gpus: the GPUs of each: 0 hides them, a fraction lets several share one, from 1 on it is a whole number.
        credentials: of the chief; the workers get what they need of them.
        seen: whether the worker of this id has reached the chief since ``on_death`` was last called for it.
        on_death: called with the worker's id and the reason, in words, before another is started in its place.

    Raises:
        ValueError: ``number``, ``num_cpus`` or ``num_gpus`` is not as said.
    """

    def __init__(
        self,
        payload: RayPayload,
        number: int,
        logs: FilePath,
        environment: Mapping[str, str],
        *,
        num_cpus: float = 1.0,
        num_gpus: float = 0.0,
        credentials: Credentials | None = None,
        seen: Callable[[str], bool],
        on_death: Callable[[str, str], None],
    ) -> None:
        if type(number) is not int or number < 1:
            raise ValueError(f"number={number!r}: must be an integer >= 1, the number of workers")
        if not 0 <= num_cpus < math.inf:
            raise ValueError(f"num_cpus={num_cpus!r}: must be a number >= 0, e.g. 1, or 0.5 for two on a core")
        if not (0 <= num_gpus < 1 or (num_gpus < math.inf and num_gpus % 1 == 0)):
            raise ValueError(
                f"num_gpus={num_gpus!r}: must be 0, an integer >= 1, or a fraction below 1 such as 0.5, which lets two "
                "workers share a GPU"
            )
        self._payload = payload
        self._logs = Path(logs).absolute()
        self._environment = dict(environment)
        self._resources = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        self._node = ray_cluster.node_id() if environment.get("KERASTUNER_ORACLE_IP") == ray_cluster.LOOPBACK else None
        self._credentials = None if credentials is None else (credentials.ca, credentials.token)
        self._on_death = on_death
        self._failed_starts = FailedStarts(seen)
        self._directory, self._path = os.getcwd(), tuple(map(os.path.abspath, sys.path))
        self._ids = tuple(f"worker-{place}" for place in range(number))
        self._started: dict[str, tuple[Any, ray.ObjectRef]] = {}  # by worker id: the actor, and what its run returns
        self._hung: dict[str, ray.ObjectRef] = {}  # by worker id: which run is meant

    @property
    def running(self) -> tuple[str, ...]:
        """The ids of the workers that were started, be it that they wait for room, and have not finished."""
        return tuple(worker_id for worker_id in self._ids if worker_id in self._started)

    def start(self) -> None:
        """Have Ray start all workers, as soon as it has room for them; warns if it has not."""
        room = ray_cluster.room(**self._resources, node=self._node)
        if room is not None and room < len(self._ids):
            _log.warning(
                "the Ray cluster has room for %d of %d workers with num_cpus=%g, num_gpus=%g%s; the others wait for it",
                room,
                len(self._ids),
                *self._resources.values(),
                " on this node" if self._node else "",
            )
        for worker_id in self._ids:
            self._start(worker_id)

    def check(self) -> None:
        """Look at each worker, and start another where one has died or was to be restarted. To be called often.

        A worker whose call returns has finished: nothing is called and none is started in its place.

        Raises:
            RuntimeError: workers die before they reach the chief, three times in one place, or three times in all while
                none has ever reached it; with what Ray says of the last one, a traceback if there is one.
        """
        for worker_id in self.running:
            actor, end = self._started[worker_id]
            hung = self._hung.pop(worker_id, None) == end
            if ray.wait([end], timeout=0)[0]:
                try:
                    ray.get(end)
                except ray.exceptions.RayError as error:
                    # An actor that is not available may be alive.
                    ray.kill(actor)
                    self._replace(worker_id, _reason(error), str(error))
                else:
                    del self._started[worker_id]  # the last reference to its actor, which ends by that
            elif hung:
                ray.wait([actor.write_stacks.remote()], timeout=_GRACE_SECONDS)
                ray.kill(actor)
                self._replace(worker_id, "stopped because it made no progress", "see its log for where it hung")

    def wait(self, seconds: float) -> None:
        """Let the workers end by themselves, which have no more to do; returns after ``seconds`` at the latest."""
        ends = [end for _, end in self._started.values()]
        if ends:
            ray.wait(ends, num_returns=len(ends), timeout=seconds)

    def restart(self, worker_id: str) -> None:
        """Have the next ``check`` end this worker, which hangs, and start another; may be called from any thread."""
        if (started := self._started.get(worker_id)) is not None:
            self._hung[worker_id] = started[1]

    def stop(self) -> None:
        """End all workers at once."""
        started, self._started = list(self._started.values()), {}
        if not started or not ray.is_initialized():  # else Ray would start anew, for nothing
            return
        for actor, _ in started:
            ray.kill(actor)
        _, alive = ray.wait([end for _, end in started], num_returns=len(started), timeout=_DEAD_SECONDS)
        if alive:
            _log.warning("%d Ray workers have not ended within %g s", len(alive), _DEAD_SECONDS)

    def __enter__(self) -> RayWorkers:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, worker_id: str) -> None:
        actor_class = ray.remote(RayWorker).options(
            **self._resources,
            max_restarts=0,
            max_concurrency=2,
            runtime_env={"env_vars": self._variables(worker_id)},
            scheduling_strategy=self._placement(),
        )
        actor: Any = actor_class.remote()
        surroundings = Surroundings(
            self._logs / f"{worker_id}.log", self._directory, self._path, credentials=self._credentials
        )
        self._started[worker_id] = (actor, actor.run.remote(self._payload, surroundings))

    def _placement(self) -> Any:
        if self._node is None:
            return "DEFAULT"
        return ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(self._node, soft=False)

    def _variables(self, worker_id: str) -> dict[str, str]:
        """What is in the environment of a worker's process from its start on, beside what its node has in it."""
        whole = worker_environment(worker_id, (), 1, self._environment)
        variables = {name: value for name, value in whole.items() if name.startswith(_TRAVELS)}
        # A directory of this node: the workers write what they need of it to one of theirs.
        variables.pop(CREDENTIALS, None)
        for name in whole:
            if name.endswith("_THREADS") and name not in os.environ:
                variables[name] = str(max(1, int(self._resources["num_cpus"])))
        if not self._resources["num_gpus"]:
            variables["CUDA_VISIBLE_DEVICES"] = whole["CUDA_VISIBLE_DEVICES"]  # else Ray sets it
        return {**variables, **self._environment}

    def _replace(self, worker_id: str, reason: str, details: str) -> None:
        """Report that a worker is gone and start another, unless that is hopeless."""
        log = self._logs / f"{worker_id}.log"
        failed = self._failed_starts.died(worker_id, self.running)
        self._on_death(worker_id, reason)
        if failed >= MOST:
            raise RuntimeError(
                f"{worker_id}: {reason}, before it reached the chief, like {failed - 1} more before it. "
                f"Its log, on its node, is {log}. Ray says:\n{details}"
            )
        _log.warning("%s: %s; starting another in its place. Its log, on its node: %s", worker_id, reason, log)
        self._start(worker_id)


def _reason(error: ray.exceptions.RayError) -> str:
    """Why a worker is gone, in one line."""
    if isinstance(error, ray.exceptions.RayTaskError):
        return traceback.format_exception_only(error.cause)[-1].splitlines()[0]
    if isinstance(error, ray.exceptions.ActorUnavailableError):
        return "its Ray actor cannot be reached; its node may be lost"
    lines = str(error).splitlines() or [type(error).__name__]
    # Ray's last line is why an actor died, the others are its ids; its first sentence says it.
    line = lines[-1] if isinstance(error, ray.exceptions.RayActorError) else lines[0]
    return line.partition(". ")[0]
