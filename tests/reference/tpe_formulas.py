"""The tree-structured Parzen estimator by its formulas, one configuration, kernel and parameter at a time.

Bergstra et al., 2011: p(x | y) is l(x) for good and g(x) for bad trials (eq. 2), and the expected improvement is
proportional to 1 / (gamma + (1 - gamma) g(x) / l(x)) (eq. 3 and below). Masses and densities here are those of the
configurations themselves, not relative to the prior.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from kt_ext.core.decision import Value
from kt_ext.core.space import Boolean, Choice, Domain, Fixed, Int, Space

Values = Mapping[str, Value]


def phi(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def position(domain: Domain, value: Value) -> float:
    """The mean of the Gaussian kernel of a value."""
    if isinstance(domain, Choice):
        low, high = part(domain, value)
        return (low + high) / 2
    return domain.to_unit(value)


def part(domain: Domain, value: Value) -> tuple[float, float]:
    """The part of the unit interval of a discrete value, by looking where its neighbours are."""
    if isinstance(domain, Choice):
        distinct = list(dict.fromkeys(domain.values))
        if domain.ordered and all(not isinstance(other, str) for other in distinct):
            distinct.sort()
        before = sum(domain.values.count(other) for other in distinct[: distinct.index(value)])
        return before / len(domain.values), (before + domain.values.count(value)) / len(domain.values)
    count = domain.count
    assert count is not None
    if isinstance(domain, Int) and domain.step is None and domain.scale != "linear":
        ratio, low = (domain.high + 1) / domain.low, domain.low
        if domain.scale == "log":
            return math.log(value / low, ratio), math.log((value + 1) / low, ratio)
        top = domain.high + 1 + low
        return 1 - math.log((top - value) / low, ratio), 1 - math.log((top - value - 1) / low, ratio)
    centre = domain.to_unit(value)
    return centre - 0.5 / count, centre + 0.5 / count


def prior(domain: Domain, value: Value) -> float:
    """Density of a continuous value on the unit interval, mass of a discrete one."""
    if domain.count is None:
        return 1.0
    low, high = part(domain, value)
    return high - low


def kernel(domain: Domain, value: Value, of: Value, bandwidth: float, spread: float) -> float:
    """Density or mass of ``value`` in the kernel of the value ``of``."""
    if isinstance(domain, (Boolean, Fixed)) or (isinstance(domain, Choice) and not domain.ordered):
        return (1 - spread) * (value == of) + spread * prior(domain, value)
    mean = position(domain, of)
    inside = phi((1 - mean) / bandwidth) - phi((0 - mean) / bandwidth)
    if domain.count is None:
        z = (domain.to_unit(value) - mean) / bandwidth
        return math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / bandwidth / inside
    low, high = part(domain, value)
    return (phi((high - mean) / bandwidth) - phi((low - mean) / bandwidth)) / inside


def density(space: Space, values: Values, points: Sequence[Values], prior_weight: float, bandwidth: float) -> float:
    """The mixture over ``points`` and the prior, at ``values``."""
    n, d = len(points), len(space.parameters)
    h = max(bandwidth / max(n, 1) ** (1 / (d + 4)), 0.01)
    spread = (3 * prior_weight / (n + 1)) / (1 + 3 * prior_weight / (n + 1))
    active = space.active(values)
    total = prior_weight * math.prod(prior(p.domain, values[p.name]) for p in active)
    for point in points:
        known = set(space.active(point))
        product = 1.0
        for p in active:
            # A kernel without this parameter has the prior for it.
            if p in known:
                product *= kernel(p.domain, values[p.name], point[p.name], h, spread)
            else:
                product *= prior(p.domain, values[p.name])
        total += product
    return total / (n + prior_weight)


def expected_improvement(good: float, bad: float, gamma: float) -> float:
    """Up to a factor, from l(x) and g(x)."""
    return 1.0 / (gamma + (1 - gamma) * bad / good)
