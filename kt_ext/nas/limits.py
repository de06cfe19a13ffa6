"""Bounds on what an architecture costs, kept before anything is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from kt_ext.nas.space import AbstractArchitectureSpace, Architecture

#: Lower and upper bound, both allowed; None is none.
Bounds = tuple[float | None, float | None]


class Limits:
    """Which architectures a search may try.

    Args:
        bounds: names of measures to their bounds.
        measure: an architecture's measures by name, ``params``, ``flops``, ``memory`` or the user's own.
    """

    def __init__(self, bounds: Mapping[str, Bounds], measure: Callable[[Architecture], Mapping[str, float]]) -> None:
        self.bounds = dict(bounds)
        self.measure = measure
        self._known: dict[tuple, bool] = {}

    def fit(self, arch: Architecture) -> bool:
        """Whether the architecture keeps all bounds."""
        if arch.genes not in self._known:
            self._known[arch.genes] = not self.breaches(arch)
        return self._known[arch.genes]

    def breaches(self, arch: Architecture) -> list[str]:
        """What is wrong with it, one text for each bound that it does not keep."""
        measures = self.measure(arch)
        said = []
        for name, (low, high) in self.bounds.items():
            if high is not None and not measures[name] <= high:
                said.append(f"{name}={measures[name]:.10g} is not <= {high:.10g}")
            elif low is not None and not measures[name] >= low:
                said.append(f"{name}={measures[name]:.10g} is not >= {low:.10g}")
        return said

    def check(self, space: AbstractArchitectureSpace, draws: int = 500) -> None:
        """Raises ValueError if none of so many random architectures keeps the bounds, and says how near they come."""
        rng = np.random.default_rng(0)
        seen: dict[str, list[float]] = {name: [] for name in self.bounds}
        for _ in range(draws):
            arch = space.random(rng)
            if self.fit(arch):
                return
            for name, value in self.measure(arch).items():
                if name in seen:
                    seen[name].append(value)
        ranges = ", ".join(f"{name} is from {min(v):.6g} to {max(v):.6g}" for name, v in seen.items())
        given = {name: pair for name, pair in self.bounds.items()}
        raise ValueError(
            f"constraints={given}: none of {draws} random architectures keeps them all ({ranges}); widen them, or "
            "narrow the space"
        )
