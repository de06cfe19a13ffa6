"""What ``import kt_ext`` says in an unsuitable environment.

Each case is a real environment in small: a folder laid out as pip leaves it (``<name>-<version>.dist-info`` beside
the module), which is all that a Python without site-packages (``-S``) then sees.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imports import ROOT

SUITABLE = {"keras": "3.15.1", "keras-tuner": "1.4.8", "six": "1.17.0", "tensorboard": "2.21.0", "tensorflow": "2.21.0"}


class Environment:
    """A folder of installed distributions; ``KERAS_HOME`` is inside it."""

    def __init__(self, root: Path) -> None:
        self.site = root / "site"
        self.keras_home = root / "keras_home"
        self.site.mkdir()
        self.keras_home.mkdir()

    def install(self, versions: dict[str, str]) -> None:
        for name, version in versions.items():
            info = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            module = self.site / name.replace("-", "_").removesuffix("_nightly").removesuffix("_cpu")
            module.mkdir()
            # importing it would end the process: the check must read metadata only
            (module / "__init__.py").write_text("raise SystemExit('imported before the check')")

    def run(self, code: str, backend: str | None = None) -> tuple[int, str]:
        """The exit status and the last line of stderr of ``code``."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("KERAS_")}
        env |= {"PYTHONPATH": os.pathsep.join([str(self.site), str(ROOT)]), "KERAS_HOME": str(self.keras_home)}
        if backend is not None:
            env["KERAS_BACKEND"] = backend
        done = subprocess.run([sys.executable, "-S", "-c", code], env=env, capture_output=True, text=True)
        return done.returncode, done.stderr.strip().rpartition("\n")[2]

    def message(self, backend: str | None = None) -> str:
        """What ``import kt_ext`` raises."""
        code, error = self.run("import kt_ext", backend)
        assert code == 1
        assert error.startswith("ImportError: ")
        return error.removeprefix("ImportError: ")

    def accepts(self, backend: str | None = None) -> bool:
        script = f"import runpy; runpy.run_path({str(ROOT / 'kt_ext' / '_environment.py')!r})['check']()"
        return self.run(script, backend) == (0, "")


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path)


@pytest.mark.parametrize(
    ("changes", "backend"),
    [
        ({}, None),
        ({"keras": "3.3.0", "keras-tuner": "1.4.7"}, None),
        ({"keras": None, "keras-nightly": "3.16.0.dev2026112003"}, None),
        ({"tensorflow": None, "tensorflow-cpu": "2.21.0"}, "tensorflow"),
        ({"tensorflow": None, "tensorboard": None, "jax": "0.10.2"}, "jax"),
        ({"tensorflow": None, "tensorboard": None, "torch": "2.13.0+cpu"}, "torch"),
    ],
)
def test_suitable(environment: Environment, changes: dict[str, str | None], backend: str | None) -> None:
    environment.install({name: version for name, version in (SUITABLE | changes).items() if version})
    assert environment.accepts(backend)


@pytest.mark.parametrize(
    ("changes", "backend", "message"),
    [
        ({"keras": None}, None, 'keras is not installed: kt_ext needs keras>=3.3. Run: pip install "keras>=3.3"'),
        (
            {"keras": "2.15.0"},
            None,
            'keras 2.15.0 is installed: kt_ext needs keras>=3.3. Run: pip install --upgrade "keras>=3.3"',
        ),
        (
            {"keras": "3.2.1"},
            None,
            'keras 3.2.1 is installed: kt_ext needs keras>=3.3. Run: pip install --upgrade "keras>=3.3"',
        ),
        (
            {"keras-tuner": None},
            None,
            "keras-tuner is not installed: kt_ext needs keras-tuner>=1.4.7,<2. "
            'Run: pip install "keras-tuner>=1.4.7,<2"',
        ),
        (
            {"keras-tuner": "1.4.6"},
            None,
            "keras-tuner 1.4.6 is installed: kt_ext needs keras-tuner>=1.4.7,<2. "
            'Run: pip install --upgrade "keras-tuner>=1.4.7,<2"',
        ),
        (
            {"keras-tuner": "2.0.0"},
            None,
            "keras-tuner 2.0.0 is installed: kt_ext needs keras-tuner>=1.4.7,<2. "
            'Run: pip install --upgrade "keras-tuner>=1.4.7,<2"',
        ),
        (
            {"six": None},
            None,
            "six is not installed: kt_ext needs it because keras-tuner imports it without declaring it. "
            "Run: pip install six",
        ),
        (
            {"tensorboard": None},
            None,
            "tensorboard is not installed: kt_ext needs it because keras-tuner imports it in every trial on the "
            "TensorFlow backend, and TensorFlow 2.21 no longer brings it. Run: pip install tensorboard",
        ),
        (
            {"tensorflow": None},
            None,
            "Keras's backend is tensorflow, chosen by Keras's default, but tensorflow is not installed. "
            'Run: pip install "tensorflow>=2.16", or install jax or torch and set KERAS_BACKEND to it',
        ),
        (
            {"tensorflow": None, "jax": "0.10.2"},
            None,
            "Keras's backend is tensorflow, chosen by Keras's default, but tensorflow is not installed. "
            "Set the environment variable KERAS_BACKEND=jax before Python imports keras, "
            'or run: pip install "tensorflow>=2.16"',
        ),
        (
            {"jax": "0.10.2"},
            "torch",
            "Keras's backend is torch, chosen by the environment variable KERAS_BACKEND, but torch is not installed. "
            "Set the environment variable KERAS_BACKEND=tensorflow or KERAS_BACKEND=jax before Python imports keras, "
            'or run: pip install "torch"',
        ),
    ],
)
def test_unsuitable(
    environment: Environment, changes: dict[str, str | None], backend: str | None, message: str
) -> None:
    environment.install({name: version for name, version in (SUITABLE | changes).items() if version})
    assert environment.message(backend) == message


def test_keras_json_chooses_the_backend(environment: Environment) -> None:
    environment.install(SUITABLE)
    path = environment.keras_home / "keras.json"
    path.write_text(json.dumps({"backend": "jax"}))
    assert environment.message().startswith(f"Keras's backend is jax, chosen by {path}, but jax is not installed. ")
    assert environment.accepts(backend="tensorflow")  # the variable goes first
    path.write_text("{ torn")
    assert environment.accepts()  # as if it were not there


def test_a_folder_that_an_uninstall_left_is_no_backend(environment: Environment) -> None:
    environment.install({name: version for name, version in SUITABLE.items() if name != "tensorflow"})
    (environment.site / "tensorflow" / "include").mkdir(parents=True)
    assert "tensorflow is not installed" in environment.message()


def test_the_backend_is_the_one_that_keras_uses() -> None:
    import keras

    from kt_ext._environment import configured_backend

    assert configured_backend()[0] == keras.backend.backend()
