"""Searches in optuna-dashboard, as its own command serves them and a browser shows them."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import optuna
import pytest

import kt_ext
from reports.played import SEARCHES, Clock
from reports.test_page import BROWSER, needs_browser
from tuners.searches import build, data

COMMAND = shutil.which("optuna-dashboard", path=str(Path(sys.executable).parent))
pytestmark = [
    pytest.mark.slow,
    needs_browser,
    pytest.mark.skipif(COMMAND is None, reason="needs optuna-dashboard: pip install optuna-dashboard"),
]
PLAYED = ("asha_promotion", "asha_cut_short", "failing", "pareto", "population")
LABELS = (
    "Note",
    "Value",
    "Intermediate Values",
    "Parameter",
    "Started At",
    "Completed At",
    "Duration",
    "User Attributes",
)
Dashboard = tuple[str, dict[str, optuna.Study]]  # its address, and the studies by name


class Texts(HTMLParser):
    """The texts that are not markup's own, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._hidden = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._hidden = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._hidden:
            self.texts.append(data.strip())


def searched(directory: Path) -> str:
    """The project of a search by Keras that paused trials and went on with some."""
    tuner = kt_ext.ASHATuner(build, "val_accuracy", 4, max_trials=4, factor=2, seed=0, directory=str(directory))
    tuner.search(**data(), batch_size=50, verbose=0)
    return str(tuner.project_dir)


@contextmanager
def serving(storage: str) -> Iterator[str]:
    """The address at which the command serves this storage."""
    assert COMMAND is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen([COMMAND, storage, "--port", str(port), "--server", "wsgiref", "--quiet"]) as process:
        try:
            while True:
                assert process.poll() is None, "the dashboard has ended"
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                    connection.request("GET", "/api/studies")
                    assert connection.getresponse().status == 200
                    break
                except ConnectionRefusedError:
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/dashboard"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """All searches in one storage."""
    root = tmp_path_factory.mktemp("dashboard")
    storage = f"sqlite:///{root}/study.db"
    studies = {"trained": kt_ext.to_optuna_study(searched(root / "trained"), storage, "trained")}
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        for name in PLAYED:
            SEARCHES[name](root / name, clock)
            studies[name] = kt_ext.to_optuna_study(root / name / "project", storage, name)
        studies["everyone"] = kt_ext.to_optuna_study(root / "asha_promotion/project", storage, "everyone", pruned=False)
    with serving(storage) as address:
        yield address, studies


def opened(address: str, tmp_path: Path) -> list[str]:
    """The texts of a page after its scripts have run; the browser's console must be silent."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += ["--window-size=1400,1800", "--virtual-time-budget=8000", f"--user-data-dir={tmp_path}/profile"]
    done = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    return Texts(done.stdout).texts


def trials_shown(address: str, study: optuna.Study, tmp_path: Path) -> list[dict[str, list[str]]]:
    """What the page of the trials says of each, by label; under "State" what stands above the labels."""
    study_id = study._study_id
    numbers = ",".join(str(trial.number) for trial in study.trials)
    texts = opened(f"{address}/studies/{study_id}/trials?numbers={numbers}", tmp_path)
    assert f"{study.study_name} (id={study_id})" in texts
    shown: list[dict[str, list[str]]] = []
    for text in texts[texts.index(f"{len(study.trials)} Trials") :]:
        if text.startswith(f"Trial {len(shown)} (trial_id="):
            shown.append({"State": []})
            label = "State"
        elif shown and text in LABELS:
            label = text
            shown[-1][label] = []
        elif shown:
            shown[-1][label].append(text)
    return shown


def in_page(value: Any) -> str:
    """As JavaScript writes it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def test_every_search_is_listed(dashboard: Dashboard, tmp_path: Path) -> None:
    address, studies = dashboard
    texts = opened(address, tmp_path)
    for name, study in studies.items():
        at = texts.index(f"{study._study_id}. {name}")
        ways = ", ".join(direction.name for direction in study.directions)
        assert "".join(texts[at + 1 : at + 3]).startswith(f"Direction: {ways}")


@pytest.mark.parametrize(
    "name", ["trained", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("everyone", *PLAYED))]
)
def test_every_trial_is_shown(name: str, dashboard: Dashboard, tmp_path: Path) -> None:
    address, studies = dashboard
    trials = studies[name].trials
    shown = trials_shown(address, studies[name], tmp_path)
    assert [each["State"][0].upper() for each in shown] == [trial.state.name for trial in trials]
    for each, trial in zip(shown, trials, strict=True):
        values = [", ".join(map(in_page, trial.values))] if trial.values else ["None"]
        assert each["Value"] == values
        assert each["Parameter"] == [f"{key} {in_page(value)}" for key, value in trial.params.items()]
        told = [f"{step} {in_page(value)}" for step, value in trial.intermediate_values.items()]
        assert each.get("Intermediate Values", []) == told
        assert sorted(each["User Attributes"]) == sorted(f"{key} {value}" for key, value in trial.user_attrs.items())


@pytest.mark.parametrize("name", ["trained", "everyone", "population"])
def test_the_best_and_the_pictures(name: str, dashboard: Dashboard, tmp_path: Path) -> None:
    address, studies = dashboard
    study = studies[name]
    texts = opened(f"{address}/studies/{study._study_id}", tmp_path)
    best = study.best_trial
    at = texts.index(f"Best Trial (number={best.number})")
    assert texts[at + 1] == in_page(best.value)
    assert {"History", "Timeline", "Hyperparameter Importance", "Intermediate values"} <= set(texts)
    assert [f"trial #{trial.number}" for trial in study.trials] == [t for t in texts if t.startswith("trial #")]
    assert set(study.metric_names) <= set(texts)
    if name != "trained":  # of one COMPLETE trial alone there are none
        assert {parameter for trial in study.trials for parameter in trial.params} <= set(texts), "no importances"


def test_several_objectives(dashboard: Dashboard, tmp_path: Path) -> None:
    address, studies = dashboard
    study = studies["pareto"]
    texts = opened(f"{address}/studies/{study._study_id}", tmp_path)
    assert {"Pareto Front", "loss", "accuracy"} <= set(texts)
    front = [text for text in texts if text.startswith("Objective Values = ")]
    assert front == ["Objective Values = [1, 0.6]", "Objective Values = [4, 0.9]"]


def test_a_study_in_a_journal_of_optuna(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        SEARCHES["population"](tmp_path, Clock(patch))
    path = tmp_path / "study.log"
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    study = kt_ext.to_optuna_study(tmp_path / "project", optuna.storages.JournalStorage(backend))
    with serving(str(path)) as address:
        shown = trials_shown(address, study, tmp_path)
    assert [each["Value"] for each in shown] == [[in_page(trial.value)] for trial in study.trials]
