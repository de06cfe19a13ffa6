"""``python -m kt_ext``, run as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from imports import ROOT
from kt_ext.execution.credentials import Credentials


def kt_ext(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kt_ext", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=cwd,
        capture_output=True,
        text=True,
    )


def test_without_arguments_it_prints_help() -> None:
    done = kt_ext()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python -m kt_ext")
    assert "credentials" in done.stdout
    assert done.stdout == kt_ext("--help").stdout


def test_an_unknown_command_is_an_error() -> None:
    done = kt_ext("credential")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'credential'" in done.stderr


def test_credentials_makes_them_and_says_what_to_export(tmp_path: Path) -> None:
    done = kt_ext("credentials", "my own", "--host", "node7", "--host", "10.0.0.7", "--days", "30", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    made = Credentials(tmp_path / "my own")
    assert f"valid until {made.expires:%Y-%m-%d}, are in {tmp_path}/my own\n" in done.stdout
    assert f"  export KT_EXT_CREDENTIALS='{tmp_path}/my own'\n" in done.stdout
    assert made.token not in done.stdout
    names = x509.load_pem_x509_certificate(made.certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert [str(name.value) for name in names.value] == ["node7", "10.0.0.7", "localhost", "127.0.0.1", "::1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["there"], "there is there already: "),
        (["new", "--host", "a b"], "host='a b': must be an IP address or a DNS name"),
        (["new", "--days", "-1"], "days=-1: must be an integer from 1 to 36500"),
    ],
)
def test_what_fails_is_said_in_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "something").touch()
    done = kt_ext("credentials", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("python -m kt_ext credentials: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_the_command_line_loads_neither_keras_nor_a_backend_nor_grpc(tmp_path: Path) -> None:
    script = """
import sys
from kt_ext.__main__ import main
main(["credentials", sys.argv[1]])
heavy = {"keras", "keras_tuner", "tensorflow", "jax", "torch", "grpc", "tensorboard"}
print(sorted(heavy & {name.split(".")[0] for name in sys.modules}), "cryptography" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "credentials")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "[] True", done.stderr
