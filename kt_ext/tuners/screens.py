"""The display of a search that this process leads, whoever trains: the same view as ``python -m kt_ext watch``.

It is read from the journal by a thread of its own, so it goes on while a long epoch trains, and costs training little.
"""

from __future__ import annotations

import html
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kt_ext.core.durable import StorageError
from kt_ext.core.journal import JournalDamaged
from kt_ext.core.lock import ProjectLock
from kt_ext.oracles.printing import encodable, encoding, is_terminal
from kt_ext.oracles.screen import LogScreen, Screen, SilentScreen
from kt_ext.reports.record import LOCK, Follower
from kt_ext.reports.watch import BLOCKS, PLAIN_BLOCKS, line, silence, view

_log = logging.getLogger("kt_ext")

EVERY_SECONDS = 1.0
SHARE = 0.05  # of the time may go into drawing
STOP_SECONDS = 2.0  # that the end of a search waits for a picture that is being drawn
NOTEBOOK_SIZE = (140, 24)  # columns and lines
NOTEBOOK_BURST = 20  # lines below the display


def screen_of(directory: str | os.PathLike[str], verbose: int) -> Screen:
    """Live in a terminal and in a notebook, lines in a log; with ``verbose=2`` lines, as Keras writes there too.

    With ``verbose=0`` nothing: standard output may then be missing.
    """
    if verbose < 1:
        return SilentScreen()
    project = Project(Path(directory))
    if verbose < 2 and in_notebook():
        return NotebookScreen(project)
    if verbose < 2 and can_redraw():
        return TerminalScreen(project)
    return LogScreen(project.line)


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook, Colab's too."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def can_redraw() -> bool:
    """Whether standard output is a terminal where what was written can be written over."""
    if not is_terminal(sys.stdout):
        return False
    from rich import get_console  # only here: a log needs no rich

    console = get_console()
    return console.is_terminal and console.is_interactive  # as rich itself decides, not with TERM=dumb


class Project:
    """A search as its journal has it now."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._follower = Follower(directory)
        self._blocks = BLOCKS if encoding().lower().startswith("utf") else PLAIN_BLOCKS

    def lines(self, size: tuple[int, int]) -> list[str]:
        """The lines of a display of so many columns and lines; none before the search has begun."""
        try:
            return view(self._follower.update(), self._holder(), silence(self._directory), size, self._blocks, own=True)
        except (OSError, StorageError, JournalDamaged):
            return []  # not begun; what is wrong with the files is said by the search itself

    def line(self) -> str:
        """The search in one line."""
        try:
            return line(self._follower.update(), self._holder(), silence(self._directory))
        except (OSError, StorageError, JournalDamaged):
            return ""

    def _holder(self) -> dict[str, Any] | None:
        return ProjectLock.holder(self._directory / LOCK)


class _Ticker:
    """Calls ``draw`` once a second, less often if it takes long; that it failed is logged once."""

    def __init__(self, draw: Callable[[], None]) -> None:
        self._draw = draw
        self._failed = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kt_ext display", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause = 0.0
        while not self._over.wait(pause):
            began = time.monotonic()
            try:
                self._draw()
            except Exception:  # whatever it is: the next picture may succeed, and the search needs none
                if not self._failed:
                    _log.warning("the search goes on without a picture of it, which failed", exc_info=True)
                self._failed = True
            pause = max(EVERY_SECONDS, (time.monotonic() - began) / SHARE)

    def stop(self) -> None:
        self._over.set()
        self._thread.join(STOP_SECONDS)


class TerminalScreen(LogScreen):
    """Lines that scroll, and below them the search as it stands."""

    def __init__(self, project: Project) -> None:
        super().__init__()
        self._project = project
        self._live: Any = None
        self._ticker: _Ticker | None = None

    def begin(self) -> None:
        from rich.live import Live  # only here: a log needs no rich

        # rich would write to the terminal what goes to a file
        live = Live(auto_refresh=False, transient=True, redirect_stderr=is_terminal(sys.stderr))
        self._live = live
        live.start()
        self._ticker = _Ticker(lambda: self._draw(live))

    def write(self, line: str) -> None:
        if self._live is None:
            super().write(line)
        else:
            self._live.console.print(encodable(line), highlight=False, markup=False, emoji=False)

    def end(self) -> None:
        live, ticker = self._live, self._ticker
        self._live = self._ticker = None
        try:
            if ticker is not None:
                ticker.stop()
        finally:  # Ctrl-C ends the waiting; the cursor and standard output must be given back
            if live is not None:
                live.stop()

    def _draw(self, live: Any) -> None:
        from rich.text import Text

        columns, lines = shutil.get_terminal_size()
        shown = encodable("\n".join(self._project.lines((columns, max(8, lines // 2)))))
        live.update(Text(shown, no_wrap=True, overflow="crop"), refresh=True)


class NotebookScreen(LogScreen):
    """The search as it stands in the cell's output, which is drawn again and again, and a few lines below it."""

    def __init__(self, project: Project) -> None:
        super().__init__(burst=NOTEBOOK_BURST)
        self._project = project
        self._handle: Any = None
        self._ticker: _Ticker | None = None

    def begin(self) -> None:
        from IPython.display import display

        self._handle = display(self._picture(), display_id=True)
        self._ticker = _Ticker(lambda: self._handle.update(self._picture()))

    def end(self) -> None:
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.stop()
            self._handle.update(self._picture())

    def _picture(self) -> Any:
        from IPython.display import HTML

        return HTML(f"<pre>{html.escape(chr(10).join(self._project.lines(NOTEBOOK_SIZE)))}</pre>")
