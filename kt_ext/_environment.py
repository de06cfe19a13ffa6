"""Says at import what is missing or too old, in one message, before Keras fails with an obscure one.

Only package metadata is read: nothing that is checked gets imported.
"""

from __future__ import annotations

import json
import os
import re
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

#: The backends that can train, with what installs them.
_BACKENDS = {"tensorflow": "tensorflow>=2.16", "jax": "jax", "torch": "torch"}


def check() -> None:
    """Raises ImportError if Keras, Keras Tuner, what they need, or the chosen backend is missing or unsuitable.

    The message names what was found, what is needed and the command that mends it.
    """
    _require("keras", "keras>=3.3", at_least=(3, 3))
    _require("keras-tuner", "keras-tuner>=1.4.7,<2", at_least=(1, 4, 7), below=(2,))
    backend, chosen_by = configured_backend()
    if backend in _BACKENDS and not _importable(backend):
        raise ImportError(_no_backend(backend, chosen_by))
    if not _importable("six"):
        raise ImportError(
            "six is not installed: kt_ext needs it because keras-tuner imports it without declaring it. "
            "Run: pip install six"
        )
    if backend == "tensorflow" and not _importable("tensorboard"):
        raise ImportError(
            "tensorboard is not installed: kt_ext needs it because keras-tuner imports it in every trial on the "
            "TensorFlow backend, and TensorFlow 2.21 no longer brings it. Run: pip install tensorboard"
        )


def configured_backend() -> tuple[str, str]:
    """The backend that Keras uses, or will use once imported, and what chose it, in words.

    The order is that of ``keras/src/backend/config.py``: KERAS_BACKEND, then keras.json, then TensorFlow.
    """
    if backend := os.environ.get("KERAS_BACKEND"):
        return backend, "the environment variable KERAS_BACKEND"
    path = _keras_home() / "keras.json"
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError):  # Keras, too, goes on without a file that it cannot read.
        config = {}
    if backend := config.get("backend"):
        return backend, str(path)
    return "tensorflow", "Keras's default"


def _keras_home() -> Path:
    if "KERAS_HOME" in os.environ:
        return Path(os.environ["KERAS_HOME"]).expanduser()
    home = os.path.expanduser("~")
    return Path(home if os.access(home, os.W_OK) else "/tmp", ".keras")


def _require(name: str, requirement: str, at_least: tuple[int, ...], below: tuple[int, ...] | None = None) -> None:
    """Raises ImportError unless a distribution ``name``, or its nightly build, has a version within the bounds."""
    found = _version(name) or _version(f"{name}-nightly")
    if found is None:
        raise ImportError(f'{name} is not installed: kt_ext needs {requirement}. Run: pip install "{requirement}"')
    numbers = tuple(int(digits) for digits in re.findall(r"\d+", found)[:3])
    if numbers < at_least or (below is not None and numbers >= below):
        raise ImportError(
            f'{name} {found} is installed: kt_ext needs {requirement}. Run: pip install --upgrade "{requirement}"'
        )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _importable(module: str) -> bool:
    """Whether a real top-level module is there. A bare folder, as an uninstall may leave behind, has no origin."""
    spec = find_spec(module)
    return spec is not None and spec.origin is not None


def _no_backend(backend: str, chosen_by: str) -> str:
    problem = f"Keras's backend is {backend}, chosen by {chosen_by}, but {backend} is not installed. "
    install = f'pip install "{_BACKENDS[backend]}"'
    installed = [other for other in _BACKENDS if _importable(other)]
    if installed:
        instead = " or ".join(f"KERAS_BACKEND={other}" for other in installed)
        return f"{problem}Set the environment variable {instead} before Python imports keras, or run: {install}"
    return f"{problem}Run: {install}, or install jax or torch and set KERAS_BACKEND to it"
