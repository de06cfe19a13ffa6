"""Who may import whom: README.md's "Architecture", held by walking the imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imports import ROOT, Import, imports, modules

PURE = {"core", "schedulers", "schedules", "searchers", "estimators", "nas"}
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "schedulers": {"core", "estimators"},
    "schedules": set(),
    "searchers": {"core", "estimators"},
    "estimators": {"core"},
    "nas": {"core", "searchers", "estimators"},
    "training": PURE,
    "networks": PURE,
    "oracles": PURE,
    "execution": {"oracles"} | PURE,
    "reports": {"core", "schedulers", "nas"},
    "plots": {"reports"} | PURE,
    "tuners": {"reports", "execution", "oracles", "training", "networks"} | PURE,
    "integrations": {"tuners", "reports", "plots", "execution", "oracles", "training"} | PURE,
    "commands": {"plots", "reports", "core"},
    "__main__": {"execution", "commands"},
}
# The third-party packages of the pure layers; the others may import what they need.
LIBRARIES = {
    "core": {"numpy"},
    "schedulers": {"numpy", "scipy", "sklearn"},
    "schedules": {"numpy"},
    "searchers": {"numpy", "scipy", "sklearn", "threadpoolctl", "optuna"},
    "estimators": {"numpy", "scipy", "sklearn"},
    "nas": {"numpy", "scipy", "sklearn"},
}
# Modules beside the layers: the first binds the public names, the other two import nothing of ours.
OUTSIDE = {"kt_ext", "kt_ext._version", "kt_ext._environment", "kt_ext._lazy"}


def layer_of(module: str) -> str:
    return module.split(".")[1]


def violations(found: list[Import]) -> list[str]:
    """The imports that break a rule, in words."""
    said = []
    both = {}
    for one in found:
        if one.importer in OUTSIDE:
            continue
        where, library = layer_of(one.importer), one.imported.split(".")[0]
        if where not in MAY_IMPORT:
            said.append(f"{one.importer}: is in no layer; give {where} its place in MAY_IMPORT and in README.md")
        elif library != "kt_ext":
            if where in LIBRARIES and library not in LIBRARIES[where] | sys.stdlib_module_names:
                said.append(f"{one.importer}: imports {one.imported}; {where} may import {sorted(LIBRARIES[where])}")
        elif one.imported == "kt_ext":
            said.append(f"{one.importer}: imports the public names of kt_ext; import the module that defines them")
        elif one.imported not in OUTSIDE and layer_of(one.imported) != where:
            target = layer_of(one.imported)
            both.setdefault(where, set()).add(target)
            if target not in MAY_IMPORT[where]:
                said.append(f"{one.importer}: imports {one.imported}; {where} may import {sorted(MAY_IMPORT[where])}")
            if any(part.startswith("_") for part in one.imported.split(".")):
                said.append(f"{one.importer}: imports {one.imported}, which is private to {target}")
    said += [
        f"kt_ext.{where}: joins oracles and training; only tuners may"
        for where, targets in both.items()
        if where != "tuners" and {"oracles", "training"} <= targets
    ]
    return said


def test_imports_go_from_left_to_right_only() -> None:
    assert violations(imports(ROOT / "kt_ext")) == []


@pytest.mark.parametrize(
    ("path", "line", "complaint"),
    [
        ("core/a.py", "from kt_ext.schedulers import asha", "kt_ext.core.a: imports kt_ext.schedulers;"),
        ("schedulers/a.py", "import kt_ext.searchers.tpe", "kt_ext.schedulers.a: imports kt_ext.searchers.tpe;"),
        ("schedulers/a.py", "from ..searchers import tpe", "kt_ext.schedulers.a: imports kt_ext.searchers;"),
        ("schedulers/__init__.py", "from ..tuners import x", "kt_ext.schedulers: imports kt_ext.tuners;"),
        ("oracles/a.py", "def f():\n    from kt_ext.training import x", "kt_ext.oracles.a: imports kt_ext.training;"),
        ("searchers/a.py", "import keras", "kt_ext.searchers.a: imports keras;"),
        ("core/a.py", "import scipy.stats", "kt_ext.core.a: imports scipy.stats;"),
        ("nas/a.py", "from kt_ext.core._b import x", "kt_ext.nas.a: imports kt_ext.core._b, which is private to core"),
        ("tuners/a.py", "import kt_ext", "kt_ext.tuners.a: imports the public names"),
        ("cli/a.py", "import os", "kt_ext.cli.a: is in no layer"),
        ("reports/a.py", "from kt_ext.tuners import base", "kt_ext.reports.a: imports kt_ext.tuners;"),
        ("tuners/a.py", "import kt_ext.plots", "kt_ext.tuners.a: imports kt_ext.plots;"),
        (
            "integrations/a.py",
            "import kt_ext.oracles\nimport kt_ext.training",
            "kt_ext.integrations: joins oracles and",
        ),
    ],
)
def test_each_kind_of_violation_is_found(tmp_path: Path, path: str, line: str, complaint: str) -> None:
    (tmp_path / "kt_ext" / path).parent.mkdir(parents=True)
    (tmp_path / "kt_ext" / path).write_text(line)
    said = violations(imports(tmp_path / "kt_ext"))
    assert len(said) == 1
    assert said[0].startswith(complaint)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("nas/a.py", "from kt_ext.searchers.tpe import TPE\nfrom kt_ext.core import space"),
        ("core/a.py", "from kt_ext.core._b import x\nimport json\nimport numpy.typing"),
        ("tuners/a.py", "import kt_ext.oracles\nimport kt_ext.training\nimport keras"),
        ("__init__.py", "from kt_ext.tuners.pbt import PBTTuner"),
    ],
)
def test_what_is_allowed_is_not_found(tmp_path: Path, path: str, line: str) -> None:
    (tmp_path / "kt_ext" / path).parent.mkdir(parents=True)
    (tmp_path / "kt_ext" / path).write_text(line)
    assert violations(imports(tmp_path / "kt_ext")) == []


def test_the_pure_layers_load_no_keras() -> None:
    light = PURE | {"reports", "plots", "commands"}
    pure = [name for name in modules(ROOT / "kt_ext") if name not in OUTSIDE and layer_of(name) in light]
    # an empty parent stands in for kt_ext/__init__.py, which binds the tuners and so loads Keras
    script = f"""
import importlib, json, sys, types
parent = types.ModuleType("kt_ext")
parent.__path__ = [{str(ROOT / "kt_ext")!r}]
sys.modules["kt_ext"] = parent
for name in {pure!r}:
    importlib.import_module(name)
print(json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""
    loaded = set(_json_from(script))
    assert "kt_ext" in loaded
    assert loaded & {"keras", "keras_tuner", "tensorflow", "jax", "torch", "tensorboard"} == set()


@pytest.fixture(scope="module")
def loaded_by_kt_ext() -> set[str]:
    """What ``import kt_ext`` and all its public names load beyond what ``import keras_tuner`` has loaded already."""
    script = """
import json, sys
import keras_tuner
before = set(sys.modules)
from kt_ext import *
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    return set(_json_from(script))


@pytest.mark.parametrize(
    "heavy",
    ["scipy.stats", "sklearn", "tensorboard", "rich", "matplotlib", "plotly", "pandas", "optuna", "ray", "IPython"],
)
def test_importing_kt_ext_loads_nothing_heavy(loaded_by_kt_ext: set[str], heavy: str) -> None:
    assert {"kt_ext", "kt_ext.tuners", "kt_ext.searchers"} <= loaded_by_kt_ext
    assert [name for name in loaded_by_kt_ext if f"{name}.".startswith(f"{heavy}.")] == []


@pytest.mark.jax
def test_importing_kt_ext_on_jax_does_not_try_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text('raise SystemExit("tensorflow was imported")')
    script = f"""
import sys
import keras_tuner
sys.path.insert(0, {str(tmp_path)!r})
from kt_ext import *
print("true")
"""
    assert _json_from(script) is True


def _json_from(script: str) -> object:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
