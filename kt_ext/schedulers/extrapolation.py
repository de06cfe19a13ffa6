"""Stop a trial that is unlikely to become the best.

Domhan, Springenberg, Hutter (2015), "Speeding up Automatic Hyperparameter Optimization of Deep Neural Networks by
Extrapolation of Learning Curves", section 4, on ``kt_ext.estimators.CurveEstimator``.
"""

from __future__ import annotations

import math
from typing import Any

from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.estimators.curves import CurveEstimator
from kt_ext.schedulers.checks import integer, probability
from kt_ext.schedulers.stopping_rule import StoppingRule


class ExtrapolationRule(StoppingRule):
    """Stops a trial whose chance to beat the best objective so far falls under ``threshold``.

    The best so far is that of any epoch of any trial, this one's own included; beating it means to be below it in any
    epoch up to ``max_epochs``. So the best trial itself stops when it is unlikely to improve. An infinite objective has
    no chance while there is a finite one; of a curve with some, the finite epochs are extrapolated.

    A curve is extrapolated as it went so far. Where a schedule lowers the learning rate late, the loss falls in a way
    that nothing before it foretells: raise ``min_epochs`` beyond that epoch, or stop by MedianRule.

    Args:
        scheduler: decides first.
        threshold: the chance below which a trial is stopped, in [0, 1].
        min_epochs: the first epoch at which a trial is judged, >= 3.
        every: epochs from one judgement to the next, >= 1.

    Raises:
        ValueError, TypeError: an argument is out of range.
    """

    def __init__(
        self, scheduler: AbstractScheduler, threshold: float = 0.05, min_epochs: int = 4, every: int = 1
    ) -> None:
        super().__init__(scheduler)
        self.threshold = probability("threshold", threshold)
        self.min_epochs = integer("min_epochs", min_epochs, at_least=3, remedy="two points say nothing of a curve")
        self.every = integer("every", every, at_least=1, remedy="1 judges after every epoch")
        self._estimator = CurveEstimator()
        self._clear()

    def _clear(self) -> None:
        self._best = math.inf

    def _note(self, trial_id: int, curve: list[float]) -> None:
        self._best = min(self._best, curve[-1])

    def _stops(self, trial_id: int, curve: list[float]) -> bool:
        best = min(self._best, curve[-1])
        since = len(curve) - self.min_epochs
        if since < 0 or since % self.every or math.isinf(best):
            return False
        return self._chance(curve, best) < self.threshold

    def _chance(self, curve: list[float], best: float) -> float:
        if math.isinf(curve[-1]):
            return 0.0
        points = [(epoch, objective) for epoch, objective in enumerate(curve, 1) if math.isfinite(objective)]
        if len(points) < 3:
            return 1.0  # it has only just come back from inf
        epochs, objectives = zip(*points, strict=True)
        return self._estimator.chance_below(epochs, objectives, self.max_epochs, best)

    def _arguments(self) -> dict[str, Any]:
        return {"threshold": self.threshold, "min_epochs": self.min_epochs, "every": self.every}
