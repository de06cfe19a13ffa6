"""The README is run: its Python blocks in order in one process, its commands against the Makefile, its example."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imports import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def code_of(language: str) -> list[str]:
    return [code for each, code in BLOCKS if each == language]


def run(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *command],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_the_python_blocks_run_in_order(tmp_path: Path) -> None:
    blocks = code_of("python")
    assert blocks
    script = tmp_path / "readme.py"
    script.write_text("\n\n".join([*blocks, 'print("every block was run")']), encoding="utf-8")
    done = run([script.name], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Search ended: " in done.stdout
    assert done.stdout.splitlines()[-1] == "every block was run"
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("runs/*/journal.jsonl"))


def test_the_make_commands_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {
        target for code in code_of("console") for target in re.findall(r"^make ([\w-]+)", code, flags=re.MULTILINE)
    }
    assert named >= {"demo", "test"}
    assert named <= targets


def test_the_demo_runs_the_example() -> None:
    assert re.search(r"^demo:.*\n\t.*examples/digits_asha\.py$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.slow
def test_the_example_prints_the_table_of_rungs(tmp_path: Path) -> None:
    command = [str(ROOT / "examples" / "digits_asha.py"), "--max-epochs", "3", "--directory", "tmp"]
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    rungs = re.findall(r"^ +(\d+) epochs? +(\d+) +\S+$", done.stdout, flags=re.MULTILINE)
    assert [rung for rung, _ in rungs] == ["1", "3"]
    assert [int(trials) for _, trials in rungs] == sorted((int(trials) for _, trials in rungs), reverse=True)
    assert re.search(r"The best model on the test images: accuracy 0\.\d+", done.stdout)


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:kt_ext|tests|examples|benchmarks)/[\w./]+\.py)`", README)))
)
def test_the_files_that_it_names_exist(path: str) -> None:
    assert (ROOT / path).is_file()
