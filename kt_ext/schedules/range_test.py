"""The learning-rate range test (Smith, 2015, section 3.3): raise the rate batch by batch and look at the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kt_ext.schedules.base import AbstractSchedule, not_negative, positive


@dataclass(frozen=True)
class RangeTest(AbstractSchedule):
    """From ``low`` to ``high`` in ``steps``, each step multiplying by the same number; ``high`` ever after.

    ``low`` comes at step 0 and ``high`` at step ``steps - 1``, so that ``steps`` batches see the whole range.

    Raises:
        ValueError: the bounds are not positive or not ascending, or there are less than two steps.
    """

    low: float
    high: float
    steps: int = 100

    def __post_init__(self) -> None:
        positive("low", self.low)
        positive("high", self.high)
        if self.high <= self.low:
            raise ValueError(f"high={self.high}: must be larger than low={self.low}")
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 2:
            raise ValueError(f"steps={self.steps!r}: must be an integer >= 2; a hundred show a clear curve")

    def __call__(self, step: float) -> float:
        return self.low * (self.high / self.low) ** min(step / (self.steps - 1), 1.0)


def smooth(losses: Sequence[float], smoothing: float = 0.98) -> np.ndarray:
    """The exponential moving average, corrected for its start, shape (n,). fastai's Recorder has 0.98."""
    averages = np.empty(len(losses))
    average = 0.0
    for number, loss in enumerate(losses):
        average = smoothing * average + (1 - smoothing) * loss
        averages[number] = average / (1 - smoothing ** (number + 1))
    return averages


def length_of_descent(losses: Sequence[float], smoothing: float = 0.98, divergence: float = 4.0) -> int:
    """How many losses there are until they diverge: the first that is not finite, or whose average is too large.

    Args:
        losses: one for each batch, shape (n,).
        smoothing: of the average, in [0, 1).
        divergence: too large is more than so many times the best average, if that is positive. fastai has 4.
    """
    finite = next((n for n, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
    averages = smooth(losses[:finite], smoothing)
    best = np.minimum.accumulate(averages) if finite else averages
    diverged = np.flatnonzero((best > 0) & (averages > divergence * best))
    return int(diverged[0]) if len(diverged) else finite


def suggest_learning_rate(
    rates: Sequence[float], losses: Sequence[float], *, smoothing: float = 0.98, divergence: float = 4.0
) -> float:
    """The rate at which the loss fell most steeply, seen over the logarithm of the rate: fastai's ``steep``.

    As there, the first tenth does not count, where the average is that of a few batches only.

    Args:
        rates: the learning rate of each batch, ascending, shape (n,).
        losses: the loss of each batch, shape (n,).
        smoothing: of the losses, in [0, 1); 0 takes them as they are.
        divergence: losses from the first on whose average is more than so many times the best do not count.

    Returns:
        One of ``rates``.

    Raises:
        ValueError: the two differ in length, the rates do not ascend, or the loss never fell.
    """
    if len(rates) != len(losses):
        raise ValueError(f"losses: are {len(losses)}, and the rates {len(rates)}; give one loss for each rate")
    not_negative("smoothing", smoothing)
    if smoothing >= 1:
        raise ValueError(f"smoothing={smoothing}: must be less than 1; 0 takes the losses as they are")
    logarithms = np.log(np.asarray(rates, float))
    if not (np.diff(logarithms) > 0).all():
        raise ValueError("rates: must be positive and strictly ascending")
    count = length_of_descent(losses, smoothing, divergence)
    first = len(losses) // 10
    slopes = (np.diff(smooth(losses[:count], smoothing)) / np.diff(logarithms[:count]))[first:]
    if not (slopes < 0).any():
        raise ValueError(
            f"losses: never fell from batch {first} to {count}, where they diverge or end; "
            "start with a lower rate, or take more steps"
        )
    return float(rates[first + int(slopes.argmin())])
