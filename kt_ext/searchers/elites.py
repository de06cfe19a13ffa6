"""Configurations around the elites of the races so far.

López-Ibáñez, Dubois-Lacoste, Pérez Cáceres, Birattari, Stützle (2016), "The irace package: Iterated racing for
automatic algorithm configuration", Operations Research Perspectives 3, section 3.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.ranks import row_ranks
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Boolean, Choice, Fixed, Parameter, Space
from kt_ext.searchers.random import RandomSearcher

# How often what was tried before is drawn anew; then the elites are worn out, and the whole space is drawn from.
DRAWS = 16


class EliteSearcher(AbstractSearcher):
    """Draws the first race's configurations at random, those of a later one around an elite.

    Elites are the trials with the most reports, the best of them by mean rank over the reports that all have. The elite
    of rank r among N is drawn with probability ``(N - r + 1) / (N (N + 1) / 2)``. In race j (1, 2, ...) of n new trials
    and d parameters a number, or an ordered choice, is drawn from a normal distribution around the elite's, truncated
    to its range on its own scale, with a standard deviation of half the range times ``(1 / n) ** ((j - 1) / d)``. The
    probabilities of other choices move towards the elite's, by ``(j - 1) / N_iter`` in race j, where ``N_iter`` is
    ``floor(2 + log2(d))`` or j, whichever is larger; none is left above ``0.2 ** (1 / d)`` before they are made to sum
    to 1. A parameter that the elite does not have is drawn at random.

    Unlike irace's, these probabilities are those of an elite that was one in each race before: a searcher remembers
    nothing but the history, and that does not say from which elite a trial was drawn.

    Args:
        trials_per_race: new trials in a race, n above; that of ``kt_ext.schedulers.Racing``.
        elites: how many, N above; ``min_survivors`` of ``Racing``.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, trials_per_race: int = 10, elites: int = 3) -> None:
        for name, value in (("trials_per_race", trials_per_race), ("elites", elites)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}: must be an integer >= 1; give that of the race")
        self.trials_per_race = trials_per_race
        self.elites = elites
        self._random = RandomSearcher()

    def propose(self, history: History, space: Space, rng: np.random.Generator) -> dict[str, Value]:
        """Untried values. Raises SpaceExhausted when a finite space has none left."""
        races = len(history) // self.trials_per_race  # before this one
        ranking = ranked(history, self.elites) if races else []
        if not ranking:
            return self._random.propose(history, space, rng)
        weights = np.arange(len(ranking), 0, -1)
        centres = [space.encode(history.values(trial_id)) for trial_id in ranking]
        for _ in range(DRAWS):
            centre = centres[int(rng.choice(len(ranking), p=weights / weights.sum()))]
            values = space.decode(self._around(centre, races, space, rng))
            if not history.contains(values):
                return values
        return self._random.propose(history, space, rng)

    def _around(self, centre: np.ndarray, races: int, space: Space, rng: np.random.Generator) -> np.ndarray:
        """A point of the unit cube near ``centre``, both of shape (n_parameters,)."""
        count = len(space.parameters)
        deviation = 0.5 * (1 / self.trials_per_race) ** (races / max(count, 1))
        units = rng.random(count)
        for place, (parameter, middle) in enumerate(zip(space.parameters, centre.tolist(), strict=True)):
            if math.isnan(middle):
                continue
            if isinstance(parameter.domain, (Boolean, Fixed)) or (
                isinstance(parameter.domain, Choice) and not parameter.domain.ordered
            ):
                units[place] = _choose(parameter, middle, races, count, float(units[place]))
            else:
                units[place] = truncated_normal(middle, deviation, float(units[place]))
        return units


def ranked(history: History, count: int) -> list[int]:
    """The ``count`` trials with the most reports, none of which diverged; those with equally many by mean rank.

    Mean ranks are over the first reports, as many as all that come into question have; ties go to the earlier trial.
    """
    trial_ids, _, objectives = history.observations()
    if not len(trial_ids):
        return []
    ids, rows, reports = np.unique(trial_ids, return_inverse=True, return_counts=True)
    begins = np.cumsum(reports) - reports
    reports[rows[~np.isfinite(objectives)]] = 0
    enough = int(np.sort(reports)[::-1][min(count, int(np.count_nonzero(reports))) - 1])
    if enough == 0:
        return []
    pool = np.flatnonzero(reports >= enough)
    by_trial = objectives[np.argsort(rows, kind="stable")]
    results = by_trial[begins[pool] + np.arange(enough)[:, np.newaxis]]  # (reports, trials)
    order = np.lexsort((pool, row_ranks(results).mean(axis=0), -reports[pool]))
    return ids[pool[order][:count]].tolist()


def truncated_normal(middle: float, deviation: float, uniform: float) -> float:
    """The quantile ``uniform``, in [0, 1), of a normal distribution that is truncated to [0, 1]."""
    normal = NormalDist(middle, deviation)
    low, high = normal.cdf(0.0), normal.cdf(1.0)
    quantile = low + uniform * (high - low)
    if not 0.0 < quantile < 1.0:  # in the tail of a narrow distribution: as far out as it goes
        return min(max(round(quantile), 0), 1)
    return min(max(normal.inv_cdf(quantile), 0.0), 1.0)


def option_probabilities(count: int, elite: int, races: int, parameters: int) -> np.ndarray:
    """The probabilities of ``count`` options after so many races that option ``elite`` won, shape (count,)."""
    iterations = math.floor(2 + math.log2(parameters))
    probabilities = np.full(count, 1 / count)
    for race in range(1, races + 1):
        share = race / max(iterations, race + 1)
        probabilities *= 1 - share
        probabilities[elite] += share
    probabilities = np.minimum(probabilities, 0.2 ** (1 / parameters))
    return probabilities / probabilities.sum()


def _choose(parameter: Parameter, middle: float, races: int, parameters: int, uniform: float) -> float:
    """The centre of an option's part of the unit interval."""
    domain = parameter.domain
    count = len(domain.values) if isinstance(domain, Choice) else domain.count
    assert count is not None
    elite = min(math.floor(middle * count), count - 1)
    cumulative = np.cumsum(option_probabilities(count, elite, races, parameters))
    option = min(int(np.searchsorted(cumulative, uniform, side="right")), count - 1)
    return (option + 0.5) / count
