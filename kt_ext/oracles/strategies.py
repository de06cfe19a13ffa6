"""An oracle for each strategy of architecture search: ``ArchitectureOracle`` with the strategy's own arguments."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from kt_ext.nas.space import AbstractArchitectureSpace
from kt_ext.nas.strategies.controller import Controller
from kt_ext.nas.strategies.evolution import Evolution
from kt_ext.nas.strategies.local_search import LocalSearch
from kt_ext.nas.strategies.morphism import Morphism
from kt_ext.nas.strategies.predictor import Predictor
from kt_ext.nas.strategy import AbstractStrategy
from kt_ext.oracles.architecture import ArchitectureOracle


class _StrategyOracle(ArchitectureOracle):
    """One strategy.

    Args:
        space, objective, max_trials, seed: see ``ArchitectureOracle``.
        **kwargs: the arguments of the strategy (save its seed), and the other ones of ``ArchitectureOracle``.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    strategy_class: ClassVar[type[AbstractStrategy]]

    def __init__(
        self,
        space: AbstractArchitectureSpace,
        objective: Any = None,
        max_trials: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if "strategy" in kwargs:
            raise TypeError(
                f"strategy={kwargs['strategy']!r}: {type(self).__name__} has its own; use ArchitectureOracle for any"
            )
        names = set(inspect.signature(self.strategy_class).parameters) - {"seed"}
        own = {name: kwargs.pop(name) for name in sorted(names & kwargs.keys())}
        super().__init__(space, self.strategy_class(**own), objective, max_trials, seed, **kwargs)


class EvolutionOracle(_StrategyOracle):
    """Regularized evolution and the family around it: see ``kt_ext.nas.Evolution``."""

    strategy_class = Evolution


class LocalSearchOracle(_StrategyOracle):
    """From neighbour to better neighbour: see ``kt_ext.nas.LocalSearch``."""

    strategy_class = LocalSearch


class PredictorOracle(_StrategyOracle):
    """Guided by an ensemble that predicts what was not trained: see ``kt_ext.nas.Predictor``."""

    strategy_class = Predictor


class ControllerOracle(_StrategyOracle):
    """A recurrent network trained by reinforcement learning: see ``kt_ext.nas.Controller``."""

    strategy_class = Controller


class MorphismOracle(_StrategyOracle):
    """Children that begin with their parents' function: see ``kt_ext.nas.Morphism``.

    The weights are carried over by ``kt_ext.NASTuner``; another tuner trains each child from scratch.
    """

    strategy_class = Morphism
