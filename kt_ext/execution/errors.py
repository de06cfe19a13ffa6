"""What can go wrong between a worker and its chief."""

from __future__ import annotations


class ChiefError(RuntimeError):
    """The chief cannot be worked with, and trying again will not help: the message says why and what to do."""


class LostTrial(RuntimeError):
    """The trial is not this worker's any more: it was silent for too long, or was given up.

    What it has reported is kept. Leave the trial without ending it, and ask for the next.
    """
