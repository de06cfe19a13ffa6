"""Packages whose modules are imported when first used: ``kt_ext.reports.record`` works after ``import kt_ext``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def of_modules(package: str, names: tuple[str, ...]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package, for these of its modules."""

    def module(name: str) -> Any:
        if name in names:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(names)}")

    return module, lambda: sorted(names)
