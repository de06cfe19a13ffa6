"""A strategy as a searcher: architectures that were not tried yet and keep the limits, with the other values beside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.searcher import AbstractSearcher, SpaceExhausted
from kt_ext.core.space import Space
from kt_ext.nas.limits import Limits
from kt_ext.nas.records import Records
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture
from kt_ext.nas.strategy import AbstractStrategy, Proposal

#: Names the trial whose weights a new one begins with; travels with the trial's values.
PARENT = "kt_ext/parent"
#: How often a strategy is asked before a random architecture is taken.
ATTEMPTS = 50
#: How many random ones are drawn before a small space is looked through and a large one is given up.
DRAWS = 2000
#: Spaces up to this size are looked through.
SMALL = 100_000


Genes = tuple[tuple[str, Value], ...]


class AbstractScreen(ABC):
    """Scores architectures that were not trained.

    Attributes:
        candidates: how many are scored for each trial.
    """

    candidates: int

    @abstractmethod
    def score(self, arch: Architecture) -> float:
        """How promising it looks, always the same for the same architecture; higher is better."""


class ArchitectureSearcher(AbstractSearcher):
    """Proposes the hyperparameters of an architecture by a strategy, and the other ones by a searcher.

    Args:
        space: the architectures.
        strategy: chooses among them.
        max_trials: how many trials the search may start.
        limits: what an architecture must keep; None: nothing.
        others: proposes the values of hyperparameters outside of the architecture.
        inherit: whether each trial that has no parent by its strategy begins with the weights of the nearest one.
        repeats: whether an architecture may be tried again.

    Attributes:
        screen: of its ``candidates`` proposals only the one with the best score is tried; None tries each.
    """

    def __init__(
        self,
        space: AbstractArchitectureSpace,
        strategy: AbstractStrategy,
        max_trials: int,
        limits: Limits | None = None,
        others: AbstractSearcher | None = None,
        inherit: bool = False,
        repeats: bool = False,
    ) -> None:
        self.space = space
        self.strategy = strategy
        self.others = others
        self.inherit = inherit
        self.repeats = repeats
        self.screen: AbstractScreen | None = None
        self._scores: dict[Genes, float] = {}
        fits: Callable[[Architecture], bool] = (lambda arch: True) if limits is None else limits.fit
        self._records = Records(space, max_trials, fits)
        self._whole: Space | None = None

    @property
    def on_record(self) -> str:
        """By its strategy."""
        return type(self.strategy).__name__

    def propose(self, history: History, space: Space, rng: np.random.Generator) -> Mapping[str, Value]:
        """Values of an untried architecture and of all else. Raises SpaceExhausted when none is left."""
        records = self._records.follow(history)
        proposal = self._propose(records, rng)
        values = self.space.values(proposal.arch)
        parent = proposal.parent
        if parent is None and self.inherit:
            parent = nearest(records, proposal.arch)
        if parent is not None:
            values[PARENT] = parent
        return {**values, **self._other_values(history, space, rng)}

    def _propose(self, records: Records, rng: np.random.Generator) -> Proposal:
        if self.screen is None:
            return self._one(records, rng, ())
        proposals: list[Proposal] = []
        while len(proposals) < self.screen.candidates:
            try:
                proposals.append(self._one(records, rng, [each.arch.genes for each in proposals]))
            except SpaceExhausted:
                if not proposals:
                    raise
                break
        return max(proposals, key=lambda each: self._score(each.arch))

    def _score(self, arch: Architecture) -> float:
        assert self.screen is not None
        if arch.genes not in self._scores:
            self._scores[arch.genes] = self.screen.score(arch)
        return self._scores[arch.genes]

    def _one(self, records: Records, rng: np.random.Generator, but: Collection[Genes]) -> Proposal:
        def new(arch: Architecture) -> bool:
            return arch.genes not in but and (records.fits(arch) if self.repeats else records.is_new(arch))

        for _ in range(ATTEMPTS):
            proposal = self.strategy.choose(records, rng)
            if new(proposal.arch):
                return proposal
        for _ in range(DRAWS):
            arch = self.space.random(rng)
            if new(arch):
                return Proposal(arch)
        size = self.space.size
        if size is None or size > SMALL:
            raise SpaceExhausted(f"none of {DRAWS} random architectures was untried and within the limits")
        every = (self.space.repair(self.space.genes.enumeration.at(number)) for number in range(size))
        left = [arch for arch in every if new(arch)]
        if not left:
            raise SpaceExhausted("every architecture of the space that keeps the limits has been tried")
        return Proposal(left[int(rng.integers(len(left)))])

    def _other_values(self, history: History, space: Space, rng: np.random.Generator) -> Mapping[str, Value]:
        if space is not self._whole:
            prefix = f"{self.space.name}/"
            own = [parameter for parameter in space.parameters if not parameter.name.startswith(prefix)]
            self._whole, self._rest = space, Space(own)
        if not self._rest.parameters:
            return {}
        if self.others is None:
            return self._rest.sample(rng)
        return self.others.propose(history, self._rest, rng)


def nearest(records: Records, arch: Architecture) -> int | None:
    """The trial of the fewest different genes among those that reported a finite objective; of equally near ones the
    better. None without one.
    """
    found = [
        (records.space.distance(arch, one.arch), one.best[-1], one.number)
        for one in records.trials
        if one.best and one.best[-1] < np.inf
    ]
    return min(found)[2] if found else None
