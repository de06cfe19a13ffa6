"""Grid search: every architecture, one after the other."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import count

import numpy as np

from kt_ext.core.searcher import SpaceExhausted
from kt_ext.core.space import Choice, Parameter, Space
from kt_ext.nas.records import Records
from kt_ext.nas.strategy import AbstractStrategy, Proposal

#: How many values stand for a number without steps: the centres of so many equal parts of its scale, as in Keras Tuner.
POINTS = 10
#: Up to so many architectures are tried in order.
SMALL = 100_000


class Grid(AbstractStrategy):
    """Goes through all architectures in the genes' order, the last gene changing fastest; nothing is drawn.

    The same networks as before, those that break a limit, and choices that the space would have to repair are left out.
    In a space of more than ``SMALL`` each step goes on by about 0.618 of its size, which comes to every architecture
    once too, and spreads those that are tried over the space.
    """

    def __init__(self) -> None:
        # A cache: what was left out stays out, so the next call need not look at it again.
        self._records: tuple[Records, object] | None = None
        self._grid = Space([])
        self._next = 0

    def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
        """The first untried architecture. Raises SpaceExhausted when there is none."""
        if self._records != (records, records.identity):
            self._records, self._next = (records, records.identity), 0
            self._grid = Space([_with_points(gene) for gene in records.space.genes.parameters])
        size = self._grid.size
        assert size is not None  # every domain is finite now
        step = 1 if size <= SMALL else _coprime(int(0.618 * size), size)
        while self._next < size:
            values = self._grid.enumeration.at(self._next * step % size)
            arch = records.space.repair(values)
            if arch.values == values and records.is_new(arch):
                return Proposal(arch)
            self._next += 1
        raise SpaceExhausted(f"all {size} architectures of the grid have been tried or break a limit")


def _coprime(least: int, size: int) -> int:
    return next(step for step in count(least) if math.gcd(step, size) == 1)


def _with_points(gene: Parameter) -> Parameter:
    if gene.domain.count is not None:
        return gene
    centres = ((point + 0.5) / POINTS for point in range(POINTS))
    return replace(gene, domain=Choice(tuple(gene.domain.from_unit(centre) for centre in centres), ordered=True))
