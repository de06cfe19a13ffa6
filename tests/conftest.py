"""What all tests share: tests for one backend are skipped on the others, a small dataset, a project directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

BACKEND_MARKERS = ("tensorflow", "jax")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    import keras

    backend = keras.backend.backend()
    for item in items:
        for marker in BACKEND_MARKERS:
            if item.get_closest_marker(marker) and backend != marker:
                item.add_marker(pytest.mark.skip(reason=f"needs the {marker} backend, this is {backend}"))


@pytest.fixture(autouse=True)
def _files_of_killed_searches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A kill closes files; a test that plays one leaves a search with its journal and its lock open."""
    from kt_ext.core.journal import Journal
    from kt_ext.core.lock import ProjectLock

    opened: list[Any] = []
    for cls in (Journal, ProjectLock):

        def remembered(self: Any, *args: Any, _init: Any = cls.__init__, **kwargs: Any) -> None:
            opened.append(self)
            _init(self, *args, **kwargs)

        monkeypatch.setattr(cls, "__init__", remembered)
    yield
    for one in opened:
        if getattr(one, "_fd", -1) >= 0:
            os.close(one._fd)
            one._fd = -1


class Digits(NamedTuple):
    """Handwritten digits, 8 x 8 pixels in 0..1, ten classes; 400 to train on and 200 to validate."""

    x: np.ndarray  # (400, 8, 8, 1) float32
    y: np.ndarray  # (400,) int64
    x_val: np.ndarray  # (200, 8, 8, 1) float32
    y_val: np.ndarray  # (200,) int64


@pytest.fixture(scope="session")
def digits() -> Digits:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype("float32").reshape(-1, 8, 8, 1)
    order = np.random.default_rng(0).permutation(len(images))
    train, val = order[:400], order[400:600]
    return Digits(images[train], labels[train], images[val], labels[val])


@pytest.fixture
def project(tmp_path: Path) -> dict[str, str]:
    """Where a tuner keeps its files: ``Tuner(..., **project)``. The same fixture value again resumes the search."""
    return {"directory": str(tmp_path), "project_name": "project"}
