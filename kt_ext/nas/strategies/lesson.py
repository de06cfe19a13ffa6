"""What a model learns from: features and targets of trials that can be compared."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kt_ext.nas.records import Scored
from kt_ext.nas.space import Architecture
from kt_ext.searchers.copula import normal_scores

#: Of more trials a model learns from the best third of so many, and the latest of the others.
MOST = 300


def features_of(archs: Sequence[Architecture]) -> np.ndarray:
    """The encodings at unit length, so that the product of two is 1 for equal ones, shape (n, n_features)."""
    return np.array([arch.features / max(math.sqrt(arch.features @ arch.features), 1e-12) for arch in archs])


def lesson(scored: Scored) -> tuple[np.ndarray, np.ndarray]:
    """Features of shape (n, n_features) and targets of shape (n,), minimised, for at most ``MOST`` trials.

    Targets are normal scores of the ranks: the objective's scale does not matter, a failed trial is just the worst.
    """
    rows = np.arange(len(scored))
    if len(rows) > MOST:
        best = np.argsort(scored.objectives, kind="stable")[: MOST // 3]
        others = np.setdiff1d(rows, best)
        rows = np.sort(np.concatenate([best, others[-(MOST - len(best)) :]]))
    return features_of([scored.records[row].arch for row in rows]), normal_scores(scored.objectives)[rows]


def content(scored: Scored) -> tuple[tuple[int, ...], bytes]:
    """Equal for the same trials with the same objectives."""
    return tuple(one.number for one in scored.records), scored.objectives.tobytes()
