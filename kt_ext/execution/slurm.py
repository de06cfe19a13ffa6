"""Who a task of a Slurm step is: ``srun --ntasks=5 python script.py`` makes a chief and four workers.

The chief is task 0 and takes a task's GPUs without using them; ``python -m kt_ext slurm`` starts a search without that
waste, see ``kt_ext.execution.sbatch``.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from kt_ext.core.durable import FilePath
from kt_ext.execution.credentials import CREDENTIALS, INSECURE, ensure

ANY_ADDRESS, THIS_MACHINE = "0.0.0.0", "127.0.0.1"
# Above the ports that Linux gives to outgoing connections (32768-60999), so that none of them has the chief's.
FIRST_PORT, PORTS, PORTS_PER_JOB = 61000, 4500, 7
_PATIENCE_SECONDS = 300.0
_LOOK_SECONDS = 0.2


def roles(environment: Mapping[str, str]) -> dict[str, str]:
    """Keras Tuner's variables for this task: task 0 is the chief, task n is ``worker-n``.

    The chief listens to other machines only if the step has several nodes. Its port follows from the ids of job and
    step, so that all tasks know it; it is the same after a requeue.

    Args:
        environment: as ``os.environ`` in a task of ``srun``.

    Returns:
        KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT.

    Raises:
        ValueError: a variable of Slurm's is missing or is not what it should be; the step has one task only.
    """
    rank, tasks = _number(environment, "SLURM_PROCID"), _number(environment, "SLURM_NTASKS")
    if tasks < 2:
        raise ValueError(f"SLURM_NTASKS='{tasks}': must be >= 2, a chief and a worker; use srun --ntasks=2 or more")
    port = chief_port(_number(environment, "SLURM_JOB_ID"), _number(environment, "SLURM_STEP_ID"))
    nodes = _nodes(environment)
    address = nodes[0] if rank else ANY_ADDRESS
    if len(nodes) == 1:
        address = THIS_MACHINE
    return {
        "KERASTUNER_TUNER_ID": f"worker-{rank}" if rank else "chief",
        "KERASTUNER_ORACLE_IP": address,
        "KERASTUNER_ORACLE_PORT": str(port),
    }


def join(
    project_directory: FilePath,
    environment: MutableMapping[str, str] = os.environ,
    patience: float = _PATIENCE_SECONDS,
) -> None:
    """Take this task's place in the search: set the variables of ``roles``, and KT_EXT_CREDENTIALS on several nodes.

    The chief makes the credentials in ``<project_directory>-credentials/<job id>``, for which the others wait. Those
    that KT_EXT_CREDENTIALS names already are used as they are, and with KT_EXT_INSECURE=1 there are none.

    Args:
        project_directory: of the search; its parent must be seen by all nodes.
        environment: read and changed.
        patience: how many seconds the other tasks wait for the chief's credentials.

    Raises:
        ValueError: as ``roles``.
        TimeoutError: the credentials did not appear.
        OSError, ImportError: they cannot be made, as ``kt_ext.execution.credentials.ensure`` says.
    """
    mine = roles(environment)
    secured = bool(environment.get(CREDENTIALS)) or environment.get(INSECURE) == "1"
    if len(_nodes(environment)) > 1 and not secured:
        # Beside the project directory, which the chief removes when it is told to overwrite.
        directory = Path(f"{os.path.abspath(project_directory)}-credentials", environment["SLURM_JOB_ID"])
        if mine["KERASTUNER_TUNER_ID"] == "chief":
            ensure(directory)  # workers know the chief by its key, under whichever name they reach it
        else:
            _wait_for(directory, patience)
        environment[CREDENTIALS] = str(directory)
    environment.update(mine)


def restarted(environment: Mapping[str, str]) -> bool:
    """Whether Slurm has requeued this job: its search is to go on, not to begin anew.

    Raises ValueError if SLURM_RESTART_COUNT is not a number.
    """
    return "SLURM_RESTART_COUNT" in environment and _number(environment, "SLURM_RESTART_COUNT") > 0


def chief_port(job: int, step: int) -> int:
    """The port of the chief of a step; two steps share one only if their jobs are thousands apart."""
    return FIRST_PORT + (PORTS_PER_JOB * job + step) % PORTS


def expand(nodes: str) -> list[str]:
    """The names in a Slurm node list: ``"a,n[1-2,07]"`` is a, n1, n2, n07.

    Raises:
        ValueError: brackets or a range are not closed, or ranges are nested.
    """
    expanded: list[str] = []
    for pattern in re.findall(r"(?:[^,\[\]]|\[[^\[\]]*\])+|.", nodes):
        if pattern != ",":
            expanded += _expand_one(pattern, nodes)
    return expanded


def _expand_one(pattern: str, nodes: str) -> list[str]:
    """The names that one pattern, with any number of bracketed lists, stands for."""
    names = [""]
    for text, ranges in re.findall(r"([^\[\]]+)|\[([\d,-]+)\]|.", pattern):
        if not text and not ranges:
            raise ValueError(f"node list {nodes!r}: must be names such as n1,n2 or n[1-3,7], not {pattern!r}")
        parts = [text] if text else [number for part in ranges.split(",") for number in _numbers(part, nodes)]
        names = [name + part for name in names for part in parts]
    return names


def _numbers(part: str, nodes: str) -> list[str]:
    """``"08-10"`` is 08, 09, 10."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
    if found is None:
        raise ValueError(f"node list {nodes!r}: must have numbers and ranges such as 1-3 in brackets, not {part!r}")
    first, last = found[1], found[2] or found[1]
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]


def _nodes(environment: Mapping[str, str]) -> list[str]:
    for name in ("SLURM_STEP_NODELIST", "SLURM_NODELIST"):
        if environment.get(name):
            return expand(environment[name])
    raise ValueError(f"SLURM_STEP_NODELIST is not in the environment: {_REMEDY}")


def _number(environment: Mapping[str, str], name: str) -> int:
    if name not in environment:
        raise ValueError(f"{name} is not in the environment: {_REMEDY}")
    text = environment[name]
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name}={text!r}: must be an integer >= 0, as srun sets it; do not change it")
    return int(text)


_REMEDY = (
    "this process is no task of a Slurm step; start the script with srun in the batch script, or use "
    "executor='serial' or 'process'"
)


def _wait_for(directory: Path, patience: float) -> None:
    until = time.monotonic() + patience
    while not directory.is_dir():
        if time.monotonic() > until:
            raise TimeoutError(
                f"{directory}: the chief's credentials did not appear there for {patience:g} seconds; see the output "
                "of task 0, and give the tuner a directory= on a file system that all nodes of the job share"
            )
        time.sleep(_LOOK_SECONDS)
