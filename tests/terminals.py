"""Pseudo-terminals: where the programs under test think that somebody is looking."""

from __future__ import annotations

import os


def read_until(terminal: int, mark: bytes) -> bytes:
    """What is written to ``terminal`` until ``mark`` is among it."""
    said = b""
    while mark not in said:
        said += os.read(terminal, 4096)
    return said


def read_to_the_end(terminal: int) -> bytes:
    """What is still written to ``terminal`` before its other end is closed; closes it."""
    said = b""
    try:
        while more := os.read(terminal, 4096):
            said += more
    except OSError:  # Linux: the other end was closed
        pass
    os.close(terminal)
    return said
