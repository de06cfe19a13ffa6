"""Architectures as sequences of tokens: one for each active gene, the number of its value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.space import Domain, Parameter
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture

#: Into how many parts of equal probability a range of numbers is cut, and how many values it may have without that.
BINS = 8
MOST_VALUES = 32
#: The token of a gene that is inactive.
INACTIVE = -1


class Tokens:
    """The genes of a space as steps of a sequence, in the space's order. Genes of a single value are no steps.

    Args:
        space: the architectures' space.

    Attributes:
        counts: how many tokens each step has, length n_steps.
    """

    def __init__(self, space: AbstractArchitectureSpace) -> None:
        self.space = space
        self._steps = [gene for gene in space.genes.parameters if gene.domain.count != 1]
        self.counts = tuple(_count(gene.domain) for gene in self._steps)

    def of(self, arch: Architecture) -> np.ndarray:
        """The architecture's tokens, shape (n_steps,), integers; ``INACTIVE`` where a gene is."""
        return np.array([self._token(gene, arch.values) for gene in self._steps], dtype=int)

    def _token(self, gene: Parameter, values: dict[str, Value]) -> int:
        if gene.name not in values or not gene.holds(values):
            return INACTIVE
        index = gene.domain.index(values[gene.name]) if not _cut(gene.domain) else None
        return int(gene.domain.to_unit(values[gene.name]) * BINS * (1 - 1e-12)) if index is None else index

    def draw(self, choose: Callable[[int, float], int], rng: np.random.Generator) -> Architecture:
        """An architecture whose tokens are chosen one after the other.

        Args:
            choose: takes a step and a uniform number, gives the token; is asked for active genes alone, in order.
            rng: the source of randomness.
        """
        values: dict[str, Value] = {}
        step = -1
        for gene in self.space.genes.parameters:
            single = gene.domain.count == 1
            step += not single
            if gene.name in values or not gene.holds(values):
                continue
            if single:
                values[gene.name] = gene.domain.at(0)
                continue
            token = choose(step, rng.random())
            cut = _cut(gene.domain)
            values[gene.name] = gene.domain.from_unit((token + rng.random()) / BINS) if cut else gene.domain.at(token)
        return self.space.repair(values)


def _cut(domain: Domain) -> bool:
    """Whether a step has ranges of the domain's values as its tokens, and not the values."""
    return domain.count is None or (domain.count > MOST_VALUES and hasattr(domain, "scale"))


def _count(domain: Domain) -> int:
    return BINS if _cut(domain) or domain.count is None else domain.count
