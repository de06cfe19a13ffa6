"""Population based training as Keras Tuner oracles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from kt_ext.core.explorer import AbstractExplorer
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.oracles.base import SchedulerOracle
from kt_ext.schedulers import PBT, AdaptivePerturb, PB2Explorer


class PBTOracle(SchedulerOracle):
    """Population based training (Jaderberg et al., 2017): each trial is a member of the population.

    Args:
        objective: as in Keras Tuner.
        population_size, max_epochs, perturbation_interval, burn_in, quantile_fraction, exploit, synchronous: see
            ``kt_ext.schedulers.PBT``.
        resample_probability, perturbation_factors, mutable: see ``kt_ext.schedulers.AdaptivePerturb``.
        explorer: proposes the values to go on with, in place of these three; ``kt_ext.schedulers.Perturb`` is the
            paper's.
        searcher: where the first values come from; see ``SchedulerOracle``.
        **kwargs: the other arguments of ``SchedulerOracle``: seed, budgets, initial_values, warm_start,
            multi_objective, constraints, hyperparameters, retries.

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
        exploit: Literal["truncation", "tournament", "ttest"] = "truncation",
        mutable: Iterable[str] | None = None,
        synchronous: bool | Literal["auto"] = "auto",
        searcher: str | AbstractSearcher = "random",
        explorer: AbstractExplorer | None = None,
        **kwargs: Any,
    ) -> None:
        if explorer is None:
            explorer = AdaptivePerturb(perturbation_factors, resample_probability, mutable)
        elif (resample_probability, tuple(perturbation_factors), mutable) != (0.25, (0.8, 1.2), None):
            raise ValueError(
                f"explorer={explorer!r}: has its own settings; give resample_probability, perturbation_factors and "
                "mutable to it instead"
            )
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


class PB2Oracle(PBTOracle):
    """Population based bandits (Parker-Holder et al., 2020): a Gaussian process proposes the values to go on with.

    Args:
        objective, population_size, max_epochs, perturbation_interval, burn_in: as in ``PBTOracle``.
        quantile_fraction, exploit, synchronous, searcher: as there.
        mutable: see ``kt_ext.schedulers.PB2Explorer``.
        **kwargs: the other arguments of ``SchedulerOracle``.

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
        exploit: Literal["truncation", "tournament", "ttest"] = "truncation",
        mutable: Iterable[str] | None = None,
        synchronous: bool | Literal["auto"] = "auto",
        searcher: str | AbstractSearcher = "random",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            objective,
            population_size,
            max_epochs,
            perturbation_interval,
            burn_in,
            quantile_fraction,
            exploit=exploit,
            synchronous=synchronous,
            searcher=searcher,
            explorer=PB2Explorer(mutable),
            **kwargs,
        )
