"""What a search shows."""

from __future__ import annotations

import io
import math
import sys

import keras_tuner
import pytest

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


class Broken:
    """A screen that fails at one of its steps."""

    def __init__(self, step, error):
        self._step, self._error = step, error
        self.steps = []

    def _do(self, step):
        self.steps.append(step)
        if step == self._step:
            raise self._error

    def begin(self):
        self._do("begin")

    def say(self, line, important=False):
        self._do("say")

    def end(self):
        self._do("end")


@pytest.mark.parametrize(
    ("step", "steps"),
    [("begin", ["begin", "end"]), ("say", ["begin", "say", "end"]), ("end", ["begin", *["say"] * 5, "end", "end"])],
)
def test_a_display_that_fails_ends_no_search(step, steps, tmp_path, capsys, caplog):
    oracle = asha(tmp_path, objective=ACCURACY, max_trials=3)
    oracle.verbose = 1
    screen = oracle.progress.screen = Broken(step, OverflowError("a mistake of ours"))
    Workers(oracle, three).run()
    oracle.finish()
    assert screen.steps == steps
    assert [record.name for record in caplog.records] == ["kt_ext"]
    assert "the search goes on without its display, which failed" in caplog.text
    assert "OverflowError: a mistake of ours" in caplog.text
    assert "Search ended: all 3 trials are done (max_trials=3)" in capsys.readouterr().out


def test_ctrl_c_passes_the_display(tmp_path):
    oracle = asha(tmp_path)
    oracle.verbose = 1
    oracle.progress.screen = Broken("begin", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        oracle.create_trial("tuner0")
    oracle.finish()


def test_a_reader_that_went_away_ends_no_search(tmp_path, monkeypatch, caplog):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    oracle = asha(tmp_path, objective=ACCURACY, max_trials=3)
    oracle.verbose = 1
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Gone())
        Workers(oracle, three).run()
        oracle.finish()
    assert len(oracle.trials) == 3
    assert [record.exc_info[0] for record in caplog.records] == [BrokenPipeError]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_a_log_cannot_encode_is_spelt_out(encoding, tmp_path, monkeypatch, caplog):
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["relu\u2192"])
    oracle = asha(tmp_path, "\u2192", objective=ACCURACY, max_trials=1, hyperparameters=hp)
    oracle.verbose = 1
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        Workers(oracle, three).run()
        oracle.finish()
    said = stream.buffer.getvalue().decode(encoding).splitlines()
    assert said[0].endswith("kind=relu\\u2192")
    assert said[-2].endswith("(kind=relu\\u2192)")
    assert said[-1] == f"Files: {tmp_path}/\\u2192"
    assert not caplog.records
