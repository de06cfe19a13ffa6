"""What a model over values and epochs learns from: one row for each trial, and few of those that are worth less."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kt_ext.core.history import History
from kt_ext.searchers.evidence import Evidence


class Rows(NamedTuple):
    """Observations as arrays.

    Attributes:
        units: configurations, shape (n, n_parameters).
        epochs: epochs that each had done, shape (n,).
        objectives: the best objective up to that epoch, ``inf`` if none was finite, shape (n,).
    """

    units: np.ndarray
    epochs: np.ndarray
    objectives: np.ndarray


def rows_of(evidence: Evidence, epochs: np.ndarray, at_most: int) -> Rows:
    """A row for each trial with a report, in the order of their start.

    Where there are more than ``at_most``, half of them are the best of those that got furthest, the rest are spread
    evenly over the others: a model that forgot where it is bad would go there again.

    Args:
        evidence: what was observed.
        epochs: how far each trial had got, shape (n_trials,); 0 leaves it out.
        at_most: how many rows.
    """
    chosen = np.flatnonzero(epochs > 0)
    objectives = np.array([evidence.best_until(int(row), int(epochs[row])) for row in chosen])
    if len(chosen) > at_most:
        order = np.lexsort((objectives, -epochs[chosen]))
        others = np.sort(order[at_most // 2 :])
        spread = np.linspace(0, len(others) - 1, at_most - at_most // 2).round().astype(int)
        kept = np.sort(np.concatenate([order[: at_most // 2], others[spread]]))
        chosen, objectives = chosen[kept], objectives[kept]
    return Rows(evidence.units[chosen], epochs[chosen], objectives)


def epochs_after(history: History, evidence: Evidence, reports: int) -> np.ndarray:
    """How far each trial had got when the history held its first ``reports`` observations, shape (n_trials,)."""
    trial_ids, epochs, _ = history.observations()
    row = {trial_id: place for place, trial_id in enumerate(evidence.ids)}
    reached = np.zeros(len(evidence.ids), dtype=int)
    for trial_id, epoch in zip(trial_ids[:reports].tolist(), epochs[:reports].tolist(), strict=True):
        reached[row[trial_id]] = epoch
    return reached


def standardised(objectives: np.ndarray, clip: float) -> np.ndarray:
    """Objectives with mean 0 and deviation 1, shape (n,), after all beyond a limit are taken to it.

    The limit is the median plus ``clip`` times its distance from the lower quartile: how bad the bad ones are (a
    diverged loss, ``inf``) says nothing about where the best are, and would take all resolution from the good ones.
    Infinite ones are taken to one deviation of the others beyond the worst of these.
    """
    finite = objectives[np.isfinite(objectives)]
    if not len(finite):
        return np.zeros(len(objectives))
    low, middle = np.quantile(finite, [0.25, 0.5])
    kept = np.minimum(finite, middle + clip * (middle - low))
    limited = np.full(len(objectives), kept.max() + (kept.std() if kept.min() < kept.max() else 1.0))
    limited[np.isfinite(objectives)] = kept
    if limited.min() == limited.max():  # their computed deviation need not be 0
        return np.zeros(len(objectives))
    return (limited - limited.mean()) / limited.std()
