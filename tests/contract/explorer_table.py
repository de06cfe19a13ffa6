"""Every explorer, and how many of its proposals a test can afford. A new one adds a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kt_ext.core.explorer import AbstractExplorer
from kt_ext.schedulers import Perturb
from kt_ext.schedulers.adaptive import AdaptivePerturb
from kt_ext.schedulers.pb2 import PB2Explorer


class Row(NamedTuple):
    """An explorer and what its tests may cost."""

    make: Callable[..., AbstractExplorer]  # from the names that may change, or None
    searches: int  # in which its children are looked at


EXPLORERS: dict[str, Row] = {
    "perturb": Row(lambda mutable=None: Perturb(mutable=mutable), 200),
    "perturb, no resampling": Row(lambda mutable=None: Perturb((0.5, 0.8, 1.25, 2.0), 0.0, mutable), 60),
    "adaptive": Row(lambda mutable=None: AdaptivePerturb(mutable=mutable, comparisons=8), 100),
    "pb2": Row(lambda mutable=None: PB2Explorer(mutable, window=16, candidates=20), 2),
}
