"""Searches on a real Slurm: two nodes on this machine, started and stopped by .ci/slurm."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imports import ROOT
from kt_ext.core.journal import Journal
from kt_ext.core.search import Search
from kt_ext.execution.sbatch import BatchJob, submit
from kt_ext.schedulers import ASHA
from kt_ext.searchers import make_searcher

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.tensorflow]

SCRIPT = Path(__file__).with_name("slurm_script.py")
DEADLINE_SECONDS = 300
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")


def slurm(*command: str) -> str:
    """What a command of Slurm's prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def wait_until(condition: Callable[[], Any], what: str) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {DEADLINE_SECONDS} seconds"
        time.sleep(0.2)


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Slurm's commands reach a cluster of their own: SLURM_CONF names it."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    missing = [name for name in ("slurmctld", "slurmd", "munged", "srun") if shutil.which(name, path=path) is None]
    if missing or os.geteuid() != 0:
        pytest.skip("needs root and Slurm: as root, .ci/slurm install")
    directory = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("SLURM_", "KERASTUNER_", "KT_EXT_")):
                patch.delenv(name)
        patch.setenv("PATH", path)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("SLURM_CONF", str(directory / "slurm.conf"))
        slurm(str(ROOT / ".ci" / "slurm"), "start", str(directory))
        try:
            yield
            slurm("scancel", "--user=root")
            wait_until(lambda: slurm("squeue", "--noheader") == "", "all jobs ended")
        finally:
            slurm(str(ROOT / ".ci" / "slurm"), "stop", str(directory))


class Job:
    """A batch job that was submitted."""

    def __init__(self, batch: BatchJob) -> None:
        self.id = submit(batch.write())
        self.log = batch.path.with_name(f"{batch.job_name}-{self.id}.log")

    def state(self) -> str:
        return self.shown()["JobState"]

    def shown(self) -> dict[str, str]:
        """What ``scontrol show job`` says of it."""
        words = slurm("scontrol", "--oneliner", "show", "job", self.id).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self) -> str:
        """Wait until it has ended; returns its exit code as Slurm writes it, ``code:signal``."""
        wait_until(lambda: self.state() in ENDED, f"job {self.id} ended")
        return self.shown()["ExitCode"]

    def go_on(self) -> None:
        """Wait until it is requeued, and do not wait for the two minutes until Slurm would start it again.

        At once would be too early: until the nodes have cleaned up they refuse the job, its "credential" being revoked.
        """
        wait_until(lambda: self.state() in ("PENDING", "REQUEUED"), f"job {self.id} is requeued")
        slurm("scontrol", "update", f"JobId={self.id}", "StartTime=now+15")


class Found:
    """What a search left in its directory.

    Attributes:
        trained: by worker, the epochs that it noted.
        told: trial and epoch of each report in the journal, in order.
        best: the lowest objective that was reported.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trained = {
            path.stem: [json.loads(line) for line in path.read_text().splitlines()]
            for path in sorted(directory.glob("*.jsonl"))
        }
        events = [event for _, event in Journal.read(directory / "search" / "journal.jsonl")]
        tells = [event for event in events if event["e"] == "tell"]
        self.told = [(event["trial"], event["epoch"]) for event in tells]
        self.best = min(event["metrics"]["val_loss"] for event in tells)
        self.search = Search(ASHA(max_epochs=9, factor=3, max_trials=9), make_searcher("random", 0), seed=0)
        for event in events:  # raises ReplayDiffers where ASHA would have decided otherwise
            self.search.replay(event)

    @property
    def epochs(self) -> Counter[tuple[int, int]]:
        """How often each epoch of each trial was trained."""
        return Counter((note["trial"], note["epoch"]) for notes in self.trained.values() for note in notes)

    def check_complete(self) -> None:
        """Nine trials, each reported epoch by epoch, of which three reached rung 3 and one the end."""
        assert self.search.running == 0
        for trial in range(9):
            epochs = [epoch for number, epoch in self.told if number == trial]
            assert epochs == list(range(1, len(epochs) + 1))
        reached = {rung: sum(self.search.history.epochs_of(trial) >= rung for trial in range(9)) for rung in (1, 3, 9)}
        assert reached[1] == 9
        assert reached[3] >= 3
        assert reached[9] >= 1


def trained_so_far(directory: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in directory.glob("*.jsonl"))


def test_plain_srun_on_two_nodes(tmp_path: Path) -> None:
    output = slurm("srun", "--ntasks=3", "--nodes=2", sys.executable, str(SCRIPT), str(tmp_path))
    found = Found(tmp_path)
    found.check_complete()
    assert found.epochs == Counter(found.told)  # each once
    assert set(found.trained) == {"worker-1", "worker-2"}
    (score,) = [float(line.split()[1]) for line in output.splitlines() if line.startswith("found ")]
    assert score == found.best
    (credentials,) = (tmp_path / "search-credentials").iterdir()
    assert credentials.stat().st_mode & 0o777 == 0o700


def test_a_trial_of_a_task_that_was_killed_is_finished_by_another(tmp_path: Path) -> None:
    command = ["srun", "--ntasks=3", "--nodes=1", sys.executable, str(SCRIPT), str(tmp_path), "worker-2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    assert "Killed" in done.stderr
    found = Found(tmp_path)
    found.check_complete()
    assert found.epochs == Counter(found.told)  # it was killed at the beginning of an epoch
    assert len(found.trained["worker-2"]) == 2
    trial, epoch = map(int, (tmp_path / "died").read_text().split())
    assert (trial, epoch) in [(note["trial"], note["epoch"]) for note in found.trained["worker-1"]]
    assert not (tmp_path / "search-credentials").exists()


def test_a_batch_job_starts_a_worker_again(tmp_path: Path) -> None:
    arguments = [str(tmp_path), "worker-1", "returns"]
    job = Job(BatchJob(SCRIPT, arguments, workers=2, directory=tmp_path, options=["--nodes=2"]))
    assert job.wait() == "0:0", job.log.read_text()
    found = Found(tmp_path)
    found.check_complete()
    assert found.epochs == Counter(found.told)
    assert {name: len({note["pid"] for note in notes}) for name, notes in found.trained.items()} == {
        "worker-0": 1,
        "worker-1": 2,
    }
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["search"]  # the credentials are gone


@pytest.mark.parametrize("how", ["time limit", "scontrol requeue"])
def test_a_job_that_is_requeued_goes_on(tmp_path: Path, how: str) -> None:
    job = Job(BatchJob(SCRIPT, [str(tmp_path)], workers=2, directory=tmp_path, options=["--nodes=2"]))
    wait_until(lambda: trained_so_far(tmp_path) >= 5 or job.state() in ENDED, "five epochs are trained")
    if how == "time limit":
        slurm("scancel", "--batch", "--signal=TERM", job.id)  # as Slurm does by --signal=B:TERM@120
    else:
        slurm("scontrol", "requeue", job.id)
    job.go_on()
    assert job.wait() == "0:0", job.log.read_text()
    found = Found(tmp_path)
    found.check_complete()
    assert job.shown()["Restarts"] == "1"
    assert {note["restarts"] for notes in found.trained.values() for note in notes} == {0, 1}
    again = found.epochs - Counter(found.told)
    assert sum(again.values()) <= 2  # the one that each worker had trained but not reported


def test_a_job_that_is_cancelled_is_not_requeued(tmp_path: Path) -> None:
    script = tmp_path / "sleeps.py"
    script.write_text(
        "import os, pathlib, time; pathlib.Path(__file__).with_name(os.environ['KERASTUNER_TUNER_ID']).touch();"
        " time.sleep(600)"
    )
    job = Job(BatchJob(script, workers=1, directory=tmp_path))
    wait_until(lambda: (tmp_path / "chief").exists() and (tmp_path / "worker-0").exists(), "all processes started")
    slurm("scancel", job.id)
    job.wait()
    wait_until(lambda: slurm("squeue", "--noheader") == "", "the job is gone")
    assert (job.state(), job.shown()["Restarts"]) == ("CANCELLED", "0")


def test_each_worker_has_a_gpu_and_the_chief_none(tmp_path: Path) -> None:
    directory = tmp_path / "it's 100% odd"
    directory.mkdir()
    script = directory / "roles.py"
    script.write_text(
        "import os, sys\n"
        "names = ('KERASTUNER_TUNER_ID', 'KERASTUNER_ORACLE_IP', 'CUDA_VISIBLE_DEVICES')\n"
        "print('role', *(os.environ[name] for name in names), *sys.argv[1:])\n"
        "sys.exit(7 * (os.environ['KERASTUNER_TUNER_ID'] == 'chief'))\n"
    )
    batch = BatchJob(
        script, ["a b"], workers=2, gpus_per_worker=1, cpus_per_worker=1, directory=directory, options=["--nodes=1"]
    )
    job = Job(batch)
    assert job.wait() == "7:0"
    logs = [path.read_text() for path in directory.glob(f"roles-{job.id}*.log")]
    assert len(logs) == 3
    assert sorted(line for log in logs for line in log.splitlines() if line.startswith("role")) == [
        "role chief 127.0.0.1 -1 a b",
        "role worker-0 127.0.0.1 0 a b",
        "role worker-1 127.0.0.1 1 a b",
    ]


def test_what_sbatch_refuses_is_said(tmp_path: Path) -> None:
    script = tmp_path / "search.py"
    script.touch()
    with pytest.raises(RuntimeError, match=r"^sbatch refuses '.*search\.sbatch': .*[Ii]nvalid partition"):
        submit(BatchJob(script, partition="nowhere", directory=tmp_path).write())
