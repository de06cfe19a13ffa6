"""``python -m kt_ext``'s commands that look at a search, run as a user does."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shlex
import subprocess
import sys

import optuna
import pytest

from imports import ROOT
from kt_ext.__main__ import main
from kt_ext.oracles import SchedulerOracle
from kt_ext.oracles.project import JOURNAL as THEIR_JOURNAL
from kt_ext.oracles.project import LOCK as THEIR_LOCK
from kt_ext.reports.record import JOURNAL, LOCK, read
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import LOSS, Workers, by_values, killed, placed, small_space
from reports.played import Clock, asha_cut_short, asha_promotion, failing, pareto


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_the_files_have_the_names_that_the_oracle_gives_them():
    assert (JOURNAL, LOCK) == (THEIR_JOURNAL, THEIR_LOCK)


def test_best(tmp_path, clock, capsys):
    failing(tmp_path, clock)
    main(["best", str(tmp_path / "project"), "-n", "2"])
    record = read(tmp_path / "project")
    values = [f"rate={t.values['rate']:.5g} units={t.values['units']} kind={t.values['kind']}" for t in record.trials]
    assert capsys.readouterr().out.splitlines() == [
        "1. trial 3  accuracy=0.53  epoch 3",
        f"   {values[3]}",
        "2. trial 2  accuracy=0.43  epoch 3",
        f"   {values[2]}",
    ]


def test_best_as_json(tmp_path, clock, capsys):
    pareto(tmp_path, clock)
    main(["best", str(tmp_path / "project"), "--json"])
    record = read(tmp_path / "project")
    assert json.loads(capsys.readouterr().out)[:2] == [
        {"trial": "3", "score": {"loss": 4.0, "accuracy": 0.9}, "best_epoch": 3, "values": record.trials[3].values},
        {"trial": "0", "score": {"loss": 1.0, "accuracy": 0.6}, "best_epoch": 3, "values": record.trials[0].values},
    ]


def test_best_without_a_score(tmp_path, clock, capsys):
    oracle = placed(SchedulerOracle(FIFO(1, 1), objective=LOSS, hyperparameters=small_space()), tmp_path)
    Workers(oracle, lambda trial, epoch: {"loss": math.nan}).run()
    oracle.finish()
    main(["best", str(tmp_path / "project")])
    assert capsys.readouterr().out == "No trial has a finite score yet.\n"


def test_export_as_csv(tmp_path, clock, capsys):
    asha_promotion(tmp_path, clock)
    main(["export", str(tmp_path / "project"), "--csv", "-o", str(tmp_path / "run.csv")])
    record = read(tmp_path / "project")
    trials = list(csv.DictReader((tmp_path / "run.csv").open()))
    reports = list(csv.DictReader((tmp_path / "run-history.csv").open()))
    assert trials[0]["trial"] == record.best.name
    assert float(trials[0]["score"]) == record.score(record.best)[0]
    assert len(trials) == 9
    assert [(int(row["trial"]), int(row["epoch"])) for row in reports] == [
        (trial.number, trial.epochs[k]) for trial, k in record.each_report()
    ]
    assert capsys.readouterr().out.count("\n") == 2


def test_export_as_json(tmp_path, clock, capsys):
    asha_promotion(tmp_path, clock)  # trial 4 diverges, and not every trial has a depth
    main(["export", str(tmp_path / "project"), "--json", "-o", str(tmp_path / "run.json")])
    whole = json.loads((tmp_path / "run.json").read_text(), parse_constant=pytest.fail)
    record = read(tmp_path / "project")
    assert whole["search"]["objective"] == {"loss": "min"}
    assert whole["search"]["seed"] == 3
    assert [row["trial"] for row in whole["trials"][:2]] == [trial.name for trial in record.ranked()[:2]]
    assert whole["trials"][0]["rate"] == record.best.values["rate"]
    assert None in [row["depth"] for row in whole["trials"]]
    assert len(whole["history"]) == len(record.reports)


def test_export_to_optuna(tmp_path, clock, capsys):
    failing(tmp_path, clock)
    storage = f"sqlite:///{tmp_path}/study.db"
    main(["export", str(tmp_path / "project"), "--optuna", storage, "--study-name", "mine"])
    study = optuna.load_study(study_name="mine", storage=storage)
    assert (study.best_trial.number, study.best_value, len(study.trials)) == (3, 0.53, 4)
    assert f"optuna-dashboard {storage}" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="has a study of this name"):
        main(["export", str(tmp_path / "project"), "--optuna", storage, "--study-name", "mine"])


@pytest.mark.parametrize("arguments", [["--csv"], ["--json"], ["--optuna", "sqlite:///x.db", "-o", "y"]])
def test_export_needs_a_file_or_a_storage(arguments, tmp_path, clock):
    failing(tmp_path, clock)
    with pytest.raises(SystemExit, match="--csv and --json need -o FILE"):
        main(["export", str(tmp_path / "project"), *arguments])


def test_resume_of_an_interrupted_search(tmp_path, clock, capsys):
    asha_cut_short(tmp_path, clock)
    main(["resume", str(tmp_path / "project")])
    said = capsys.readouterr().out
    (waiting,) = (trial for trial in read(tmp_path / "project").trials if trial.status == "queued")
    assert f"Trial {waiting.name} goes on after {waiting.epochs[-1]} epochs, up to {waiting.until}." in said
    assert "2 trials of 9 were not started." in said
    assert "run the same script again" in said
    assert "killed" not in said


def test_resume_of_a_running_and_of_a_killed_search(tmp_path, clock, capsys):
    oracle = placed(
        SchedulerOracle(FIFO(4, 3), objective=LOSS, seed=3, hyperparameters=small_space()), tmp_path / "first"
    )
    Workers(oracle, clock.timed(by_values), 2).run(steps=4)
    project = tmp_path / "first/project"
    main(["resume", str(project)])
    said = capsys.readouterr().out
    assert f"led by process {os.getpid()} on " in said
    assert "It runs, since " in said
    assert "same script" not in said
    left = killed(project, tmp_path / "killed")
    (left / LOCK).write_bytes((project / LOCK).read_bytes())
    main(["resume", str(left)])
    said = capsys.readouterr().out
    assert "no process leads it now" in said
    assert "Trial 0 goes on after 1 epoch, up to 3.\nTrial 1 goes on after 1 epoch, up to 3.\n" in said
    assert "The last process was killed; it was: " in said
    oracle.finish()
    main(["resume", str(project)])
    assert "The last process was killed" not in capsys.readouterr().out


def test_resume_of_a_finished_search(tmp_path, clock, capsys):
    failing(tmp_path, clock)
    main(["resume", str(tmp_path / "project")])
    said = capsys.readouterr().out
    assert "trials   4 of 4 started: 3 done, 1 failed\n" in said
    assert "No trial was cut short.\n" in said
    assert "not started" not in said


@pytest.mark.parametrize("command", ["report", "watch", "best", "export", "resume"])
def test_what_is_no_search_is_said_in_one_line(command, tmp_path, clock, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    more = ["--json", "-o", "x"] if command == "export" else []
    asha_promotion(tmp_path, clock)
    damaged = tmp_path / "project" / JOURNAL
    damaged.write_bytes(damaged.read_bytes().replace(b'"epoch":1', b'"epoch":2', 1))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / JOURNAL).write_bytes(b'{"n":1,"eve')
    (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())
    for directory, message in [
        ("nowhere", "nowhere/journal.jsonl: there is no such journal"),
        ("file", "file/journal.jsonl: there is no such journal"),
        ("torn", "not even its first line is written yet"),
        ("project", "journal.jsonl is damaged at byte"),
    ]:
        with pytest.raises(SystemExit) as caught:
            main([command, directory, *more])
        assert str(caught.value).startswith(f"python -m kt_ext {command}: ")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("arguments", [["best", "x", "-n", "0"], ["watch", "x", "--every", "0"], ["export", "x"]])
def test_wrong_options_are_refused(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


def test_the_commands_of_the_readme(tmp_path, clock, monkeypatch, capsys):
    asha_promotion(tmp_path / "played", clock)
    (tmp_path / "runs").mkdir()
    (tmp_path / "played/project").rename(tmp_path / "runs/untitled_project")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [shlex.split(line, comments=True) for line in re.findall("^python -m kt_ext .*$", text, re.MULTILINE)]
    found = [line[3:] for line in lines if "runs/untitled_project" in line]
    assert sorted({command[0] for command in found}) == ["best", "export", "report", "resume", "watch"]
    for command in found:
        main(command)
        assert capsys.readouterr().out
    written = {"report.html", "trials.csv", "trials-history.csv", "study.db"}
    assert written <= {path.name for path in tmp_path.iterdir()}


def test_neither_keras_nor_a_backend_is_loaded(tmp_path, clock):
    asha_promotion(tmp_path, clock)
    script = """
import sys
from kt_ext.__main__ import main
project, out = sys.argv[1:]
light = []
for command in (["best", project], ["resume", project], ["watch", project, "--once"]):
    main(command)
light = {"pandas", "matplotlib", "optuna", "plotly"} & set(sys.modules)
main(["report", project, "-o", out + "/report.html"])
main(["export", project, "--json", "-o", out + "/run.json"])
heavy = {"keras", "keras_tuner", "tensorflow", "jax", "torch", "grpc", "tensorboard"}
print(sorted(light), sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "project"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "[] []"
    assert (tmp_path / "report.html").stat().st_size > 10_000
