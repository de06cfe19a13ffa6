"""The explore step of population based training: the donor's values, each perturbed or drawn anew in its domain."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from kt_ext.core.decision import Run, Value
from kt_ext.core.explorer import AbstractExplorer
from kt_ext.core.history import History
from kt_ext.core.space import Space
from kt_ext.schedulers.checks import factors, probability


class Perturb(AbstractExplorer):
    """Jaderberg et al. (2017): every value is multiplied by one of ``factors`` or drawn anew, inside its domain.

    Args:
        perturbation_factors: what a number may be multiplied by, each > 0.
        resample_probability: the probability that a value is drawn anew instead, in [0, 1].
        mutable: the parameters that may change; None: all that do not shape the model's variables.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        perturbation_factors: Sequence[float] = (0.8, 1.2),
        resample_probability: float = 0.25,
        mutable: Iterable[str] | None = None,
    ) -> None:
        self.perturbation_factors = factors("perturbation_factors", perturbation_factors)
        self.resample_probability = probability("resample_probability", resample_probability)
        self.mutable = None if mutable is None else tuple(sorted(mutable))

    def explore(
        self, run: Run, history: History, space: Space, structural: Collection[str], rng: np.random.Generator
    ) -> dict[str, Value]:
        assert run.restore is not None
        values = history.values_at(run.restore.trial_id, run.restore.epoch)
        keep = kept(space, self.mutable, structural)
        return space.perturb(values, rng, self.perturbation_factors, self.resample_probability, keep)

    def configuration(self) -> dict[str, Any]:
        return {
            "explorer": "Perturb",
            "perturbation_factors": list(self.perturbation_factors),
            "resample_probability": self.resample_probability,
            "mutable": None if self.mutable is None else list(self.mutable),
        }


def kept(space: Space, mutable: Collection[str] | None, structural: Collection[str]) -> set[str]:
    """Names of the parameters that keep the donor's values."""
    names = {parameter.name for parameter in space.parameters}
    return names & set(structural) if mutable is None else names - (set(mutable) - set(structural))
