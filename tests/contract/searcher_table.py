"""Every searcher. A new one adds a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kt_ext.core.searcher import AbstractSearcher
from kt_ext.searchers import make_searcher


class Row(NamedTuple):
    """A searcher and what it promises beyond the contract."""

    make: Callable[[int], AbstractSearcher]  # from the seed
    seeded: bool = True  # another seed gives other proposals


SEARCHERS: dict[str, Row] = {
    "random": Row(lambda seed: make_searcher("random", seed)),
    "sobol": Row(lambda seed: make_searcher("sobol", seed)),
    "halton": Row(lambda seed: make_searcher("halton", seed)),
    "grid": Row(lambda seed: make_searcher("grid", seed), seeded=False),
}
