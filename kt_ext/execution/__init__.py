"""Runs a search on many workers: a chief that has the oracle and the journal, and launchers that start workers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kt_ext.execution.errors import ChiefError, LostTrial

if TYPE_CHECKING:
    from kt_ext.execution.chief import Chief
    from kt_ext.execution.client import ChiefClient

__all__ = ["Chief", "ChiefClient", "ChiefError", "LostTrial"]

# Imported when first used: they need grpc and Keras Tuner, which a launcher and the command line do not.
_WHERE = {"Chief": "kt_ext.execution.chief", "ChiefClient": "kt_ext.execution.client"}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'kt_ext.execution' has no attribute {name!r}; it has {', '.join(__all__)}")
