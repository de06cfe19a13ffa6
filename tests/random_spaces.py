"""Search spaces drawn at random: conditions on any kind of parent, and names used twice under different conditions."""

from __future__ import annotations

import numpy as np

from kt_ext.core.space import Boolean, Choice, Condition, Domain, Fixed, Float, Int, Parameter, Space


def finite_domain(rng: np.random.Generator) -> Domain:
    """A domain of at most six values."""
    low = int(rng.integers(1, 5))
    domains: list[Domain] = [
        Boolean(),
        Fixed("same"),
        Int(low, low + int(rng.integers(0, 4))),
        Int(1, 30, 3, "log"),
        Int(1, 30, 3, "reverse_log"),
        Int(low, low + 3, scale="log"),
        Float(0.0, 0.5, 0.1),
        Float(0.001, 1.0, 10, "log"),
        Choice(("a", "b", "c")),
        Choice((4, 1, 2), ordered=True),
        Choice(("twice", "twice", "once")),
    ]
    return domains[int(rng.integers(len(domains)))]


def infinite_domain(rng: np.random.Generator) -> Domain:
    """A continuous domain."""
    low = float(rng.uniform(0.1, 1.0))
    return Float(low, low * float(rng.uniform(1.5, 100.0)), scale=str(rng.choice(["linear", "log", "reverse_log"])))


def random_space(rng: np.random.Generator, n_parameters: int, continuous: float = 0.0) -> Space:
    """A space of ``n_parameters``, each continuous with probability ``continuous``, about half of them conditional."""
    parameters: list[Parameter] = []
    for number in range(n_parameters):
        domain = infinite_domain(rng) if rng.random() < continuous else finite_domain(rng)
        parents = [p for p in parameters if p.domain.count is not None]
        conditions = []
        for _ in range(int(rng.integers(0, 3)) if parents else 0):
            parent = parents[int(rng.integers(len(parents)))]
            count = parent.domain.count
            assert count is not None
            chosen = {parent.domain.at(int(index)) for index in rng.integers(count, size=2)}
            conditions.append(Condition(parent.name, tuple(chosen)))
        name = f"p{number}"
        if conditions and rng.random() < 0.2:
            # A name may come back, as long as none of its own ancestors bears it: the conditions would form a cycle.
            free = {p.name for p in parameters} - _ancestors(parameters, {c.parent for c in conditions})
            users = {c.parent for p in parameters for c in p.conditions}
            name = min(free - users, default=name)
        parameters.append(Parameter(name, domain, tuple(conditions)))
    return Space(parameters)


def _ancestors(parameters: list[Parameter], names: set[str]) -> set[str]:
    while True:
        more = names | {c.parent for p in parameters if p.name in names for c in p.conditions}
        if more == names:
            return names
        names = more
