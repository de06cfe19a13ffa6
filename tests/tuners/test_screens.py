"""The live display, where it is drawn for real: in a pseudo-terminal, in a notebook's kernel, and not in a log."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from imports import ROOT
from terminals import read_to_the_end

SEARCH = """
import keras, numpy as np, kt_ext
def build(hp):
    layers = [keras.layers.Input((4,)), keras.layers.Dense(hp.Int("units", 2, 8)), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    return model
x, y = np.random.default_rng(0).normal(size=(64, 4)), np.zeros(64)
asha = dict(max_epochs=4, min_epochs=1, factor=2, max_trials=4)
tuner = kt_ext.ASHATuner(build, "val_loss", **asha, seed=1, directory="runs", project_name="shown"{more})
tuner.search(x, y, validation_data=(x, y), verbose={verbose})
"""


def script(directory, verbose=1, more=""):
    path = directory / "search.py"
    path.write_text("if __name__ == '__main__':\n" + SEARCH.format(verbose=verbose, more=more).replace("\n", "\n    "))
    return [sys.executable, str(path)]


def in_terminal(command, directory):
    """What the command writes to a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(command, cwd=directory, stdout=theirs, stderr=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    said = read_to_the_end(ours).decode()
    assert process.wait(timeout=120) == 0
    return said


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", ", executor='process', workers=2"], ids=["serial", "process"])
def test_in_a_terminal_the_search_is_shown_live_whoever_trains(tmp_path, more):
    said = in_terminal(script(tmp_path, more=more), tmp_path)
    assert re.search(r"ASHA\(max_epochs=4.*\) in runs/s", said)  # cut at the width of the terminal
    assert re.search(r"trials +\d of 4 started", said)
    assert re.search(r"rungs +1: \d  2: \d  4: \d", said)
    assert re.search(r"tuner|worker", said)
    assert "\x1b[2K" in said  # drawn again in the same place
    assert said.count("\x1b[?25l") == said.count("\x1b[?25h") == 1  # the cursor was hidden, and is back
    assert said.count("trial 0  ") >= 1  # and the lines above it
    assert "Search ended" in said.rpartition("\x1b[")[2]  # nothing is left of it below the result


def test_in_a_log_nothing_is_drawn(tmp_path):
    done = subprocess.run(
        script(tmp_path), cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(lines) >= 7  # 4 trials, of which at least 2 went on, and 1 of these to the end
    assert "Search ended" in done.stdout


@pytest.mark.slow
@pytest.mark.notebooks
def test_in_a_notebook_one_output_is_drawn_again(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="needs kt_ext[notebooks]")
    client = pytest.importorskip("nbclient", reason="needs kt_ext[notebooks]")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(SEARCH.format(verbose=1, more="")), nbformat.v4.new_code_cell("'next'")]
    )
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        client.NotebookClient(
            notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    outputs = notebook.cells[0].outputs
    pictures = [each["data"]["text/html"] for each in outputs if each.output_type == "display_data"]
    assert len(pictures) == 1
    assert re.search(r"trials +4 of 4 started: \d done", pictures[0])
    printed = "".join(each["text"] for each in outputs if each.output_type == "stream" and each["name"] == "stdout")
    assert "Search ended" in printed
    assert "\x1b" not in printed
