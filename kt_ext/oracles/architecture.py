"""Architecture search by any strategy as a Keras Tuner oracle."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras_tuner

from kt_ext.core.decision import Value
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.nas.limits import Limits
from kt_ext.nas.make import make_strategy
from kt_ext.nas.network import Network
from kt_ext.nas.searcher import AbstractScreen, ArchitectureSearcher
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture
from kt_ext.nas.strategy import AbstractStrategy
from kt_ext.oracles.base import SchedulerOracle
from kt_ext.oracles.constraints import Bound, Constraints
from kt_ext.schedulers import FIFO
from kt_ext.searchers import make_searcher

Measures = Mapping[str, Callable[[Architecture], float]]

MAX_TRIALS, MAX_EPOCHS = 100, 10


class ArchitectureOracle(SchedulerOracle):
    """Proposes architectures of a space by a strategy, none twice and none beyond the limits.

    Works on genotypes: what is registered with Keras Tuner are the space's ordinary hyperparameters.

    Args:
        space: the architectures.
        strategy: chooses among them: ``"random"``, ``"grid"``, ``"evolution"``, ``"local_search"``, ``"predictor"``,
            ``"bayesian"``, ``"controller"`` (reinforcement learning), ``"morphism"``, or an object of ``kt_ext.nas``.
        objective: as in Keras Tuner.
        max_trials: how many trials are started; None: 100.
        seed: see ``SchedulerOracle``.
        max_epochs: how many epochs each trial is trained; None: 10.
        scheduler: who runs and how long, such as ``kt_ext.schedulers.ASHA(max_epochs=27)``, in place of ``max_trials``
            and ``max_epochs``; None trains every trial to the end.
        constraints: as in ``SchedulerOracle``. Those on ``measures`` are kept before anything is trained: no trial is
            spent on an architecture that breaks them.
        measures: names to functions of an ``Architecture`` that give a number, such as its parameters.
        others: proposes the values of the other hyperparameters; see ``searcher`` in ``SchedulerOracle``.
        inherit: whether each trial begins with the weights of the most similar one.
        repeats: whether an architecture may be tried again, for instance with other values of the other
            hyperparameters.
        network: lays an architecture's network on the inputs that will be trained on; None: as for a picture. Of use to
            ``"morphism"``, which compares networks.
        hyperparameters: as in ``keras_tuner.Oracle``; None registers the space.
        **kwargs: the other arguments of ``SchedulerOracle``: budgets, initial_values, warm_start, multi_objective,
            retries.

    Attributes:
        limits: the constraints that are kept before training; None without any.
        late_constraints: the others.

    Raises:
        TypeError, ValueError: an argument is wrong, or no architecture keeps the constraints.
    """

    def __init__(
        self,
        space: AbstractArchitectureSpace,
        strategy: str | AbstractStrategy = "evolution",
        objective: Any = None,
        max_trials: int | None = None,
        seed: int | None = None,
        *,
        max_epochs: int | None = None,
        scheduler: AbstractScheduler | None = None,
        constraints: Mapping[str, Bound] | None = None,
        measures: Measures | None = None,
        others: str | AbstractSearcher = "random",
        inherit: bool = False,
        repeats: bool = False,
        network: Callable[[Architecture], Network] | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(space, AbstractArchitectureSpace):
            raise TypeError(
                f"space={space!r}: must be a kt_ext space such as kt_ext.nas.ChainSpace(['conv3x3'], 4, [16])"
            )
        if "searcher" in kwargs:
            raise TypeError(
                f"searcher={kwargs['searcher']!r}: architectures come from strategy=, other values from others="
            )
        if scheduler is None:
            scheduler = FIFO(
                MAX_TRIALS if max_trials is None else max_trials, MAX_EPOCHS if max_epochs is None else max_epochs
            )
        elif max_trials is not None or max_epochs is not None:
            raise ValueError(
                f"max_trials={max_trials}, max_epochs={max_epochs}: the scheduler has its own; leave these out"
            )
        self.architectures = space
        self.limits, self.late_constraints = _split(space, constraints, measures or {})
        self._given_strategy, self._others = strategy, others
        self._inherit, self._repeats, self._network = inherit, repeats, network
        self._screen: AbstractScreen | None = None
        if hyperparameters is None:
            hyperparameters = keras_tuner.HyperParameters()
            space.register(hyperparameters)
        super().__init__(
            scheduler,
            objective=objective,
            seed=seed,
            constraints=self.late_constraints,
            hyperparameters=hyperparameters,
            **kwargs,
        )

    def _make_searcher(self, seed: int) -> AbstractSearcher:
        self._strategy = make_strategy(copy.deepcopy(self._given_strategy), seed, self.max_trials)
        if self._network is not None:
            self._strategy.bind(self._network)
        self._proposing = ArchitectureSearcher(
            self.architectures,
            self._strategy,
            self.max_trials,
            self.limits,
            make_searcher(self._others, seed),
            self._inherit,
            self._repeats,
        )
        self._proposing.screen = self._screen  # a search that is gone on with makes its searcher anew
        return self._proposing

    def _breaches(self, values: Mapping[str, Value]) -> Sequence[str]:
        return () if self.limits is None else self.limits.breaches(self.architectures.architecture(values))

    def screen(self, screen: AbstractScreen) -> None:
        """From now on try only the best of several proposals, by their scores."""
        self._screen = self._proposing.screen = screen

    @property
    def strategy(self) -> AbstractStrategy:
        """What chooses the architectures."""
        return self._strategy


def _split(
    space: AbstractArchitectureSpace, constraints: Mapping[str, Bound] | None, measures: Measures
) -> tuple[Limits | None, dict[str, Bound]]:
    """Those that can be kept before training, and the others."""
    bounds = {name: (low, high) for name, (low, high) in Constraints(constraints).to_json().items()}
    early = {name: pair for name, pair in bounds.items() if name in measures}
    left = {name: bound for name, bound in (constraints or {}).items() if name not in measures}
    if not early:
        return None, left
    limits = Limits(early, lambda arch: {name: float(measures[name](arch)) for name in early})
    limits.check(space)
    return limits, left
