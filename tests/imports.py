"""Reads what a package imports from its source, without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import resolve_name
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Import:
    """``importer`` imports ``imported``, both dotted module names. ``always``: whenever the importer is imported."""

    importer: str
    imported: str
    always: bool


def modules(package: Path) -> dict[str, Path]:
    """The modules of ``package`` by dotted name, itself included."""
    named = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def imports(package: Path) -> list[Import]:
    """Every import in ``package``, those inside functions and under TYPE_CHECKING included."""
    known = modules(package)
    return [found for name, path in known.items() for found in _imports_of(name, path, known)]


def loaded_at_once(starts: set[str], found: list[Import]) -> set[str]:
    """The modules that importing ``starts`` loads in any case, themselves and the packages around each included."""
    loaded: set[str] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if name not in loaded:
            loaded.add(name)
            waiting += [one.imported for one in found if one.always and one.importer == name]
            waiting += [name.rpartition(".")[0]] if "." in name else []
    return loaded


def _imports_of(name: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    tree = ast.parse(path.read_text(), filename=str(path))
    parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        always = node in tree.body
        if isinstance(node, ast.Import):
            yield from (Import(name, alias.name, always) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), parent)
            # `from a import b` names the module a.b if there is one, else something inside the module a
            names = [f"{base}.{alias.name}" for alias in node.names]
            yield from (Import(name, full if full in known else base, always) for full in names)
