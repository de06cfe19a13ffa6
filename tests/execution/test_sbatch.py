"""The batch script of a search: what it says, and that nothing in it can be taken for something else."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imports import ROOT
from kt_ext.execution.sbatch import BatchJob, submit


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "search.py"
    path.touch()
    return path


def options_of(text: str) -> list[str]:
    """What sbatch reads."""
    lines = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
    return [word for line in lines for word in shlex.split(line)]


def slurm(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kt_ext", "slurm", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
    )


def test_the_options_of_sbatch(script: Path, tmp_path: Path) -> None:
    job = BatchJob(
        script, workers=8, gpus_per_worker=1, cpus_per_worker=4, time="2-00:00:00", partition="gpu",
        directory=tmp_path / "50% done", options=["--account=physics", "--mail-user='a b'"],
    )  # fmt: skip
    assert options_of(job.text()) == [
        "--job-name=search",
        f"--output={tmp_path}/50%% done/search-%j.log",
        "--open-mode=append",
        "--ntasks=8",
        "--gpus-per-task=1",
        "--cpus-per-task=4",
        "--requeue",
        "--signal=B:TERM@120",
        "--time=2-00:00:00",
        "--partition=gpu",
        "--account=physics",
        "--mail-user=a b",
    ]
    assert "srun --ntasks=8 --gpus-per-task=1 --cpus-per-task=4 --kill-on-bad-exit=0 --wait=0" in job.text()


def test_without_gpus_none_are_asked_for(script: Path) -> None:
    text = BatchJob(script, workers=2).text()
    assert "--gpus" not in text
    assert "--cpus" not in text
    assert not {"--time", "--partition"} & {option.split("=")[0] for option in options_of(text)}


def test_whatever_its_names_it_runs_the_same_command(tmp_path: Path) -> None:
    """The very command lines of the script, run by bash."""
    odd = tmp_path / "a 'b' $(touch c) \"d\""
    odd.mkdir()
    script = odd / "my search.py"
    script.write_text("import sys; print(sys.argv[1:])")
    arguments = ["it's", "$HOME", "--lr=1 2", "", "`x`", "\\n", "new\nline"]
    job = BatchJob(script, arguments, name="odd", directory=odd)
    assert options_of(job.text())[1] == f"--output={odd}/odd-%j.log"
    assert subprocess.run(["bash", "-n"], input=job.text(), text=True, capture_output=True).stderr == ""
    start = job.text().index("KERASTUNER_ORACLE_IP=$listen ")
    command = job.text()[start : job.text().index(" &\nchief=$!")]
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, text=True, capture_output=True)
    assert done.stdout == f"{arguments}\n", done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [odd.name]


def worker_loop(script: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """What a task runs, as the batch script has it, without Slurm."""
    text = BatchJob(script).text()
    definition = text[text.index("worker='") : text.index("alive() {")]
    command = f'{definition}\nbash -c "$worker" finished {shlex.join([sys.executable, str(script)])}'
    environment = {**os.environ, "SLURM_PROCID": "3"}
    return subprocess.run(["bash", "-c", command], cwd=directory, text=True, capture_output=True, env=environment)


def test_a_worker_that_dies_is_started_again(script: Path, tmp_path: Path) -> None:
    script.write_text("""
import os, pathlib, signal
print(os.environ["KERASTUNER_TUNER_ID"], flush=True)
runs = pathlib.Path("runs")
runs.write_text((runs.read_text() if runs.exists() else "") + "x")
if len(runs.read_text()) < 3:
    os.kill(os.getpid(), signal.SIGKILL)
""")
    done = worker_loop(script, tmp_path)
    assert (done.returncode, done.stdout) == (0, "worker-3\n" * 3)
    assert done.stderr.count("worker-3 ended with code 137; it is started again") == 2
    assert (tmp_path / "finished").exists()


def test_a_worker_that_fails_three_times_is_given_up(script: Path, tmp_path: Path) -> None:
    script.write_text("print('here'); raise SystemExit(7)")
    done = worker_loop(script, tmp_path)
    assert (done.returncode, done.stdout) == (7, "here\n" * 3)
    assert not (tmp_path / "finished").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"workers": 0}, "workers=0: must be an integer >= 1"),
        ({"workers": True}, "workers=True: must be an integer >= 1"),
        ({"gpus_per_worker": -1}, "gpus_per_worker=-1: must be an integer >= 0"),
        ({"gpus_per_worker": 0.5}, "gpus_per_worker=0.5: must be an integer >= 0"),
        ({"cpus_per_worker": 0}, "cpus_per_worker=0: must be an integer >= 1"),
        ({"time": ""}, "time='': must be printable text on one line"),
        ({"partition": "a\n#SBATCH --b"}, r"partition='a\\n#SBATCH --b': must be printable text on one line"),
        ({"directory": "a\nb"}, "directory='.*': must be printable text on one line"),
        ({"name": "a/b"}, "name='a/b': must be letters, digits, _, . and -.* with --job-name"),
        ({"name": "-b"}, "name='-b': must be letters"),
        ({"options": ["account=x"]}, "option='account=x': must be an option of sbatch on one line"),
        ({"options": ["--a\nrm x"]}, r"option='--a\\nrm x': must be an option of sbatch on one line"),
    ],
)
def test_a_wrong_argument_is_named(script: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        BatchJob(**{"script": script, **wrong})


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^script='no\.py': must be a Python script"):
        BatchJob("no.py")


def test_without_sbatch_the_script_is_written_and_named(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = BatchJob(script, directory=tmp_path / "new" / "logs").write()
    assert path == tmp_path / "new" / "logs" / "search.sbatch"
    with pytest.raises(FileNotFoundError, match=f"^sbatch is not on PATH: submit '{path}' where Slurm is"):
        submit(path)


def test_dry_run_prints_the_script_and_writes_nothing(script: Path, tmp_path: Path) -> None:
    done = slurm("search.py", "--workers", "2", "--dry-run", "--", "--epochs", "3", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == BatchJob(script, ["--epochs", "3"], workers=2, directory=tmp_path).text()
    assert [path.name for path in tmp_path.iterdir()] == ["search.py"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search.py", "--workers", "0"], 1, "python -m kt_ext slurm: workers=0: must be an integer >= 1\n"),
        (["none.py", "--workers", "1"], 1, "python -m kt_ext slurm: script='none.py': must be a Python script"),
        (["search.py", "--workers", "1"], 1, "python -m kt_ext slurm: sbatch is not on PATH"),
        (["search.py"], 2, "the following arguments are required: --workers"),
        (["search.py", "--workers", "1", "more"], 2, "unrecognized arguments: more"),
    ],
)
def test_what_fails_is_said_in_one_line(
    script: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    done = slurm(*arguments, cwd=tmp_path, PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_shellcheck_finds_nothing(script: Path) -> None:
    checker = shutil.which("shellcheck")
    if checker is None:
        pytest.skip("needs shellcheck")
    text = BatchJob(script, workers=2).text()
    assert subprocess.run([checker, "-"], input=text, text=True, capture_output=True).stdout == ""
