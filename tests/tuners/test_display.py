"""What a search prints where nobody looks at a terminal: nothing, or lines."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout

import pytest

from tuners.searches import data, small_model
from tuners.test_keras_tuner_features import asha


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """The lines of a search of three trials, one of which is promoted, as a log or a notebook gets them."""
    tuner = asha(directory=str(tmp_path_factory.mktemp("display")))
    with redirect_stdout(io.StringIO()) as stdout:
        tuner.search(**data(), verbose=1)
    return stdout.getvalue(), tuner


def test_verbose_0_prints_nothing(project, capfd):
    tuner = asha(max_total_epochs=2, **project)
    capfd.readouterr()
    tuner.search(**data(), verbose=0)
    again = asha(**project)
    # Keras Tuner's own line, when a tuner finds a search in its directory: verbose comes later, with search
    assert capfd.readouterr().out == f"Reloading Tuner from {again.project_dir}/tuner0.json\n"
    again.search(**data(), verbose=0)
    assert capfd.readouterr().out == ""


def test_one_line_for_each_segment(printed):
    lines, _ = printed
    segments = re.findall(r"^\[ +\d+ s\] trial (\d)  (\d)/3 epochs  val_loss [\d.]+  (\w+)  \(best", lines, re.M)
    assert [(epochs, what) for _, epochs, what in segments] == [("1", "paused")] * 3 + [("3", "done")]
    assert "learning_rate=" in lines and "\x1b" not in lines


def test_the_end_says_why_and_what(printed):
    lines, tuner = printed
    assert "Search ended: all 3 trials are done (max_trials=3)" in lines
    assert re.search(
        r"1 epochs +3 +[\d.]+\n +3 epochs +1 +[\d.]+\n5 epochs trained; 3 trials in full would take 9", lines
    )
    best = tuner.oracle.get_best_trials()[0]
    assert f"Best trial {best.trial_id}: val_loss {best.score:.5g}" in lines
    assert lines.rstrip().endswith(f"Files: {tuner.project_dir}")


@pytest.mark.slow
def test_verbose_2_shows_keras_epochs(project, capsys):
    asha(max_trials=1, max_epochs=2, min_epochs=2, **project).search(**data(), verbose=2)
    printed = capsys.readouterr().out
    assert "Epoch 1/2" in printed and "Epoch 2/2" in printed


def test_a_failure_is_shown(project, capsys):
    def broken(hp):
        if hp.Float("x", 0.0, 1.0) > 0:
            raise ZeroDivisionError("a mistake of the user's")
        return small_model()

    with pytest.raises(RuntimeError, match="3 trials failed in a row"):
        asha(broken, **project).search(**data(), verbose=1)
    printed = capsys.readouterr().out
    assert printed.count("ZeroDivisionError: a mistake of the user's") == 3
    assert "Search ended: 3 trials failed in a row (max_consecutive_failed_trials)" in printed
