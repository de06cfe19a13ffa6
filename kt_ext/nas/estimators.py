"""How a trial's worth is estimated, cheaper than by training it in full: the settings; the tuner does the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal

import numpy as np

from kt_ext.core.ranks import row_ranks
from kt_ext.nas.draft import Scale

Measure = Literal["synflow", "jacob_cov", "grad_norm"]

MEASURES: tuple[Measure, ...] = ("synflow", "jacob_cov", "grad_norm")


@dataclass(frozen=True)
class Full:
    """Every trial is trained as it is."""


@dataclass(frozen=True)
class LowFidelity:
    """Trials are trained on less; the best few of them are then trained in full, and the best of those wins.

    A low fidelity is biased and may order architectures otherwise than full training does: look at the rank
    correlation that the search reports, and raise ``best`` where it is low.

    Args:
        data: share of the training examples, in (0, 1].
        resolution: share of the rows and columns of images, of the steps of series, in (0, 1].
        filters: share of all widths, in (0, 1].
        cells: cells (or blocks) in each stack, in place of the space's own number; None leaves it.
        epochs: how long a trial is trained; None leaves it.
        best: how many are trained in full in the end, >= 1.

    Raises:
        ValueError: an argument is out of range, or none lowers the fidelity.
    """

    data: float = 1.0
    resolution: float = 1.0
    filters: float = 1.0
    cells: int | None = None
    epochs: int | None = None
    best: int = 5

    def __post_init__(self) -> None:
        for name in ("data", "resolution", "filters"):
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, Real) or not 0 < float(share) <= 1:
                raise ValueError(f"{name}={share!r}: must be a share in (0, 1]; 1 leaves it as it is")
        for name in ("cells", "epochs"):
            if getattr(self, name) is not None:
                _integer(name, getattr(self, name), 1, "None leaves the number as it is")
        _integer("best", self.best, 1, "the final ranking needs a trial at least")
        if self.data == self.resolution == self.filters == 1 and self.cells is None and self.epochs is None:
            raise ValueError(
                "LowFidelity(): nothing is lower; give one of data, resolution, filters, cells and epochs, such as "
                "data=0.25, or use Full()"
            )

    @property
    def scale(self) -> Scale:
        """How much smaller the networks are laid."""
        return Scale(self.filters, self.cells)


@dataclass(frozen=True)
class CurveExtrapolation:
    """A trial whose learning curve has little chance to beat the best ends early; see ``ExtrapolationRule``.

    Args:
        threshold: the chance below which a trial is stopped, in (0, 1).
        min_epochs: the first epoch at which a trial is judged, >= 3.

    Raises:
        ValueError: an argument is out of range.
    """

    threshold: float = 0.05
    min_epochs: int = 4

    def __post_init__(self) -> None:
        if isinstance(self.threshold, bool) or not isinstance(self.threshold, Real) or not 0 < self.threshold < 1:
            raise ValueError(
                f"threshold={self.threshold!r}: must be a probability in (0, 1); to stop no trial use Full()"
            )
        _integer("min_epochs", self.min_epochs, 3, "two points say nothing of a curve")


@dataclass(frozen=True)
class Inherit:
    """A trial begins with the weights of the one of the most similar architecture, so that it needs fewer epochs.

    Args:
        exact: only where the child then computes what its parent did; other trials begin from scratch. False: every
            array that fits is taken.

    Raises:
        TypeError: ``exact`` is no bool.
    """

    exact: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.exact, bool):
            raise TypeError(f"exact={self.exact!r}: must be True or False")


@dataclass(frozen=True)
class ZeroCost:
    """Of several proposals only the one of the best score is trained; a score takes one minibatch and no training.

    Args:
        measure: "synflow", "jacob_cov" or "grad_norm"; see ``kt_ext.networks.zero_cost.score``.
        candidates: proposals for each trial, >= 2.
        batch: examples of the minibatch, >= 2.

    Raises:
        ValueError: an argument is out of range.
    """

    measure: Measure = "synflow"
    candidates: int = 8
    batch: int = 32

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ValueError(f"measure={self.measure!r}: must be one of {', '.join(MEASURES)}")
        _integer("candidates", self.candidates, 2, "of a single one there is nothing to choose; use Full()")
        _integer("batch", self.batch, 2, "the examples are compared with each other")


Estimator = Full | LowFidelity | CurveExtrapolation | Inherit | ZeroCost

_BY_NAME: dict[str, Callable[[], Estimator]] = {
    "full": Full,
    "low_fidelity": lambda: LowFidelity(data=0.25),
    "extrapolation": CurveExtrapolation,
    "inherit": Inherit,
    "zero_cost": ZeroCost,
}


def make_estimator(given: str | Estimator) -> Estimator:
    """The estimator that is given, or the one of this name.

    Names are "full", "low_fidelity" (a quarter of the training examples), "extrapolation", "inherit" and "zero_cost".

    Raises:
        ValueError: there is none of this name.
        TypeError: it is neither a name nor an estimator.
    """
    if isinstance(given, Estimator):
        return given
    if not isinstance(given, str):
        raise TypeError(f"estimator={given!r}: must be a name or an object such as kt_ext.nas.LowFidelity(data=0.25)")
    if given not in _BY_NAME:
        raise ValueError(f"estimator={given!r}: must be one of {', '.join(_BY_NAME)}, or an object of kt_ext.nas")
    return _BY_NAME[given]()


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's coefficient of two scores of the same trials, shape (n,) each: how well one orders them as the other.

    In [-1, 1]; NaN for fewer than two trials, or where all scores of one kind are equal. The scores hold no NaN.
    """
    scores = np.array([first, second], dtype=float)
    if any(len(np.unique(row)) < 2 for row in scores):
        return float("nan")
    return float(np.corrcoef(row_ranks(scores))[0, 1])


def _integer(name: str, value: object, at_least: int, remedy: str) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < at_least:
        raise ValueError(f"{name}={value!r}: must be an integer >= {at_least}; {remedy}")
