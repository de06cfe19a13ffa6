"""``watch DIR``: a search as it runs, in a terminal or in a log."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from kt_ext.commands.search import add_command, follow, leader, silence

if TYPE_CHECKING:
    from kt_ext.commands.search import Commands

UNLIMITED = (10_000, 10_000)  # columns and lines of a file


def add_watch(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "watch", "show a search while another process runs it, until it ends", _watch)
    parser.add_argument("--every", type=_seconds, default=2.0, metavar="SECONDS", help="how often to look (2)")
    parser.add_argument("--once", action="store_true", help="show it once")


def _seconds(text: str) -> float:
    found = float(text)
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"--every {text}: must be a number of seconds > 0")
    return found


def _watch(options: argparse.Namespace) -> None:
    with suppress(KeyboardInterrupt):  # Ctrl-C is how one stops looking
        _look(options.directory, options.every, options.once)


def _look(directory: str, every: float, once: bool) -> None:
    from kt_ext.reports.watch import BLOCKS, PLAIN_BLOCKS, line, rewind, view

    follower, record = follow(directory)
    terminal = sys.stdout.isatty()
    blocks = BLOCKS if (sys.stdout.encoding or "").lower().startswith("utf") else PLAIN_BLOCKS
    shown: list[str] = []
    while True:
        # first the lock: a search that ends in between has then written what is read after it
        holder = leader(record)
        record = follower.update()
        silent = silence(record)
        if terminal or once:
            size = shutil.get_terminal_size() if terminal else UNLIMITED
            lines = view(record, holder, silent, size, blocks)
            print((rewind(shown) if terminal else "") + "\n".join(lines), flush=True)
            shown = lines
        else:
            print(line(record, holder, silent), flush=True)
        if once:
            return
        if holder is None:
            if not terminal:
                print("No process leads it now.")
            return
        time.sleep(every)
