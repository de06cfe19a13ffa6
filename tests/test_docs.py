"""The documentation holds together: pages, links, the API; doctests are true. What pages run is in test_readme.py."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from collections import Counter
from pathlib import Path

import pytest

import docs_pages
import kt_ext
from imports import ROOT, modules

PAGES = docs_pages.pages()
README = ROOT / "README.md"
GUIDES = {name: path for name, path in PAGES.items() if not name.startswith("api/")}
API = "\n".join(path.read_text(encoding="utf-8") for name, path in PAGES.items() if name.startswith("api/"))
PUBLIC = (
    "core",
    "estimators",
    "execution",
    "integrations",
    "nas",
    "oracles",
    "plots",
    "reports",
    "schedulers",
    "schedules",
    "searchers",
    "training",
)
WITH_DOCTESTS = [name for name, path in modules(ROOT / "kt_ext").items() if ">>>" in path.read_text(encoding="utf-8")]


def without_blocks(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """The text without its code, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", without_blocks(text))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as Python-Markdown makes them."""
    titles = re.findall(r"^#+ (.*)$", without_blocks(text), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page() -> None:
    nav = re.search(r"^nav:\n(.*?)^\w", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert nav
    entries = Counter(re.findall(r"(\S+)\.md$", nav[1], flags=re.MULTILINE))
    assert entries == Counter(PAGES.keys())


@pytest.mark.parametrize("path", [README, *PAGES.values()], ids=lambda path: path.name)
def test_links_resolve(path: Path) -> None:
    # What a page takes from README.md is linked from there; there is no such link between the markers.
    text = path.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", prose(text)):
        there = (path.parent / target).resolve() if target else path
        assert there.is_file(), f"{path.name}: links to {target}, which does not exist"
        if anchor:
            assert anchor in anchors(docs_pages.read(there)), f"{path.name}: {target} has no heading #{anchor}"


def test_what_pages_take_from_the_readme_has_no_links_of_its_own() -> None:
    # They would point elsewhere from docs/ than from here.
    for name in re.findall(r"\[start:([\w-]+)\]", README.read_text(encoding="utf-8")):
        assert not re.findall(r"\]\((?!https?:)", prose(docs_pages.section(README, name))), name


def test_nothing_is_said_twice() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (README, *GUIDES.values())]
    lines = Counter(
        line.strip()
        for text in texts
        for line in without_blocks(text).splitlines()
        if len(line) > 70 and "quick start](index.md" not in line
    )
    assert [line for line, count in lines.items() if count > 1] == []


@pytest.mark.parametrize("name", GUIDES)
def test_python_blocks_can_be_read_and_say_where_names_come_from(name: str) -> None:
    text = docs_pages.page(name)
    for code in docs_pages.blocks(text, "python") + docs_pages.blocks(text, "py"):
        ast.parse(code)
    if docs_pages.begins_with(text) != "nothing":
        assert "[quick start](index.md#quick-start)" in text
    elif name != "index":
        assert not docs_pages.blocks(text, "python"), "a page whose code is run says what it begins with"


@pytest.mark.parametrize("package", ["kt_ext", *(f"kt_ext.{name}" for name in PUBLIC)])
def test_every_public_name_is_in_the_api_reference(package: str) -> None:
    documented = set(re.findall(r"^::: (\S+)$", API, flags=re.MULTILINE))
    names = set(getattr(importlib.import_module(package), "__all__", ()))
    if package == "kt_ext":
        assert "kt_ext.__version__" in API
        assert {f"api/{name}" for name in names & set(PUBLIC)} <= set(PAGES)
        names -= {"__version__", *PUBLIC}
    assert {f"{package}.{name}" for name in names} - documented == set()


def test_every_public_subpackage_is_looked_at() -> None:
    packages = {name for name in kt_ext.__all__ if (ROOT / "kt_ext" / name / "__init__.py").is_file()}
    assert packages == set(PUBLIC)


def test_what_the_api_reference_names_exists() -> None:
    for name in re.findall(r"^::: (\S+)$", API, flags=re.MULTILINE):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def modules_in_the_reference() -> list[str]:
    """The modules under whose names the API reference lists something, and the packages around them."""
    found = set()
    for name in re.findall(r"^::: (kt_ext\..*)$", API, flags=re.MULTILINE):
        parts = name.split(".")
        found |= {".".join(parts[:length]) for length in range(2, len(parts))}
    # a command, not a module to import; and modules that their package loads at once
    return sorted(found - {"kt_ext.__main__", "kt_ext.tuners.base", "kt_ext.tuners.pbt"})


@pytest.mark.parametrize("name", modules_in_the_reference())
def test_modules_are_reached_after_importing_kt_ext_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, _, last = name.rpartition(".")
    module, around = importlib.import_module(name), importlib.import_module(package)
    monkeypatch.delattr(around, last)  # which the import has bound
    assert getattr(around, last) is module


@pytest.mark.parametrize(
    "package", ["kt_ext", "kt_ext.core", "kt_ext.integrations", "kt_ext.reports", "kt_ext.training"]
)
def test_a_module_that_is_not_there_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'liev'; it has "):
        _ = importlib.import_module(package).liev


def test_there_are_doctests() -> None:
    assert len(WITH_DOCTESTS) >= 10


@pytest.mark.parametrize("name", WITH_DOCTESTS)
def test_doctests(name: str) -> None:
    done = doctest.testmod(importlib.import_module(name))
    assert done.attempted > 0
    assert done.failed == 0
