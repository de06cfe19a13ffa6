"""Sizes by default: chosen where a search has a hundred trials and more, and a share of the trials of a shorter one."""

from __future__ import annotations


def share_of(max_trials: int, share: int, least: int, most: int) -> int:
    """One ``share``-th of the trials, within bounds: ``share_of(16, 5, 2, 30)`` is 3."""
    return max(least, min(most, max_trials // share))
