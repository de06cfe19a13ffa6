"""Our domains as distributions of Optuna, and values there and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kt_ext.core.categorical import Choice
from kt_ext.core.decision import Value
from kt_ext.core.domains import Domain
from kt_ext.core.numeric import Float, Int

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial


@dataclass(frozen=True)
class Translation:
    """A domain, the distribution that stands for it, and what Optuna sees of a value.

    Attributes:
        domain: of at least two values.
        distribution: what Optuna samples.
        sees: "value", "number" (of a finite domain, in the order of ``order``) or "unit".
        order: the values by number, for a choice.
    """

    domain: Domain
    distribution: BaseDistribution
    sees: str = "value"
    order: tuple[Value, ...] = ()

    def to_optuna(self, value: Value) -> Any:
        """What Optuna sees of ``value``, a value of the domain."""
        if self.sees == "unit":
            return self.domain.to_unit(value)
        if self.sees == "number":
            return self.order.index(value) if self.order else self.domain.index(value)
        return value

    def suggest(self, trial: Trial, name: str) -> Value:
        """The value that the trial's sampler wants."""
        seen = _suggested(trial, name, self.distribution)
        if self.sees == "unit":
            return self.domain.from_unit(seen)
        if self.sees == "number":
            return self.order[seen] if self.order else self.domain.at(seen)
        # A stepped float comes back with another rounding than ours.
        return self.domain.nearest(seen) if isinstance(self.domain, (Float, Int)) else seen


def translation_of(domain: Domain) -> Translation:
    """The translation of a domain of at least two values."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(domain, (Float, Int)):
        values = tuple(domain.at(number) for number in range(domain.count))
        if not (isinstance(domain, Choice) and domain.ordered):
            return Translation(domain, CategoricalDistribution(values))
        if not any(isinstance(value, str) for value in values):
            values = tuple(sorted(values))  # numbers are neighbours in order of size
        return Translation(domain, IntDistribution(0, len(values) - 1), "number", values)
    if domain.scale == "reverse_log" or (domain.scale == "log" and domain.step is not None):
        if domain.count is None:
            return Translation(domain, FloatDistribution(0.0, 1.0), "unit")
        return Translation(domain, IntDistribution(0, domain.count - 1), "number")
    log = domain.scale == "log"
    if isinstance(domain, Int):
        return Translation(domain, IntDistribution(domain.low, domain.at(domain.count - 1), log, domain.step or 1))
    if domain.step is None:
        return Translation(domain, FloatDistribution(domain.low, domain.high, log))
    return Translation(domain, FloatDistribution(domain.low, domain.at((domain.count or 1) - 1), False, domain.step))


def _suggested(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
