"""The part of a chief's credentials that a worker elsewhere gets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kt_ext.execution import credentials


def private(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return path


def test_they_are_enough_for_a_worker_and_not_for_a_chief(tmp_path: Path) -> None:
    full = credentials.create(tmp_path / "chief")
    own = credentials.write_client(private(tmp_path / "worker"), full.ca, full.token)
    assert (own.ca, own.token, own.certificate, own.key) == (full.ca, full.token, b"", b"")
    assert sorted(os.listdir(own.directory)) == ["ca.pem", "token"]
    assert os.stat(os.path.join(own.directory, "token")).st_mode & 0o777 == 0o600
    assert own.channel() is not None
    assert credentials.Credentials(own.directory).token == full.token
    with pytest.raises(ValueError, match=r"server\.key is missing: these are the credentials of a worker; make"):
        own.server()


def test_one_of_the_chiefs_two_files_is_not_enough(tmp_path: Path) -> None:
    full = credentials.create(tmp_path / "chief")
    os.remove(tmp_path / "chief" / "server.key")
    with pytest.raises(FileNotFoundError, match=r"server\.key is missing"):
        credentials.Credentials(full.directory)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    full = credentials.create(tmp_path / "chief")
    with pytest.raises(FileExistsError):
        credentials.write_client(full.directory, full.ca, full.token)


def test_other_users_may_not_read_them(tmp_path: Path) -> None:
    full = credentials.create(tmp_path / "chief")
    open_to_all = private(tmp_path / "worker")
    open_to_all.chmod(0o755)
    with pytest.raises(PermissionError, match="has mode 0755"):
        credentials.write_client(open_to_all, full.ca, full.token)
