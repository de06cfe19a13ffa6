"""Every notebook runs from top to bottom and shows what it draws; none stores outputs; all begin alike."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAKES_TABLE = re.compile(r"\b(DataFrame|results|takeovers)\(")
MAKES_PICTURE = re.compile(r"\b(plt\.\w+|plot|plot_\w+)\(")

every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
#: Run with the slow tests; Colab's job runs all of them, and so does the night.
DAILY = ("00_tour.ipynb",)


def code_cells(notebook: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def outputs(cell: dict[str, Any]) -> set[str]:
    """The MIME types of what a cell showed."""
    return {mime for output in cell["outputs"] for mime in output.get("data", {})}


@pytest.mark.notebooks
@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "notebook",
    [
        pytest.param(path, id=path.name, marks=pytest.mark.slow if path.name in DAILY else pytest.mark.nightly)
        for path in NOTEBOOKS
    ],
)
def test_runs_and_shows_tables_and_pictures(notebook: Path, tmp_path: Path) -> None:
    pytest.importorskip("nbmake", reason="needs kt_ext[notebooks]")
    copy = Path(shutil.copy(notebook, tmp_path))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["--nbmake", "--overwrite", "--nbmake-timeout=600", "-p", "no:cacheprovider", str(copy)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), *command],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "KT_EXT_NOTEBOOK_EPOCHS": "3",
            "KT_EXT_NOTEBOOK_DIRECTORY": str(tmp_path),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{notebook.name}: {seconds:.0f} s of CPU")

    cells = code_cells(copy)
    tables = [cell for cell in cells if MAKES_TABLE.search(source(cell))]
    pictures = [cell for cell in cells if MAKES_PICTURE.search(source(cell))]
    assert tables and pictures
    assert [source(cell) for cell in tables if "text/html" not in outputs(cell)] == []
    assert [source(cell) for cell in pictures if "image/png" not in outputs(cell)] == []


@every_notebook
def test_stores_no_outputs(notebook: Path) -> None:
    assert [cell["id"] for cell in code_cells(notebook) if cell["outputs"] or cell["execution_count"]] == []


@every_notebook
def test_has_a_badge(notebook: Path) -> None:
    text = notebook.read_text()
    assert f"colab.research.google.com/github/kt-ext/kt_ext/blob/main/notebooks/{notebook.name}" in text


@every_notebook
def test_begins_with_installation_what_trains_and_where_to_keep_it(notebook: Path) -> None:
    """The same three cells everywhere: a mend of one is a mend of all."""
    install, machine, place = (source(cell) for cell in code_cells(notebook)[:3])
    assert [install, machine, place] == [source(cell) for cell in code_cells(NOTEBOOKS[0])[:3]]
    assert re.findall("%pip install (.*)", install) == ["-q kt_ext"]
    assert "GPU" in machine
    assert "USE_DRIVE = False" in place


@every_notebook
def test_links_lead_to_notebooks_that_are_there(notebook: Path) -> None:
    linked = re.findall(r"blob/main/notebooks/([\w.]+)", notebook.read_text())
    assert set(linked) <= {path.name for path in NOTEBOOKS}
