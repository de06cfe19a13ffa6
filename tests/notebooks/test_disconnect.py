"""A notebook whose kernel is killed in mid-search goes on when it is run again from the top."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kt_ext.core.journal import Journal
from kt_ext.reports.record import read

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_asha.ipynb"
KILLED_AFTER = 5  # reports

pytestmark = [pytest.mark.slow, pytest.mark.notebooks, pytest.mark.tensorflow]


def client() -> Any:
    import nbclient
    import nbformat

    return nbclient.NotebookClient(nbformat.read(NOTEBOOK, 4), timeout=600, kernel_name="python3")


def events(journal: Path) -> list[dict[str, Any]]:
    """What a journal says by now; a line that is being written is left out."""
    return [event for _, event in Journal.read(journal)] if journal.exists() else []


def reports(found: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Trial and epoch of each report, in their order."""
    return [(event["trial"], event["epoch"]) for event in found if event["e"] == "tell"]


def trials_of_table(notebook: Any, code: str) -> set[str]:
    """Ids in the first column of the table that a cell shows."""
    (cell,) = (cell for cell in notebook.cells if cell.source == code)
    return set(re.findall(r"</th>\s*<td>(\d+)</td>", cell.outputs[-1]["data"]["text/html"]))


def kill_kernel(running: Any, journal: Path) -> None:
    """Wait until a trial trains that was given out after so many reports, and kill the process in which it does."""
    found = events(journal)
    while len(reports(found)) < KILLED_AFTER or found[-1]["e"] != "ask":
        time.sleep(0.02)
        found = events(journal)
    os.kill(running.km.provisioner.pid, signal.SIGKILL)


def test_goes_on_after_its_kernel_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs kt_ext[notebooks]")
    pytest.importorskip("ipykernel", reason="needs kt_ext[notebooks]")
    monkeypatch.setenv("KT_EXT_NOTEBOOK_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("KT_EXT_NOTEBOOK_EPOCHS", "3")
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    journal = tmp_path / "01_asha" / "journal.jsonl"

    broken = client()
    threading.Thread(target=kill_kernel, args=(broken, journal), daemon=True).start()
    with pytest.raises(nbclient.exceptions.DeadKernelError):
        broken.execute()
    before = events(journal)
    assert len(reports(before)) >= KILLED_AFTER
    in_flight = [trial.number for trial in read(journal.parent).trials if trial.status == "running"]
    assert len(in_flight) == 1

    again = client()
    again.execute()

    after = events(journal)
    assert after[: len(before)] == before  # what was known is kept, and what comes is new
    known: dict[int, int] = {}
    for trial, epoch in reports(after):  # each epoch follows the one before it: none is reported twice, none left out
        assert epoch == known.get(trial, 0) + 1
        known[trial] = epoch
    assert [event["trial"] for event in after if event["e"] == "again"] == in_flight

    record = read(journal.parent)
    assert len(record.trials) == 9
    assert {trial.status for trial in record.trials} <= {"done", "paused"}
    assert all(record.score(trial)[1] >= 1 for trial in record.trials)
    assert trials_of_table(again.nb, "tuner.results()") == {trial.name for trial in record.trials}
    assert len(trials_of_table(again.nb, "more.results()")) == 12

    client().execute()  # and once more, when all is done: nothing is left to train
    assert events(journal) == after
