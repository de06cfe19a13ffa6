"""Evolution: differential evolution as in DEHB, or mutation of tournament winners."""

from __future__ import annotations

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Space
from kt_ext.searchers.cube import Cube
from kt_ext.searchers.evidence import Evidence
from kt_ext.searchers.local_search import neighbours
from kt_ext.searchers.quasi_random import QuasiRandomSearcher
from kt_ext.searchers.random import RandomSearcher

# The strategies, with the size of their population that did best in searches of about a hundred trials.
STRATEGIES = {"de": 10, "mutation": 20}
# How many offspring are made at once, of which the first untried one is proposed, before we draw at random.
OFFSPRING = 8
# A tournament is between this share of the population (Real et al., 2019, take 25 of 100).
TOURNAMENT_SHARE = 0.25


class EvolutionSearcher(AbstractSearcher):
    """Recombines or mutates what did well; the first ``population_size`` trials are quasi-random.

    Trials are compared at the highest epoch that at least ``population_size`` of them have reached, by their best
    objective up to it; one that has not got there counts behind all that have, by the epoch it has reached.

    ``strategy="de"`` is differential evolution, rand/1/bin (Storn and Price, 1997), in the unit cube as DEHB has it
    (Awad, Mallik and Hutter, 2021): a mutant a + F (b - c) of three different members, coordinates outside of [0, 1]
    drawn anew, crossed over with the target; choices are parts of the unit interval; coordinates of inactive parameters
    are drawn. Trial k is made for slot k modulo ``population_size``, whose target is the best trial made for it so far:
    the child stays if it is better. As in DEHB's asynchronous form nobody waits for a generation to end.
    Otherwise than DEHB: a scheduler decides on epochs and promotes by its own rule, so offspring are made only for
    new trials, which start at the lowest rung; there is one population, at the highest epoch with enough trials, in
    place of one for each rung with parents from the rung below; and a member's coordinates are those of its values, so
    a choice stands at the centre of its part.

    ``strategy="mutation"`` is regularised evolution (Real et al., 2019): of the youngest ``population_size`` trials at
    that epoch, the best of a random quarter is changed in one active parameter (see ``local_search.neighbours``).

    Args:
        strategy: "de" or "mutation".
        population_size: integer >= 4; None: 10 for "de" and 20 for "mutation". Larger ones suit longer searches.
        mutation_factor: F, in (0, 2].
        crossover_probability: chance of a coordinate to be the mutant's, in [0, 1]; one is at least.
        seed: integer >= 0 of the quasi-random start.
    """

    def __init__(
        self,
        strategy: str = "de",
        population_size: int | None = None,
        mutation_factor: float = 0.5,
        crossover_probability: float = 0.5,
        seed: int = 0,
    ) -> None:
        if strategy not in STRATEGIES:
            raise ValueError(f"strategy={strategy!r}: must be one of {', '.join(STRATEGIES)}")
        if population_size is not None and population_size < 4:
            raise ValueError(f"population_size={population_size}: must be an integer >= 4, a target and three parents")
        if not 0 < mutation_factor <= 2:
            raise ValueError(f"mutation_factor={mutation_factor}: must be in (0, 2]; 0.5 is usual")
        if not 0 <= crossover_probability <= 1:
            raise ValueError(f"crossover_probability={crossover_probability}: must be in [0, 1]; 0.5 is usual")
        self.strategy = strategy
        self.population_size = STRATEGIES[strategy] if population_size is None else population_size
        self.mutation_factor = mutation_factor
        self.crossover_probability = crossover_probability
        self._startup = QuasiRandomSearcher(seed=seed)
        self._random = RandomSearcher()
        self._evidence = Evidence()
        self._cube = Cube(Space([]))

    def propose(self, history: History, space: Space, rng: np.random.Generator) -> dict[str, Value]:
        """Untried values. Raises SpaceExhausted when a finite space has none left."""
        if self._cube.space is not space and self._cube.space != space:
            self._cube = Cube(space)
        evidence = self._evidence.follow(history, space)
        epoch = evidence.highest(self.population_size)
        if epoch == 0 or not self._cube.free.any():
            return self._startup.propose(history, space, rng)
        offspring = self._recombined if self.strategy == "de" else self._mutated
        for _ in range(OFFSPRING):
            values = space.decode(offspring(evidence, epoch, rng))
            if not history.contains(values):
                return values
        return self._random.propose(history, space, rng)

    def _recombined(self, evidence: Evidence, epoch: int, rng: np.random.Generator) -> np.ndarray:
        """A child for the next trial's slot, shape (n_parameters,)."""
        slot = len(evidence.ids) % self.population_size
        members = _best_of_slots(evidence, epoch, self.population_size)
        target = members.pop(slot, None)
        others = sorted(members.values())
        if target is None or len(others) < 3:  # all trials made for this slot are still running
            return rng.random(len(self._cube.levels))
        parents = rng.choice(others, size=3, replace=False)
        units = evidence.units[[target, *parents]]
        filled = np.where(np.isnan(units), rng.random(units.shape), units)
        return recombine(filled[0], filled[1:], self.mutation_factor, self.crossover_probability, rng)

    def _mutated(self, evidence: Evidence, epoch: int, rng: np.random.Generator) -> np.ndarray:
        """A tournament winner with one parameter changed, shape (n_parameters,)."""
        rows, objectives = evidence.at(epoch)
        youngest, objectives = rows[-self.population_size :], objectives[-self.population_size :]
        n_drawn = max(2, round(TOURNAMENT_SHARE * self.population_size))
        drawn = np.sort(rng.choice(len(youngest), size=n_drawn, replace=False))
        winner = youngest[drawn[np.argmin(objectives[drawn])]]
        parent = self._cube.settle(evidence.units[[winner]], rng)
        free = np.flatnonzero(self._cube.free & ~np.isnan(parent[0]))
        if not len(free):
            return parent[0]
        _, near = neighbours(parent, self._cube, rng, only=int(rng.choice(free)))
        return near[rng.integers(len(near))] if len(near) else parent[0]


def recombine(
    target: np.ndarray,
    parents: np.ndarray,
    mutation_factor: float,
    crossover_probability: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """The child rand/1/bin of points of the unit cube, shape (n_parameters,).

    Args:
        target: what the child is crossed with, shape (n_parameters,).
        parents: a, b and c of the mutant a + mutation_factor * (b - c), shape (3, n_parameters).
        mutation_factor: the length of the step.
        crossover_probability: chance of a coordinate to be the mutant's; one that is drawn always is.
        rng: the source of randomness.
    """
    a, b, c = parents
    mutant = a + mutation_factor * (b - c)
    outside = (mutant < 0) | (mutant > 1)
    mutant = np.where(outside, rng.random(len(mutant)), mutant)  # as in DEHB
    crossed = rng.random(len(mutant)) < crossover_probability
    crossed[rng.integers(len(mutant))] = True
    return np.where(crossed, mutant, target)


def _best_of_slots(evidence: Evidence, epoch: int, n_slots: int) -> dict[int, int]:
    """The row of each slot's best trial at ``epoch``; slots without a finite one are left out."""
    best: dict[int, tuple[int, float, int]] = {}
    for row in np.flatnonzero(evidence.epochs > 0).tolist():
        reached = min(int(evidence.epochs[row]), epoch)
        # The younger one wins a tie, as in differential evolution.
        key = (-reached, evidence.best_until(row, reached), -row)
        if not np.isfinite(key[1]):
            continue
        slot = row % n_slots
        best[slot] = min(key, best.get(slot, key))
    return {slot: -key[2] for slot, key in best.items()}
