"""A search whose trials run in other processes: this one decides, shows the progress and has the results."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_ext.execution import Chief, payload
from kt_ext.execution.credentials import CREDENTIALS, create, from_environment
from kt_ext.execution.gpus import slots, visible_gpus
from kt_ext.execution.launch import Workers
from kt_ext.tuners.placement import LAUNCHED, Placement

if TYPE_CHECKING:
    from kt_ext.tuners.base import SegmentTuner

LOOPBACK = "127.0.0.1"
_GOODBYE_SECONDS = 30.0  # for what workers do when the search is over
_POSITIONS = ("x", "y", "batch_size")  # of keras.Model.fit, as its users know them


@dataclass(frozen=True)
class Call:
    """A call of which the arguments are kept apart: under which name is what."""

    positional: tuple[str, ...]
    named: Mapping[str, str]

    @classmethod
    def split(cls, args: Sequence[Any], kwargs: Mapping[str, Any], names: Sequence[str], into: dict[str, Any]) -> Call:
        """Put the arguments ``into`` a dictionary, under the names that the user knows and no other call uses."""

        def put(name: str, value: Any) -> str:
            while name in into:
                name += "_"
            into[name] = value
            return name

        positional = tuple(put(names[i] if i < len(names) else f"argument_{i}", value) for i, value in enumerate(args))
        return cls(positional, {name: put(name, value) for name, value in kwargs.items()})

    def make(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Make the call with what ``split`` put aside."""
        return function(
            *(arguments[name] for name in self.positional),
            **{name: arguments[where] for name, where in self.named.items()},
        )


def work(tuner_class: type[SegmentTuner], construct: Call, search: Call, **arguments: Any) -> None:
    """What a worker process does: make the tuner again, and search until the chief has no more trials."""
    from kt_ext.tuners.base import SegmentTuner

    tuner = construct.make(tuner_class, arguments)
    # Not a subclass's own, which has seen these arguments in the parent.
    search.make(functools.partial(SegmentTuner.search, tuner), arguments)


def search_in_processes(tuner: SegmentTuner, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]) -> None:
    """Search with worker processes of this machine; ends when the search does.

    Args:
        tuner: one that was made by its class's constructor; the workers make theirs from the same arguments.
        fit_args, fit_kwargs: what the workers' ``search`` gets.

    Raises:
        TypeError: something cannot be sent to another process; says what, and what to give instead.
        RuntimeError: workers die before they come to training; with the end of the log of the last.
        OSError: no process can be started.
    """
    gpus = visible_gpus()
    wanted = tuner.placement.workers
    if wanted is None:
        if not gpus:
            raise ValueError(
                "workers=None: there is no GPU to count them by (see nvidia-smi and CUDA_VISIBLE_DEVICES); say how "
                "many processes are to train at once, e.g. workers=2"
            )
        wanted = "gpus"
    places = slots(wanted, tuner.placement.gpus_per_worker, gpus)
    with (
        _written(tuner, fit_args, fit_kwargs) as path,
        _chief(tuner, LOOPBACK, adopt_running=False) as chief,  # the workers of an earlier one ended with it
    ):
        workers = Workers(
            path, places, _logs(tuner), _environment(LOOPBACK, chief), seen=chief.seen, on_death=chief.lost
        )
        chief.on_hung = workers.restart
        with workers:
            chief.wait(workers.check)
            workers.wait(_GOODBYE_SECONDS)


@contextmanager
def _written(tuner: SegmentTuner, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]) -> Iterator[Path]:
    with ExitStack() as stack:
        try:
            path = stack.enter_context(payload.written(work, **_call(tuner, fit_args, fit_kwargs)))
        except TypeError as error:
            if tuner.placement.executor != "auto" or tuner.placement.workers is not None:
                raise
            raise TypeError(
                f"{error}. Several GPUs are visible, so executor='auto' means 'process' here; executor='serial' trains "
                "in this process"
            ) from error
        yield path


def search_on_ray(tuner: SegmentTuner, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]) -> None:
    """Search with actors of a Ray cluster; ends when the search does.

    Args, raises: as ``search_in_processes``; ConnectionError where there is no cluster at RAY_ADDRESS, and ImportError
        where Ray is not installed.
    """
    from kt_ext.execution import ray_cluster, ray_payload
    from kt_ext.execution.ray_workers import RayWorkers

    with ray_cluster.connected(), ExitStack() as stack:
        number, gpus = _ray_workers(tuner.placement, ray_cluster.room)
        host, credentials = ray_cluster.address(), None
        if host != LOOPBACK:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="kt_ext-"))
            credentials = create(Path(directory, "credentials"), hosts=(host,))
        call = ray_payload.put(work, **_call(tuner, fit_args, fit_kwargs))
        chief = stack.enter_context(_chief(tuner, host, credentials=credentials, adopt_running=False))
        workers = RayWorkers(
            call,
            number,
            _logs(tuner),
            _environment(host, chief),
            num_gpus=gpus,
            credentials=credentials,
            seen=chief.seen,
            on_death=chief.lost,
        )
        chief.on_hung = workers.restart
        with workers:
            chief.wait(workers.check)
            workers.wait(_GOODBYE_SECONDS)


def _ray_workers(placement: Placement, room: Callable[[float, float, str | None], int | None]) -> tuple[int, float]:
    """How many workers, and the GPUs of each."""
    gpus, wanted = placement.gpus_per_worker, placement.workers
    if isinstance(wanted, int):
        return wanted, (float(bool(room(0.0, 1.0, None))) if gpus is None else gpus)
    gpus = 1.0 if gpus is None else gpus
    number = room(1.0, gpus, None) if gpus else 0
    if not number:
        raise ValueError(
            f"workers={wanted!r}: the Ray cluster has no GPU to count them by (see ray.cluster_resources()); say how "
            "many are to train at once, e.g. workers=2"
        )
    return number, gpus


def _call(tuner: SegmentTuner, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``work``."""
    arguments: dict[str, Any] = {}
    made_with_args, made_with_kwargs = tuner.made_with
    kwargs = {name: value for name, value in made_with_kwargs.items() if name != "overwrite"}
    construct = Call.split(made_with_args, kwargs, ("hypermodel", "objective"), arguments)
    search = Call.split(fit_args, fit_kwargs, _POSITIONS, arguments)
    return {"tuner_class": type(tuner), "construct": construct, "search": search, **arguments}


def _environment(host: str, chief: Chief) -> dict[str, str]:
    environment = {"KERASTUNER_ORACLE_IP": host, "KERASTUNER_ORACLE_PORT": str(chief.port), LAUNCHED: "1"}
    if host == LOOPBACK:
        environment[CREDENTIALS] = ""  # those of another chief, perhaps
    return environment


def _logs(tuner: SegmentTuner) -> Path:
    return Path(tuner.project_dir, "workers")


def _chief(tuner: SegmentTuner, host: str, port: int = 0, **more: Any) -> Chief:
    """One with the tuner's settings."""
    placement = tuner.placement
    return Chief(
        tuner._own_oracle,
        host,
        port,
        lease_seconds=placement.lease_seconds,
        heartbeat_seconds=placement.heartbeat_seconds,
        trial_timeout=placement.trial_timeout,
        **more,
    )


def serve(tuner: SegmentTuner) -> None:
    """Lead the search at the address in KERASTUNER_ORACLE_IP and _PORT, until it is over and all workers have left.

    Raises:
        ValueError: the port is not a number, or the address needs credentials.
        OSError: the address cannot be served.
    """
    host, port = os.environ["KERASTUNER_ORACLE_IP"], os.environ["KERASTUNER_ORACLE_PORT"]
    if not port.isdecimal():
        raise ValueError(f"KERASTUNER_ORACLE_PORT={port!r}: must be a port number, the same for chief and workers")
    with _chief(tuner, host, int(port), credentials=from_environment()) as chief:
        chief.wait()


def made(
    data_fn: Callable[[], Mapping[str, Any]] | None, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The arguments of ``fit`` that ``data_fn`` makes, in the process that trains; none without it.

    Raises:
        TypeError: it is no function, or does not return a dictionary.
        ValueError: an argument is given otherwise, too.
    """
    if data_fn is None:
        return {}
    if not callable(data_fn):
        raise TypeError(f"data_fn={data_fn!r}: must be a function without arguments that returns a dictionary")
    arguments = data_fn()
    if not isinstance(arguments, Mapping):
        raise TypeError(
            f"data_fn={data_fn!r} returned {type(arguments).__name__}: must be a dictionary of arguments of fit, e.g. "
            '{"x": dataset, "validation_data": other}'
        )
    twice = sorted({*_POSITIONS[: len(fit_args)], *fit_kwargs} & arguments.keys())
    if twice:
        raise ValueError(
            f"data_fn={data_fn!r} returned {', '.join(twice)}, which search was given, too: give each once"
        )
    return arguments


def check_strategy(distribution_strategy: Any) -> None:
    """Raises TypeError for a strategy that worker processes cannot be given."""
    if distribution_strategy is not None and not callable(distribution_strategy):
        raise TypeError(
            f"distribution_strategy={distribution_strategy!r}: a strategy cannot be sent to worker processes; give a "
            "function that makes it there, e.g. distribution_strategy=lambda: tf.distribute.MirroredStrategy()"
        )
