"""Standard output as it may be: of a small encoding, closed, missing, or one that can only be written to."""

from __future__ import annotations

import sys
from typing import Any


def encoding() -> str:
    """That of standard output; UTF-8 where it tells none, as text that is kept in memory."""
    stream = getattr(sys.stdout, "rich_proxied_file", sys.stdout)  # rich's stand-in tells none
    return getattr(stream, "encoding", None) or "utf-8"


def encodable(text: str) -> str:
    r"""The text with ``\u2192`` in place of an arrow, and so on, where standard output's encoding has no such."""
    return text.encode(encoding(), "backslashreplace").decode(encoding())


def write(line: str) -> None:
    """Print a line."""
    print(encodable(line), flush=True)


def is_terminal(stream: Any) -> bool:
    """Whether it is one; a stream that is None, closed, or can only be written to is none."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False
