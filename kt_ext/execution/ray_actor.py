"""What runs on a Ray node: the call of a payload, in a process of its own, with its output in a log file."""

from __future__ import annotations

import faulthandler
import os
import sys
import tempfile
import traceback
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from kt_ext.execution import credentials, ray_payload


@dataclass(frozen=True)
class Surroundings:
    """What a worker has in common with the process that started it.

    Attributes:
        log: its output is appended to this file, on its node; the directory is made if missing.
        directory: its working directory, if there is one of that name on its node.
        path: added to its sys.path, as far as it is not in it.
        credentials: what the chief's certificate is signed by, PEM, and the token; None for a chief without.
    """

    log: Path
    directory: str
    path: tuple[str, ...]
    credentials: tuple[bytes, str] | None

    def __repr__(self) -> str:
        return f"Surroundings({str(self.log)!r})"  # Ray may print it: no token


class RayWorker:
    """A Ray actor of two threads, one for ``run`` and one to look at it. Its process runs nothing else."""

    def run(self, stored: ray_payload.RayPayload, surroundings: Surroundings) -> None:
        """Make the call. What it raises is in the log, too."""
        surroundings.log.parent.mkdir(parents=True, exist_ok=True)
        log = open(surroundings.log, "a", buffering=1)  # noqa: SIM115  # of the whole process, to its end
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.stdout = sys.stderr = log
        faulthandler.enable()
        with ExitStack() as private:
            try:
                if os.path.isdir(surroundings.directory):
                    os.chdir(surroundings.directory)
                sys.path.extend(place for place in surroundings.path if place not in sys.path)
                if surroundings.credentials is not None:
                    directory = private.enter_context(tempfile.TemporaryDirectory(prefix="kt_ext-"))
                    credentials.write_client(directory, *surroundings.credentials)
                    os.environ[credentials.CREDENTIALS] = directory
                target, arguments = ray_payload.read(stored)
                target(**arguments)
            except BaseException:
                traceback.print_exc()
                raise

    def write_stacks(self) -> None:
        """Write to the log where each thread is."""
        faulthandler.dump_traceback(file=2, all_threads=True)
