"""The view in a terminal, beside what else is written there, and when something goes wrong."""

from __future__ import annotations

import io
import logging
import re
import sys
import threading
from types import SimpleNamespace

import pytest
import rich

from kt_ext.oracles.screen import LogScreen, SilentScreen
from kt_ext.tuners import screens
from kt_ext.tuners.screens import TerminalScreen, screen_of
from oracles.oracle_driving import Workers, asha, by_values

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Terminal(io.TextIOWrapper):
    """One that keeps what is written to it."""

    def __init__(self, encoding="utf-8"):
        super().__init__(io.BytesIO(), encoding)

    def isatty(self):
        return True

    @property
    def said(self):
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)


class Shown:
    """A project whose lines are given, or those of a call."""

    def __init__(self, lines):
        self._lines = lines

    def lines(self, size):
        return self._lines() if callable(self._lines) else self._lines


@pytest.fixture
def terminal(monkeypatch):
    """Makes a terminal standard output."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):  # rich believes these
        monkeypatch.delenv(name, raising=False)

    def make(encoding="utf-8", kind="xterm"):
        made = Terminal(encoding)
        monkeypatch.setenv("TERM", kind)
        monkeypatch.setattr(sys, "stdout", made)
        rich.reconfigure()
        return made

    monkeypatch.setattr(screens, "EVERY_SECONDS", 0.01)
    yield make
    monkeypatch.undo()
    rich.reconfigure()


def test_a_terminal_gets_the_view_and_a_dumb_one_lines(terminal, tmp_path):
    terminal()
    assert type(screen_of(tmp_path, 1)) is TerminalScreen
    terminal(kind="dumb")
    screen = screen_of(tmp_path, 1)
    assert type(screen) is LogScreen
    assert screen._status is not None  # said once a minute


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    "stdout", [None, closed(), SimpleNamespace(write=len, flush=lambda: None)], ids=["none", "closed", "only written"]
)
def test_standard_output_may_be_no_stream(stdout, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stdout)
    made = [type(screen_of(tmp_path, verbose)) for verbose in (0, 1, 2)]
    monkeypatch.undo()
    assert made == [SilentScreen, LogScreen, LogScreen]


def test_lines_are_shown_as_they_are(terminal):
    shown = terminal()
    screen = TerminalScreen(Shown(["[bold]below"]))
    screen.begin()
    screen.say("[red]batch=:100:")
    screen.end()
    assert "[red]batch=:100:" in shown.said
    assert "[bold]below" in shown.said


def test_what_the_terminal_cannot_show_is_spelt_out(terminal):
    shown = terminal("ascii")
    drawn = threading.Event()
    screen = TerminalScreen(Shown(lambda: drawn.set() or ["kind=\u2193"]))
    screen.begin()
    assert drawn.wait(60)
    screen.say("kind=\u2192")
    screen.end()
    assert "kind=\\u2192" in shown.said
    assert "kind=\\u2193" in shown.said


def test_standard_error_is_left_alone_where_it_is_no_terminal(terminal, monkeypatch):
    terminal()
    for errors, taken in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr(sys, "stderr", errors)
        screen = TerminalScreen(Shown([]))
        screen.begin()
        assert (sys.stderr is not errors) is taken
        screen.end()
        assert sys.stderr is errors


def test_a_display_whose_thread_cannot_start_leaves_the_terminal_as_it_was(terminal, tmp_path, monkeypatch, caplog):
    shown = terminal()
    oracle = asha(tmp_path)
    oracle.verbose = 1
    oracle.progress.screen = screen_of(tmp_path / "project", 1)

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    Workers(oracle, by_values).run()
    assert sys.stdout is shown
    assert shown.said.count(HIDE) == shown.said.count(SHOW) == 1
    assert [record.exc_info[1].args for record in caplog.records] == [("can't start new thread",)]
    oracle.finish()
    assert "Search ended: all 9 trials are done" in shown.said


def test_ctrl_c_while_the_search_ends_leaves_the_terminal_as_it_was(terminal, monkeypatch):
    shown = terminal()

    def interrupt(ticker):
        raise KeyboardInterrupt

    screen = TerminalScreen(Shown(["below"]))
    screen.begin()
    ticker = screen._ticker
    with monkeypatch.context() as patch:
        patch.setattr(screens._Ticker, "stop", interrupt)
        with pytest.raises(KeyboardInterrupt):
            screen.end()
    ticker.stop()
    assert sys.stdout is shown
    assert shown.said.count(HIDE) == shown.said.count(SHOW) == 1


def test_the_end_does_not_wait_for_a_picture_that_takes_long(terminal, monkeypatch):
    shown = terminal()
    monkeypatch.setattr(screens, "STOP_SECONDS", 0.01)
    begun, free, drawn = threading.Event(), threading.Event(), threading.Event()

    def slow():
        begun.set()
        free.wait(60)
        drawn.set()
        return []

    screen = TerminalScreen(Shown(slow))
    screen.begin()
    thread = screen._ticker._thread
    assert begun.wait(60)
    screen.end()
    assert not drawn.is_set()
    assert sys.stdout is shown
    free.set()
    thread.join(60)
    assert not thread.is_alive()


def test_a_picture_that_fails_is_logged_once_and_tried_again(terminal, caplog):
    shown = terminal()
    tries = iter(range(10**9))
    drawn = threading.Event()

    def failing_at_first():
        if next(tries) < 3:
            raise OverflowError("cannot convert float infinity to integer")
        drawn.set()
        return ["at last"]

    screen = TerminalScreen(Shown(failing_at_first))
    with caplog.at_level(logging.WARNING):
        screen.begin()
        assert drawn.wait(60)
        screen.end()
    assert [record.exc_info[0] for record in caplog.records] == [OverflowError]
    assert re.search("at last", shown.said)
