"""A search as one Slurm batch job: a chief beside its workers, and a new run of the same search when time is up.

The batch step, on the first node, runs the chief without a GPU, and ``srun`` runs one task for each worker. A task
starts its worker again when it dies; after three failures in a row it gives up and its place stays empty. At the time
limit, or when Slurm preempts the job by a signal, the job requeues itself and the search goes on from its journal.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kt_ext.core.durable import FilePath
from kt_ext.execution.credentials import CREDENTIALS, INSECURE
from kt_ext.execution.slurm import ANY_ADDRESS, FIRST_PORT, PORTS, PORTS_PER_JOB, THIS_MACHINE

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class BatchJob:
    """A search for which a batch script is to be written.

    Args:
        script: the Python script that calls ``tuner.search``; chief and workers all run it.
        arguments: what the script is called with.
        workers: how many, >= 1.
        gpus_per_worker: GPUs of each worker, 0 for none.
        cpus_per_worker: cores of each worker; None leaves it to Slurm.
        time: the limit of one run as Slurm has it, e.g. ``"2-00:00:00"``; None is the partition's.
        partition: None is Slurm's default.
        name: of the job and its files; letters, digits, ``_``, ``.`` and ``-``. None is the script's, without ``.py``.
        directory: for the batch script, the logs and the job's credentials; all nodes must see it.
        options: further options of sbatch, each a line of the script, e.g. ``"--account=physics"``.
        python: the interpreter; None is the one that runs this.

    Raises:
        ValueError: an argument is not as said.
        FileNotFoundError: there is no such script.
    """

    script: FilePath
    arguments: Sequence[str] = ()
    workers: int = 1
    gpus_per_worker: int = 0
    cpus_per_worker: int | None = None
    time: str | None = None
    partition: str | None = None
    name: str | None = None
    directory: FilePath = "."
    options: Sequence[str] = ()
    python: FilePath | None = None

    def __post_init__(self) -> None:
        _check_count("workers", self.workers, 1)
        _check_count("gpus_per_worker", self.gpus_per_worker, 0)
        if self.cpus_per_worker is not None:
            _check_count("cpus_per_worker", self.cpus_per_worker, 1)
        if not Path(self.script).is_file():
            raise FileNotFoundError(f"script={str(self.script)!r}: must be a Python script, and there is no such file")
        if not _NAME.fullmatch(self.job_name):
            raise ValueError(
                f"name={self.job_name!r}: must be letters, digits, _, . and -, and not begin with . or -; choose one "
                "with --job-name"
            )
        for name, value in (("time", self.time), ("partition", self.partition), ("directory", str(self.path))):
            if value is not None and (not value or not value.isprintable()):
                raise ValueError(f"{name}={value!r}: must be printable text on one line, as a #SBATCH line is")
        for option in self.options:
            if not option.startswith("-") or not option.isprintable():
                raise ValueError(
                    f"option={option!r}: must be an option of sbatch on one line, e.g. '--account=physics'"
                )

    @property
    def job_name(self) -> str:
        """The name that was given, or the script's."""
        return Path(self.script).stem if self.name is None else self.name

    @property
    def path(self) -> Path:
        """Where ``write`` puts the script."""
        return Path(self.directory).absolute() / f"{self.job_name}.sbatch"

    def text(self) -> str:
        """The batch script."""
        per_task = []
        if self.gpus_per_worker:
            per_task.append(f"--gpus-per-task={self.gpus_per_worker}")
        if self.cpus_per_worker is not None:
            per_task.append(f"--cpus-per-task={self.cpus_per_worker}")
        log = str(self.path.with_suffix("")).replace("%", "%%")  # % begins a pattern of Slurm's
        options = [
            f"--job-name={self.job_name}",
            f"--output={log}-%j.log",
            "--open-mode=append",  # what came before a requeue stays
            f"--ntasks={self.workers}",
            *per_task,
            "--requeue",
            "--signal=B:TERM@120",
        ]
        options += [f"--{name}={value}" for name in ("time", "partition") if (value := getattr(self, name))]
        lines = [*map(shlex.quote, options), *self.options]
        python = str(self.python or sys.executable)
        return _SCRIPT.format(
            path=shlex.quote(str(self.path)),
            options="\n".join(f"#SBATCH {line}" for line in lines),
            python=shlex.quote(python),
            command=shlex.join([python, str(Path(self.script).absolute()), *self.arguments]),
            state=shlex.quote(str(self.path.with_name(f".{self.job_name}-"))),
            workers=self.workers,
            per_task="".join(f" {option}" for option in per_task),
            log=shlex.quote(f"{log}-%j-worker-%t.log"),
            first_port=FIRST_PORT,
            ports_per_job=PORTS_PER_JOB,
            ports=PORTS,
            any_address=ANY_ADDRESS,
            this_machine=THIS_MACHINE,
            credentials=CREDENTIALS,
            insecure=INSECURE,
        )

    def write(self) -> Path:
        """Write the batch script, in place of an earlier one, and return its path. Raises OSError if that fails."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self.text())
        return self.path


def submit(path: FilePath) -> str:
    """Give a batch script to ``sbatch``; returns the job's id.

    Raises:
        FileNotFoundError: there is no sbatch.
        RuntimeError: sbatch refuses the script; with what it said.
    """
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        raise FileNotFoundError(
            f"sbatch is not on PATH: submit {str(path)!r} where Slurm is, on a login node of the cluster"
        )
    done = subprocess.run([sbatch, "--parsable", str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"sbatch refuses {str(path)!r}: {done.stderr.strip()}")
    return done.stdout.strip().split(";")[0]  # "123;cluster" where there are several clusters


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={value!r}: must be an integer >= {least}")


# Doubled braces are bash's. Bash 4 is enough.
_SCRIPT = r"""#!/bin/bash
# A search by kt_ext, written by python -m kt_ext slurm. To go on with a search that ended early: sbatch {path}
{options}

state={state}$SLURM_JOB_ID # what the processes of this job share; the job removes it at its end
mkdir -p "$state"
rm -f "$state/finished"

export KERASTUNER_ORACLE_PORT=$(({first_port} + {ports_per_job} * SLURM_JOB_ID % {ports}))
if ((SLURM_JOB_NUM_NODES > 1)); then
    listen={any_address} address=$SLURMD_NODENAME
    if [[ -z ${{{credentials}:-}} && ${{{insecure}:-}} != 1 ]]; then
        export {credentials}=$state/credentials
        [[ -d ${credentials} ]] || {python} -m kt_ext credentials "${credentials}" || exit
    fi
else
    listen={this_machine} address={this_machine}
fi

# What each task runs: its worker, again when it dies. Failures are in a row when each came within ten minutes.
worker='
export KERASTUNER_TUNER_ID=worker-$SLURM_PROCID
trap "exit 143" TERM
failures=0
while true; do
    began=$SECONDS
    "$@" && {{ touch "$0"; exit 0; }}
    code=$?
    ((SECONDS - began < 600)) || failures=0
    ((++failures < 3)) || exit "$code"
    echo "$KERASTUNER_TUNER_ID ended with code $code; it is started again" >&2
done'

alive() {{ kill -0 "$1" 2> /dev/null; }}

# Time is nearly up: what is trained is on disk, and the next run goes on from there. A job that is being cancelled gets
# the same signal, but does not count as running any more.
again() {{
    trap '' TERM
    kill "$chief" "$workers" 2> /dev/null
    if [[ $(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T) == RUNNING ]]; then
        scontrol requeue "$SLURM_JOB_ID"
    fi
    wait
    exit 143
}}

trap again TERM
CUDA_VISIBLE_DEVICES=-1 KERASTUNER_TUNER_ID=chief KERASTUNER_ORACLE_IP=$listen {command} &
chief=$!
KERASTUNER_ORACLE_IP=$address srun --ntasks={workers}{per_task} --kill-on-bad-exit=0 --wait=0 \
    --output={log} --open-mode=append bash -c "$worker" "$state/finished" {command} &
workers=$!

alone=0 # seconds for which the chief has had no worker left, though none has seen the end of the search
while alive "$chief"; do
    if ! alive "$workers" && [[ ! -e $state/finished ]] && ((++alone > 120)); then
        echo "all workers failed, see their logs; the search is not over" >&2
        kill "$chief"
    fi
    sleep 1
done
wait "$chief"
code=$?
for ((left = 120; left > 0; left--)); do # for what workers do after the search
    alive "$workers" || break
    sleep 1
done
kill "$workers" 2> /dev/null
wait "$workers"
rm -rf "$state"
exit "$code"
"""
