"""Figures of matplotlib, made without pyplot: nothing is shown and no display is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def new_figure(width: float, height: float) -> Any:
    """An empty figure of this size in inches. Raises ImportError with the remedy where matplotlib lacks."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install matplotlib") from error
    return Figure(figsize=(width, height))


def written(figure: Any, path: str | Path | None) -> Any:
    """The figure, written to ``path`` if that is given, in the format that its suffix says.

    Raises:
        ValueError: matplotlib does not know the suffix.
    """
    if path is not None:
        suffix = Path(path).suffix.removeprefix(".").lower()
        known = figure.canvas.get_supported_filetypes()
        if suffix not in known:
            raise ValueError(f"path={str(path)!r}: must end with one of {', '.join(f'.{each}' for each in known)}")
        figure.savefig(path, dpi=150)
    return figure
