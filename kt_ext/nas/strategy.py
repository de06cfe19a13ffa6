"""The contract of a strategy: which architecture a new trial gets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kt_ext.nas.network import Network
from kt_ext.nas.records import Records
from kt_ext.nas.space import Architecture


@dataclass(frozen=True)
class Proposal:
    """An architecture to be tried.

    Attributes:
        arch: the architecture.
        parent: the number of the trial whose weights it begins with; None: from scratch, or as the estimator says.
    """

    arch: Architecture
    parent: int | None = None


class AbstractStrategy(ABC):
    """Chooses architectures for new trials.

    ``choose`` is a function of its arguments alone; what a strategy keeps between calls is a cache that can be thrown
    away, so that after a restart the same proposals follow. The search asks again when a proposal was tried before or
    breaks a limit (``records.is_new``), with fresh random numbers, and after ``ATTEMPTS`` times takes a random one.
    """

    def bind(  # noqa: B027 (most strategies compare genes alone)
        self, network: Callable[[Architecture], Network]
    ) -> None:
        """Told once, before anything is chosen, how the search lays its architectures; of use where networks are
        compared. Without it they are laid on ``space.picture_shape``.
        """

    @abstractmethod
    def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
        """The next architecture.

        Args:
            records: all trials so far, those still running included; the space, and how many trials there will be.
            rng: the only source of randomness.

        Raises:
            SpaceExhausted: nothing is left to be tried.
        """
