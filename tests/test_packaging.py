"""The metadata says what the code needs, and the built wheel holds the package and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from configparser import RawConfigParser
from email.message import Message
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest

import kt_ext
from imports import ROOT, Import, imports, loaded_at_once, modules

REQUIRED = {"cloudpickle", "keras", "keras-tuner", "numpy", "scikit-learn", "tensorboard", "six"}
# What we import without declaring it, and which declared one brings it.
BROUGHT_BY = {
    "scipy": "scikit-learn",
    "threadpoolctl": "scikit-learn",
    "rich": "keras",
    "ml-dtypes": "keras",
    "grpcio": "keras-tuner",
}
# Modules whose distribution has another name.
DISTRIBUTION = {
    "IPython": "ipython",
    "grpc": "grpcio",
    "keras_tuner": "keras-tuner",
    "sklearn": "scikit-learn",
    "ml_dtypes": "ml-dtypes",
}


def setup_cfg() -> RawConfigParser:
    config = RawConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def names(requirements: str) -> set[str]:
    """The distributions that a list of requirements, one a line, names."""
    return {re.split(r"[^\w.-]", line)[0] for line in requirements.split()}


def test_requirements_are_these_seven() -> None:
    assert names(setup_cfg()["options"]["install_requires"]) == REQUIRED


@pytest.mark.parametrize(("brought", "by"), BROUGHT_BY.items())
def test_what_we_import_undeclared_comes_through_what_we_declare(brought: str, by: str) -> None:
    unconditional = {line for line in metadata.requires(by) or [] if ";" not in line}
    assert brought in names("\n".join(line.replace(" ", "") for line in unconditional))


def undeclared(found: list[Import]) -> list[Import]:
    """The imports whose distribution setup.cfg does not name.

    What only an extra brings must not be needed to get at a public name: neither in the modules that kt_ext/__init__.py
    imports, now or when a name is first used, nor in what those load at once.
    """
    extras = set().union(*(names(listed) for listed in setup_cfg()["options.extras_require"].values()))
    loaded = loaded_at_once({"kt_ext"} | {one.imported for one in found if one.importer == "kt_ext"}, found)
    said = []
    for one in found:
        library = one.imported.split(".")[0]
        distribution = DISTRIBUTION.get(library, library)
        distribution = BROUGHT_BY.get(distribution, distribution)
        declared = REQUIRED if one.always and one.importer in loaded else REQUIRED | extras
        if library not in sys.stdlib_module_names | {"kt_ext"} and distribution not in declared:
            said.append(one)
    return said


def test_every_import_is_declared() -> None:
    assert undeclared(imports(ROOT / "kt_ext")) == []


def test_an_undeclared_import_is_found() -> None:
    public = Import("kt_ext", "kt_ext.tuners.pbt", always=False)
    plots = Import("kt_ext.tuners.pbt", "kt_ext.plots", always=False)
    pandas = Import("kt_ext.tuners.pbt", "pandas.io", always=True)
    package = Import("kt_ext.tuners", "matplotlib", always=True)  # runs before kt_ext.tuners.pbt
    wandb = Import("kt_ext.plots", "wandb", always=False)
    declared = [
        Import("kt_ext.plots", "matplotlib", always=True),
        Import("kt_ext.tuners.pbt", "tensorflow", always=False),
        Import("kt_ext.tuners.pbt", "sklearn.utils", always=True),
        Import("kt_ext.tuners.pbt", "scipy", always=True),
        Import("kt_ext.tuners.pbt", "os", always=True),
    ]
    assert undeclared([public, plots, pandas, package, wandb, *declared]) == [pandas, package, wandb]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built sdist and wheel; built from a copy, so that the checkout stays clean."""
    source = tmp_path_factory.mktemp("source") / "kt_ext"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__"))
    done = run("-m", "build", str(source))
    assert "Deprecat" not in done.stdout + done.stderr
    return source / "dist"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_twine_finds_no_fault(dist: Path) -> None:
    files = sorted(str(path) for path in dist.iterdir())
    assert len(files) == 2
    done = run("-m", "twine", "check", "--strict", *files)
    assert done.stdout.count("PASSED") == 2


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    package = {str(path.relative_to(ROOT)) for path in modules(ROOT / "kt_ext").values()} | {"kt_ext/py.typed"}
    info = f"kt_ext-{kt_ext.__version__}.dist-info"
    assert {name for name in inside if not name.startswith(f"{info}/")} == package
    assert f"{info}/licenses/LICENSE" in inside


@pytest.mark.slow
def test_the_metadata_of_the_wheel(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"kt_ext-{kt_ext.__version__}.dist-info/METADATA").decode()
    fields: Message = Parser().parsestr(text)
    assert fields["Version"] == kt_ext.__version__
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields["Requires-Python"] == ">=3.10"
    required = {line for line in fields.get_all("Requires-Dist", []) if "extra ==" not in line}
    assert names("\n".join(required)) == REQUIRED
