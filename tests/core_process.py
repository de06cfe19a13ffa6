"""Starts processes to be killed: a new Python that sees kt_ext.core alone, so that none waits for Keras to load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import kt_ext.core

_PACKAGE = Path(kt_ext.core.__file__).parents[1]
_PRELUDE = f"""
import os, sys, types
package = sys.modules["kt_ext"] = types.ModuleType("kt_ext")
package.__path__ = [{str(_PACKAGE)!r}]
"""


def start(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Run ``code`` with ``sys.argv[1:]`` as given; its standard output is a pipe."""
    command = [sys.executable, "-c", _PRELUDE + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)
