"""Regularized evolution (Real, Aggarwal, Huang, Le, 2019, arXiv:1802.01548) and the family around it."""

from __future__ import annotations

import numpy as np

from kt_ext.nas.records import Records, Scored
from kt_ext.nas.strategies.sizes import share_of
from kt_ext.nas.strategy import AbstractStrategy, Proposal

#: The largest population by default, and how many times it is replaced in a search at least.
LARGEST, GENERATIONS = 30, 5
#: The share of the population that competes by default; chosen, as the crossover is, on NAS-Bench-201 and -Macro.
TOURNAMENT_SHARE = 1 / 2


def default_population(max_trials: int) -> int:
    """A fifth of the trials, at least 2 and at most 30."""
    return share_of(max_trials, GENERATIONS, 2, LARGEST)


class Evolution(AbstractStrategy):
    """Makes children of good parents: a gene mutated, or each gene from one of two parents.

    The first ``population`` trials are random. Then the members are, of the trials that can be compared (all that
    reached the highest epoch that so many reached), the last to get there, or the best; those that failed count as the
    worst. Nobody waits for a generation to end, so any number of workers may take part.

    With ``population=100, tournament=25, crossover=0`` and one worker it is algorithm 1 of the paper, except that the
    search asks again for what was tried before.

    Args:
        population: number of members, at least 2; None: ``default_population`` of the search's trials.
        remove: who leaves for a new member: the "oldest", as in the paper, or the "worst".
        selection: "tournament": a parent is the best of ``tournament`` random members, drawn with replacement;
            "truncation": any of the ``tournament`` best members.
        tournament: from 1 to ``population``; None: half of it.
        crossover: chance of a child of two parents, in [0, 1]; it is mutated only if it is equal to one of them.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        population: int | None = None,
        remove: str = "oldest",
        selection: str = "tournament",
        tournament: int | None = None,
        crossover: float = 0.5,
    ) -> None:
        if population is not None and population < 2:
            raise ValueError(f"population={population}: must be an integer >= 2; leave it out for the default")
        if remove not in ("oldest", "worst"):
            raise ValueError(f"remove={remove!r}: must be 'oldest', as in the paper, or 'worst'")
        if selection not in ("tournament", "truncation"):
            raise ValueError(f"selection={selection!r}: must be 'tournament' or 'truncation'")
        if tournament is not None and not 1 <= tournament <= (population or tournament):
            raise ValueError(f"tournament={tournament}: must be an integer from 1 to population={population}")
        if not 0 <= crossover <= 1:
            raise ValueError(f"crossover={crossover}: must be in [0, 1]; 0 for mutation alone, as in the paper")
        self.population = population
        self.remove = remove
        self.selection = selection
        self.tournament = tournament
        self.crossover = crossover

    def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
        """A random architecture at first, then a child of the population."""
        members = self.members(records)
        if not len(members):
            return Proposal(records.space.random(rng))
        parent = members.records[self.pick(members, rng)].arch
        if self.crossover and rng.random() < self.crossover:
            other = members.records[self.pick(members, rng)].arch
            child = records.space.crossover(parent, other, rng)
            if child not in (parent, other):
                return Proposal(child)
        return Proposal(records.space.mutate(parent, rng))

    def members(self, records: Records) -> Scored:
        """The population; empty while fewer than so many trials can be compared."""
        size = default_population(records.max_trials) if self.population is None else self.population
        scored = records.scored(size)
        if self.remove == "oldest":
            return scored.last(size)
        best = np.sort(np.argsort(scored.objectives, kind="stable")[:size])
        return Scored([scored.records[place] for place in best], scored.objectives[best])

    def pick(self, members: Scored, rng: np.random.Generator) -> int:
        """The place of a parent among at least one member."""
        n = len(members)
        size = max(2, int(n * TOURNAMENT_SHARE)) if self.tournament is None else self.tournament
        if self.selection == "truncation":
            best = np.argsort(members.objectives, kind="stable")[:size]
            return int(best[rng.integers(len(best))])
        drawn = rng.integers(n, size=size)
        return int(drawn[np.argmin(members.objectives[drawn])])
