"""Children that begin as the function that their parent is (network morphism; Chen et al., 2016; Jin et al., 2019)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import Literal

import numpy as np

from kt_ext.core.space import Parameter
from kt_ext.nas.moves import MOVES, Move, kind_of_move
from kt_ext.nas.network import Network
from kt_ext.nas.records import Records
from kt_ext.nas.space import Architecture
from kt_ext.nas.strategies.evolution import Evolution
from kt_ext.nas.strategy import AbstractStrategy, Proposal

#: How many architectures around a parent are compared with it at most; each costs milliseconds.
COMPARED = 40
#: How many of them are drawn mutations, which give new layers other genes than the usual ones.
DRAWN = 10
#: Comparisons that are remembered.
REMEMBERED = 10_000


class Morphism(AbstractStrategy):
    """Grows a parent by one move that keeps its function, so that it goes on with the parent's weights.

    The first trials are random. Then a parent is chosen as in regularized evolution, and a move by equal chances among
    the kinds that the parent has: the architecture differs in one gene, or in the same number in several layers at once
    (as sums tie their widths together), and is one not yet tried. A parent without any is mutated, and its child takes
    over what fits.

    Args:
        moves: the kinds allowed: "widen", "deepen", "skip", "kernel"; see ``kt_ext.nas.moves``.
        population: number of members among which parents are chosen, at least 2; None: a fifth of the trials, at most
            30.
        tournament: a parent is the best of so many random members; None: of a third.
        parent: "tournament", or the "best" of all.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        moves: Sequence[Move] = ("widen", "deepen", "skip", "kernel"),
        population: int | None = None,
        tournament: int | None = None,
        parent: Literal["tournament", "best"] = "tournament",
    ) -> None:
        if isinstance(moves, str) or not moves or not set(moves) <= set(MOVES):
            raise ValueError(f"moves={moves!r}: must be some of {', '.join(MOVES)}, such as ('widen', 'deepen')")
        if parent not in ("tournament", "best"):
            raise ValueError(f"parent={parent!r}: must be 'tournament' or 'best'")
        if parent == "best" and tournament is not None:
            raise ValueError(f"tournament={tournament}: has no meaning with parent='best'; leave one of them out")
        self.moves = tuple(dict.fromkeys(moves))
        if parent == "tournament":
            self.parents = Evolution(population, tournament=tournament, crossover=0)
        else:
            self.parents = Evolution(population, "worst", "truncation", tournament=1, crossover=0)
        self._network: Callable[[Architecture], Network] | None = None
        self._kinds: dict[tuple, Move | None] = {}

    def bind(self, network: Callable[[Architecture], Network]) -> None:
        """Compare networks as the search lays them."""
        self._network = network
        self._kinds.clear()

    def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
        """A random architecture at first, then a child of a good one."""
        members = self.parents.members(records)
        if not len(members):
            return Proposal(records.space.random(rng))
        place = self.parents.pick(members, rng)
        parent = members.records[place]
        child = self._grown(records, parent.arch, rng) or records.space.mutate(parent.arch, rng)
        # One that failed has no weights to give.
        return Proposal(child, parent.number if np.isfinite(members.objectives[place]) else None)

    def _grown(self, records: Records, parent: Architecture, rng: np.random.Generator) -> Architecture | None:
        """An untried architecture by one move, of a kind that is drawn first; None if none was found."""
        wanted = [self.moves[index] for index in rng.permutation(len(self.moves))]
        near = [*records.space.neighbours(parent), *_together(parent)]
        order = list(islice(_spread(parent, near, rng), COMPARED - DRAWN))
        order += [records.space.mutate(parent, rng) for _ in range(DRAWN)]
        found: dict[Move, Architecture] = {}
        for child in order:
            if records.is_new(child):
                kind = self._kind(parent, child)
                if kind in self.moves:
                    found.setdefault(kind, child)
                    if kind == wanted[0]:
                        break
        return next((found[kind] for kind in wanted if kind in found), None)

    def _kind(self, parent: Architecture, child: Architecture) -> Move | None:
        key = (parent.genes, child.genes)
        if key not in self._kinds:
            if len(self._kinds) >= REMEMBERED:
                self._kinds.clear()
            self._kinds[key] = kind_of_move(self._laid(parent), self._laid(child))
        return self._kinds[key]

    def _laid(self, arch: Architecture) -> Network:
        if self._network is not None:
            return self._network(arch)
        return arch.space.network(arch, arch.space.picture_shape)


def _together(parent: Architecture) -> Iterator[Architecture]:
    """Architectures in which a number and all later ones of its name and value, such as the width of layers 2, 3 and 4,
    change to the same other value.
    """
    alike: dict[tuple, list[Parameter]] = {}
    for gene in parent.space.genes.active(parent.values):
        value = parent.values[gene.name]
        if "/" in gene.name and gene.domain.count is not None and type(value) is int:
            alike.setdefault((gene.name.rpartition("/")[2], value), []).append(gene)
    for (_, value), genes in alike.items():
        domain = genes[0].domain
        others = [domain.at(index) for index in range(domain.count or 0) if domain.at(index) != value]
        for first in range(len(genes) - 1):
            for other in others:
                changed = {gene.name: other for gene in genes[first:]}
                yield parent.space.repair({**parent.values, **changed})


def _spread(parent: Architecture, near: Sequence[Architecture], rng: np.random.Generator) -> Iterator[Architecture]:
    """In random order, but each kind of gene in its turn: a space may have 200 genes for skips, one for its depth."""
    by_gene: dict[str, list[Architecture]] = {}
    for index in rng.permutation(len(near)):
        child = near[index]
        changed = next((name for name, value in child.genes if parent.values.get(name) != value), "")
        by_gene.setdefault(re.sub(r"\d+", "", changed), []).append(child)
    for turn in zip_longest(*by_gene.values()):
        yield from (child for child in turn if child is not None)
