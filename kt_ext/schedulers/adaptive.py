"""The explore step that PBT takes by default: the paper's, with steps fitted to the population and to the search."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from kt_ext.core.decision import Run, Value
from kt_ext.core.explorer import AbstractExplorer
from kt_ext.core.history import History
from kt_ext.core.space import Boolean, Choice, Float, Parameter, Space
from kt_ext.schedulers.checks import factors, integer, probability
from kt_ext.schedulers.children import child_of, reflected
from kt_ext.schedulers.perturb import kept

DEFAULT_FACTORS = (0.8, 1.2)
#: How many steps by the plain factors a search should have room for: 0.8 ** 64 is six decades.
STEPS = 64
#: The largest power to which the factors are raised.
MOST_POWER = 5.0
#: The least spread of a new draw, as a share of the domain: a population that agrees goes on trying.
LEAST_SPREAD = 0.03


class PacedExplorer(AbstractExplorer):
    """An explorer whose steps depend on how many a search has room for; ``PBT`` tells it."""

    @abstractmethod
    def within(self, comparisons: int) -> PacedExplorer:
        """This explorer in a search of so many comparisons, unless it was told how many there are."""


class AdaptivePerturb(PacedExplorer):
    """As ``Perturb``, save for three things.

    A value that is drawn anew comes from a normal distribution around the donor's, on the domain's own scale, as wide
    as the values of the better half of the population lie apart. At the start that is nearly the whole domain, as in
    the paper; once the population agrees, a draw is no longer wasted on what has lost long ago. Unordered choices and
    booleans, which have no distances, are drawn as in the paper.

    Where the search has fewer than 64 comparisons, n, the default factors are raised to the power of 64 / n, at most 5,
    so that a rate can fall as far in few long intervals as in many short ones. Other factors are taken as they are.

    A zero, which no factor moves, is drawn from the whole domain where a factor above 1 would raise it.

    Args:
        perturbation_factors: what a number may be multiplied by, each > 0.
        resample_probability: the probability that a value is drawn anew instead, in [0, 1].
        mutable: the parameters that may change; None: all that do not shape the model's variables.
        comparisons: how often each member is compared in the whole search; None: as ``PBT`` knows, else often.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        perturbation_factors: Sequence[float] = DEFAULT_FACTORS,
        resample_probability: float = 0.25,
        mutable: Iterable[str] | None = None,
        comparisons: int | None = None,
    ) -> None:
        self.perturbation_factors = factors("perturbation_factors", perturbation_factors)
        self.resample_probability = probability("resample_probability", resample_probability)
        self.mutable = None if mutable is None else tuple(sorted(mutable))
        if comparisons is not None:
            integer("comparisons", comparisons, at_least=1, remedy="None leaves the factors as they are")
        self.comparisons = comparisons

    def explore(
        self, run: Run, history: History, space: Space, structural: Collection[str], rng: np.random.Generator
    ) -> dict[str, Value]:
        assert run.restore is not None
        donor, epoch = run.restore.trial_id, run.restore.epoch
        values = history.values_at(donor, epoch)
        power = 1.0
        if self.comparisons is not None and self.perturbation_factors == DEFAULT_FACTORS:
            power = min(max(1.0, STEPS / self.comparisons), MOST_POWER)
        steps = [factor**power for factor in self.perturbation_factors]
        unit, spread = space.encode(values), spreads(history, space, epoch)

        def changed(place: int, parameter: Parameter, value: Value) -> Value:
            domain = parameter.domain
            if rng.random() >= self.resample_probability:
                factor = steps[int(rng.integers(len(steps)))]
                moved = domain.perturb(value, rng, (factor,))
                stuck = isinstance(domain, Float) and moved == value == 0 and factor > 1
                return domain.from_unit(rng.random()) if stuck else moved
            if isinstance(domain, Boolean):
                return not value
            unordered = isinstance(domain, Choice) and not domain.ordered
            if unordered or np.isnan(unit[place]):
                return domain.from_unit(rng.random())
            return domain.from_unit(float(reflected(unit[place] + spread[place] * rng.standard_normal())))

        return child_of(values, space, kept(space, self.mutable, structural), changed, lambda _: rng.random())

    def within(self, comparisons: int) -> AdaptivePerturb:
        if self.comparisons is not None or comparisons == 0:
            return self
        return AdaptivePerturb(self.perturbation_factors, self.resample_probability, self.mutable, comparisons)

    def configuration(self) -> dict[str, Any]:
        return {
            "explorer": "AdaptivePerturb",
            "perturbation_factors": list(self.perturbation_factors),
            "resample_probability": self.resample_probability,
            "mutable": None if self.mutable is None else list(self.mutable),
            "comparisons": self.comparisons,
        }


def spreads(history: History, space: Space, epoch: int) -> np.ndarray:
    """The standard deviation of each parameter in the better half of those that have reached ``epoch``.

    Shape (n_parameters,), as shares of the domains; at least two trials make a half. ``LEAST_SPREAD`` where they agree
    or the parameter is inactive in all but one.
    """
    there = []
    for trial_id in history.ids:
        epochs, objectives = history.curve(trial_id)
        row = int(np.searchsorted(epochs, epoch))
        if row < len(epochs) and epochs[row] == epoch and np.isfinite(objectives[row]):
            there.append((float(objectives[row]), trial_id))
    better = sorted(there)[: max(2, (len(there) + 1) // 2)]
    points = np.array([space.encode(history.values_at(trial_id, epoch)) for _, trial_id in better])
    active = ~np.isnan(points)
    count = np.maximum(active.sum(axis=0), 1)
    mean = np.where(active, points, 0.0).sum(axis=0) / count
    variance = np.where(active, (points - mean) ** 2, 0.0).sum(axis=0) / count
    return np.maximum(np.sqrt(variance), LEAST_SPREAD)
