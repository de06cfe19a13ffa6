"""The display of a search that this process leads, whoever trains: the same view as ``python -m kt_ext watch``.

It is read from the journal by a thread of its own, so it goes on while a long epoch trains, and costs training little.
"""

from __future__ import annotations

import html
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from kt_ext.core.durable import StorageError
from kt_ext.core.journal import JournalDamaged
from kt_ext.core.lock import ProjectLock
from kt_ext.oracles.screen import LogScreen, Screen
from kt_ext.reports.record import JOURNAL, LOCK, Follower
from kt_ext.reports.watch import BLOCKS, PLAIN_BLOCKS, line, view

EVERY_SECONDS = 1.0
SHARE = 0.05  # of the time may go into drawing
NOTEBOOK_SIZE = (140, 24)  # columns and lines
NOTEBOOK_BURST = 20  # lines below the display


def screen_of(directory: str | os.PathLike[str], verbose: int) -> Screen:
    """Live in a terminal and in a notebook, lines in a log; with ``verbose=2`` lines, as Keras writes there too."""
    project = Project(Path(directory))
    if verbose < 2 and in_notebook():
        return NotebookScreen(project)
    if verbose < 2 and sys.stdout.isatty():
        return TerminalScreen(project)
    return LogScreen(project.line)


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook, Colab's too."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class Project:
    """A search as its journal has it now."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._follower = Follower(directory)
        encoding = (getattr(sys.stdout, "encoding", None) or "").lower()
        self._blocks = BLOCKS if encoding.startswith("utf") else PLAIN_BLOCKS

    def lines(self, size: tuple[int, int]) -> list[str]:
        """The lines of a display of so many columns and lines; none before the search has begun."""
        try:
            return view(self._follower.update(), self._holder(), self._silent(), size, self._blocks, own=True)
        except (OSError, StorageError, JournalDamaged):
            return []  # not begun; what is wrong with the files is said by the search itself

    def line(self) -> str:
        """The search in one line."""
        try:
            return line(self._follower.update(), self._holder(), self._silent())
        except (OSError, StorageError, JournalDamaged):
            return ""

    def _holder(self) -> dict[str, Any] | None:
        return ProjectLock.holder(self._directory / LOCK)

    def _silent(self) -> float:
        return max(0.0, time.time() - (self._directory / JOURNAL).stat().st_mtime)


class _Ticker:
    """Calls ``draw`` once a second, less often if it takes long."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kt_ext display", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause = 0.0
        while not self._over.wait(pause):
            began = time.monotonic()
            self._draw()
            pause = max(EVERY_SECONDS, (time.monotonic() - began) / SHARE)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


class TerminalScreen(LogScreen):
    """Lines that scroll, and below them the search as it stands."""

    def __init__(self, project: Project) -> None:
        super().__init__()
        self._project = project
        self._live: Any = None
        self._ticker: _Ticker | None = None

    def begin(self) -> None:
        from rich.live import Live  # only here: a log needs no rich

        self._live = Live(auto_refresh=False, transient=True)
        self._live.start()
        self._ticker = _Ticker(self._draw)

    def write(self, line: str) -> None:
        if self._live is None:
            super().write(line)
        else:
            self._live.console.print(line, highlight=False, markup=False)

    def end(self) -> None:
        if self._ticker is not None:
            self._ticker.stop()
            self._live.stop()
            self._live = self._ticker = None

    def _draw(self) -> None:
        from rich.text import Text

        columns, lines = shutil.get_terminal_size()
        self._live.update(Text("\n".join(self._project.lines((columns, max(8, lines // 2))))), refresh=True)


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
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None
            self._handle.update(self._picture())

    def _picture(self) -> Any:
        from IPython.display import HTML

        return HTML(f"<pre>{html.escape(chr(10).join(self._project.lines(NOTEBOOK_SIZE)))}</pre>")
