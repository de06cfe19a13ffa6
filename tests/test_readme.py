"""README.md and docs/*.md are run: Python blocks in order, a process for each page; commands, the example."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import docs_pages
from imports import ROOT

README = docs_pages.read(ROOT / "README.md")
# index.md has README.md's own blocks.
RUN = [name for name in docs_pages.pages() if name != "index" and docs_pages.blocks(docs_pages.page(name), "python")]


def code_of(language: str) -> list[str]:
    return docs_pages.blocks(README, language)


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


@pytest.fixture(scope="module")
def run_pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which every page was run, in a folder of its own."""
    folder = tmp_path_factory.mktemp("pages")
    command = [sys.executable, str(ROOT / "tests" / "docs_pages.py"), str(folder), *RUN]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # One thread, as long as pages are forked from it.
    environment = {**os.environ, "PYTHONPATH": path, "MPLBACKEND": "Agg", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.nightly
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", RUN)
def test_a_page_runs(name: str, run_pages: Path) -> None:
    assert (run_pages / name / "done").exists(), (run_pages / name / "log.txt").read_text(encoding="utf-8")


def test_the_make_commands_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    texts = [README, *map(docs_pages.page, docs_pages.pages())]
    commands = "\n".join(code for text in texts for code in docs_pages.blocks(text, "console"))
    named = set(re.findall(r"^make ([\w-]+)", commands, flags=re.MULTILINE))
    assert named >= {"demo", "test", "docs", "tfx"}
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
    "path",
    sorted(
        {
            path
            for text in [README, *map(docs_pages.page, docs_pages.pages())]
            for path in re.findall(r"`((?:kt_ext|tests|examples|benchmarks|notebooks)/[\w./]+\.(?:py|ipynb))`", text)
        }
    ),
)
def test_the_files_that_they_name_exist(path: str) -> None:
    assert (ROOT / path).is_file()
