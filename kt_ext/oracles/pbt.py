"""Population based training as Keras Tuner oracles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kt_ext.core.searcher import AbstractSearcher
from kt_ext.oracles.base import SchedulerOracle
from kt_ext.schedulers import PBT, Perturb


class PBTOracle(SchedulerOracle):
    """Population based training (Jaderberg et al., 2017): each trial is a member of the population.

    Args:
        objective: as in Keras Tuner.
        population_size, max_epochs, perturbation_interval, burn_in, quantile_fraction, exploit, synchronous: see
            ``kt_ext.schedulers.PBT``.
        resample_probability, perturbation_factors, mutable: see ``kt_ext.schedulers.Perturb``.
        searcher: where the first values come from; see ``SchedulerOracle``.
        **kwargs: the other arguments of ``SchedulerOracle``: seed, budgets, hyperparameters, retries.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        objective: Any = None,
        population_size: int = 8,
        max_epochs: int = 100,
        perturbation_interval: int = 1,
        burn_in: int = 0,
        quantile_fraction: float = 0.25,
        resample_probability: float = 0.25,
        perturbation_factors: Sequence[float] = (0.8, 1.2),
        exploit: str = "truncation",
        mutable: Iterable[str] | None = None,
        synchronous: bool | str = "auto",
        searcher: str | AbstractSearcher = "random",
        **kwargs: Any,
    ) -> None:
        explorer = Perturb(perturbation_factors, resample_probability, mutable)
        scheduler = PBT(
            population_size,
            max_epochs,
            perturbation_interval,
            burn_in,
            quantile_fraction,
            exploit,
            synchronous,
            explorer,
        )
        super().__init__(scheduler, searcher, objective, **kwargs)
