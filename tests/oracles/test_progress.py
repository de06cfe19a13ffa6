"""What a search shows."""

from __future__ import annotations

import math

import keras_tuner

from kt_ext.oracles.rung_table import RungRow, rung_rows, summary
from oracles.oracle_driving import Workers, asha

ACCURACY = keras_tuner.Objective("acc", "max")
BASE = (0.1, 0.9, 0.5)


def three(trial, epoch):
    return {"acc": math.nan if trial.trial_id == "2" else BASE[int(trial.trial_id)] + epoch / 100}


def searched(tmp_path=None, verbose=0, **changed):
    oracle = asha(tmp_path, objective=ACCURACY, max_trials=3, **changed)
    oracle.verbose = verbose
    Workers(oracle, three).run()
    return oracle


def test_rungs_by_hand():
    oracle = searched()
    # 1 is promoted to 3; nobody else reached 3, so it goes no further. 2 diverged at once.
    assert rung_rows(oracle) == [RungRow(1, 3, 0.91), RungRow(3, 1, 0.93), RungRow(9, 0, None)]
    assert summary(oracle).splitlines() == [
        "      rung  trials  best acc",
        "   1 epochs       3  0.91",
        "   3 epochs       1  0.93",
        "   9 epochs       0  -",
        "5 epochs trained; 3 trials in full would take 27 (19%)",
    ]


def test_a_rung_where_all_diverged_has_no_best():
    oracle = asha(objective=ACCURACY, max_trials=1)
    Workers(oracle, lambda trial, epoch: {"acc": math.nan}).run()
    assert rung_rows(oracle)[0] == RungRow(1, 1, None)


def test_an_empty_search_has_a_summary():
    assert summary(asha()).splitlines()[-1] == "0 epochs trained; 0 trials in full would take 0"


def test_verbose_0_prints_nothing(capsys, tmp_path):
    oracle = searched(tmp_path)
    oracle.finish()
    assert capsys.readouterr() == ("", "")


def test_plain_lines_where_there_is_no_terminal(capsys, tmp_path):
    oracle = searched(tmp_path, verbose=1)
    oracle.finish()
    printed = capsys.readouterr().out.splitlines()
    shown = [line.split("]", 1)[1].split("  (best")[0] for line in printed[:5] if "]" in line]
    assert shown == [
        " trial 0  1/9 epochs  acc 0.11  paused",
        " trial 1  1/9 epochs  acc 0.91  paused",
        " trial 2  1/9 epochs  acc not finite  done",
        " trial 1  3/9 epochs  acc 0.93  paused",
    ]
    assert "    acc was never finite: the training diverged" in printed
    assert "(best 0.91)  rate=" in printed[1]
    assert "Search ended: all 3 trials are done (max_trials=3)" in printed
    assert any(line.startswith("Best trial 1: acc 0.93 (rate=") for line in printed)
    assert printed[-1] == f"Files: {tmp_path / 'project'}"


def test_failures_are_shown_with_their_last_line(capsys):
    oracle = asha(max_trials=1, max_retries_per_trial=1)
    oracle.verbose = 1
    Workers(oracle, lambda trial, epoch: RuntimeError("Traceback ...\n  somewhere\nValueError: too wide")).run()
    oracle.finish()
    printed = capsys.readouterr().out
    assert printed.count("    ValueError: too wide\n") == 2
    assert "trial 0  0/9 epochs  no loss  to be continued" in printed
    assert "trial 0  0/9 epochs  no loss  failed" in printed
    assert "No trial has a finite loss" in printed


def test_an_interrupted_search_says_so(capsys):
    oracle = asha()
    oracle.verbose = 1
    oracle.create_trial("tuner0")
    oracle.finish()
    assert "Search ended: interrupted" in capsys.readouterr().out
