"""Disks that are really full and directories that are really read-only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def tiny_disk(directory: Path, size: str = "64k") -> Iterator[None]:
    """A RAM disk of ``size`` at ``directory``."""
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory))
    try:
        yield
    finally:
        _unmount(directory)


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Nothing in ``directory`` can be written; for root, whom no permission binds, by a read-only mount."""
    if os.geteuid() == 0:
        _mount("--bind", str(directory), str(directory))
        try:
            _mount("-o", "remount,ro,bind", str(directory))
            yield
        finally:
            _unmount(directory)
        return
    paths = [*directory.iterdir(), directory]
    modes = [path.stat().st_mode for path in paths]
    for path in paths:
        path.chmod(0o555)
    try:
        yield
    finally:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """This process cannot write beyond ``size`` bytes of any file: a full disk that needs no root."""
    resource = pytest.importorskip("resource", reason="file size limits need POSIX")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))  # Python ignores SIGXFSZ, so that write says EFBIG
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def _mount(*arguments: str) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("mounting a disk of our own needs Linux")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mounting a disk of our own needs root and its privileges: {done.stderr.strip()}")


def _unmount(directory: Path) -> None:
    # Lazy, since a test that failed may have left a file open there.
    subprocess.run(["umount", "--lazy", str(directory)], check=True)
