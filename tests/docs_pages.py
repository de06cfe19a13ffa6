"""Reads README.md and docs/*.md, and runs the Python blocks of pages: ``python tests/docs_pages.py FOLDER PAGE...``."""

from __future__ import annotations

import os
import re
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from imports import ROOT

DOCS = ROOT / "docs"
_SNIPPET = re.compile(r'^--8<-- "([^":]+)(?::([\w-]+))?"$', flags=re.MULTILINE)
_MARK = re.compile(r"^<!-- --8<-- \[(?:start|end):[\w-]+\] -->\n", flags=re.MULTILINE)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def pages() -> dict[str, Path]:
    """The pages by name, such as "pbt" and "api/tuners"."""
    return {path.relative_to(DOCS).with_suffix("").as_posix(): path for path in sorted(DOCS.rglob("*.md"))}


def section(path: Path, name: str) -> str:
    """What stands between the markers of this name. Raises ValueError where they are not there once, in order."""
    found = re.findall(
        rf"^<!-- --8<-- \[start:{name}\] -->\n(.*?)^<!-- --8<-- \[end:{name}\] -->$",
        path.read_text(encoding="utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
    if len(found) != 1:
        raise ValueError(f"{path}: has {len(found)} sections {name!r} between markers; it must have one")
    return found[0]


def read(path: Path) -> str:
    """A page with what it takes from elsewhere, as the site shows it."""

    def taken(found: re.Match[str]) -> str:
        source = ROOT / found[1]
        return section(source, found[2]) if found[2] else source.read_text(encoding="utf-8")

    return _MARK.sub("", _SNIPPET.sub(taken, path.read_text(encoding="utf-8")))


def page(name: str) -> str:
    """The page of this name, as the site shows it."""
    return read(pages()[name])


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return [code for each, code in _BLOCK.findall(text) if each == language]


def begins_with(text: str) -> str:
    """What a page takes for granted: "quick start" (its names), "quick start search" (its results, too), "nothing"."""
    found = re.findall(r"^<!-- begins with: (quick start(?: search)?) -->$", text, flags=re.MULTILINE)
    return found[-1] if found else "nothing"


def quick_start() -> tuple[str, str, str]:
    """README's script in three: data and ``build``; the tuner; the search and what follows."""
    script = blocks(section(ROOT / "README.md", "quick"), "python")[0]
    names, tuner, rest = re.split(r"^(tuner = .*)$", script, flags=re.MULTILINE)
    return names, tuner, rest


def code_of(name: str) -> str:
    """All that a page runs, in order."""
    text = page(name)
    names, tuner, _ = quick_start()
    before = {"nothing": [], "quick start": [names], "quick start search": [names, tuner]}[begins_with(text)]
    return "\n\n".join([*before, *blocks(text, "python")])


def in_a_fork(code: str, folder: Path) -> bool:
    """Whether ``code`` runs in ``folder``; what it says goes into ``folder/log.txt``.

    The child has the modules that are loaded here, which take longer to load than most pages take to run. Nothing has
    been computed with them yet, so there are no threads that a fork would lose.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    status = 1
    try:
        log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        exec(compile(code, str(folder / "page.py"), "exec"), {"__name__": "__main__"})
        status = 0
    except BaseException:  # whatever it is, it belongs into the log, and this process must not go on as the parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main(folder: Path, names: Sequence[str]) -> None:
    """Run the pages, each in a folder of its own; one that ran has a file ``done`` there."""
    import keras
    import keras_tuner  # noqa: F401
    import matplotlib.pyplot
    import pandas  # noqa: F401
    import sklearn.datasets  # noqa: F401

    import kt_ext

    assert keras.backend.backend() and kt_ext.ASHATuner and matplotlib.get_backend()
    searched = folder / "quick start"
    searched.mkdir()
    if not in_a_fork("".join(quick_start()), searched):
        raise SystemExit((searched / "log.txt").read_text())
    for name in names:
        place = folder / name
        place.mkdir()
        if begins_with(page(name)) == "quick start search":
            shutil.copytree(searched / "runs", place / "runs")
        ran = in_a_fork(code_of(name), place)
        if ran:
            (place / "done").touch()
        print(f"{name}: {'ran' if ran else 'FAILED'}, {sum(os.times()[2:4]):.0f} CPU seconds so far", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])
