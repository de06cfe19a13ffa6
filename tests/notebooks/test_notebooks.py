"""Every notebook runs from top to bottom, and none stores outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.notebooks
@pytest.mark.tensorflow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_runs(notebook: Path, tmp_path: Path) -> None:
    pytest.importorskip("nbmake", reason="needs kt_ext[notebooks]")
    root = notebook.parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "--nbmake", "--nbmake-timeout=600", str(notebook)],
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": str(root),
            "KT_EXT_NOTEBOOK_EPOCHS": "3",
            "KT_EXT_NOTEBOOK_DIRECTORY": str(tmp_path),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_stores_no_outputs(notebook: Path) -> None:
    cells = json.loads(notebook.read_text())["cells"]
    assert [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_has_a_badge(notebook: Path) -> None:
    text = notebook.read_text()
    assert f"colab.research.google.com/github/kt-ext/kt_ext/blob/main/notebooks/{notebook.name}" in text
