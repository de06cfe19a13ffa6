"""The tree-structured Parzen estimator (Bergstra et al., 2011), at several fidelities (BOHB: Falkner et al., 2018)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Space
from kt_ext.searchers.axis import AbstractAxis, axis_of
from kt_ext.searchers.evidence import Evidence
from kt_ext.searchers.parzen import Parzen
from kt_ext.searchers.quasi_random import QuasiRandomSearcher
from kt_ext.searchers.random import RandomSearcher

# More good trials than this make the density of the good too broad (Bergstra's own code).
MOST_GOOD = 25
# How often candidates are drawn anew when all of them were tried before.
ROUNDS = 4


class TPESearcher(AbstractSearcher):
    """Proposes what is likely among good trials and unlikely among bad ones.

    The trials are ranked, the best share ``gamma`` is good, the others are bad, and a density is estimated of each (see
    ``Parzen`` for the kernels and for conditional spaces). Candidates are drawn from the density l of the good, and the
    one with the greatest l / g is proposed: that maximises the expected improvement (Bergstra et al., section 4.1).

    * Trials are compared at the highest epoch that ``n_startup`` of them have reached, by their best objective up to
      it. Trials that have ended before it (a scheduler stopped them) follow behind, those that got further first, so
      that what was learned at the lower epochs is not lost.
    * Running trials that have not got there count as bad: workers that ask at the same time get different proposals. So
      do failed trials, and those without a finite objective.
    * Until ``n_startup`` trials have reported, and for ``random_share`` of the proposals after, it is quasi-random.

    Args:
        n_startup: integer >= 1.
        gamma: the good trials' share of all, in (0, 1).
        n_candidates: how many are drawn from the good trials' density at each proposal; integer >= 1.
        multivariate: whether a density is one mixture of products, which knows how parameters go together. If not, each
            parameter is decided alone, by the trials in which it was active, as in the original.
        prior_weight: weight of the prior, where a trial weighs 1; > 0.
        bandwidth: width of the kernel of a single trial, as a share of the parameter's range; > 0.
        random_share: in [0, 1]. BOHB takes 1/3, for its guarantee against misleading low fidelities.
        seed: integer >= 0 of the quasi-random proposals.

    Raises:
        ValueError: an argument outside of its range.
    """

    def __init__(
        self,
        n_startup: int = 10,
        gamma: float = 0.15,
        n_candidates: int = 24,
        multivariate: bool = True,
        prior_weight: float = 1.0,
        bandwidth: float = 0.2,
        random_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        for name, number in (("n_startup", n_startup), ("n_candidates", n_candidates)):
            if number < 1:
                raise ValueError(f"{name}={number}: must be an integer >= 1; 10 and 24 are usual")
        for name, size in (("prior_weight", prior_weight), ("bandwidth", bandwidth)):
            if not 0 < size < math.inf:
                raise ValueError(f"{name}={size}: must be > 0 and finite; raise it a little")
        if not 0 < gamma < 1:
            raise ValueError(f"gamma={gamma}: must be between 0 and 1, both excluded; 0.1 to 0.25 is usual")
        if not 0 <= random_share <= 1:
            raise ValueError(f"random_share={random_share}: must be in [0, 1]; use 0 for none")
        self.n_startup = n_startup
        self.gamma = gamma
        self.n_candidates = n_candidates
        self.multivariate = multivariate
        self.prior_weight = prior_weight
        self.bandwidth = bandwidth
        self.random_share = random_share
        self._evidence = Evidence()
        self._quasi_random = QuasiRandomSearcher(seed=seed)
        self._random = RandomSearcher()

    def propose(self, history: History, space: Space, rng: np.random.Generator) -> dict[str, Value]:
        """Untried values. Raises SpaceExhausted when a finite space has none left."""
        evidence = self._evidence.follow(history, space)
        epoch = evidence.highest(self.n_startup)
        if epoch == 0 or rng.random() < self.random_share:
            return self._quasi_random.propose(history, space, rng)
        axes = [axis_of(parameter.domain) for parameter in space.parameters]
        columns = [axis.coordinates(units) for axis, units in zip(axes, evidence.units.T, strict=True)]
        points = np.array(columns).reshape(len(axes), len(evidence.ids)).T
        good, bad = self.split(evidence, epoch)
        candidates = self._together if self.multivariate else self._alone
        for _ in range(ROUNDS):
            for values in candidates(space, axes, points[good], points[bad], rng):
                if not history.contains(values):
                    return values
        return self._random.propose(history, space, rng)

    def split(self, evidence: Evidence, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows of the good trials and of the bad ones, compared at ``epoch``."""
        ranked, unfit = ranking(evidence, epoch)
        n_good = min(math.ceil(self.gamma * len(ranked)), MOST_GOOD)
        return ranked[:n_good], np.concatenate([ranked[n_good:], unfit])

    def _parzen(self, axes: Sequence[AbstractAxis], points: np.ndarray) -> Parzen:
        return Parzen(axes, points, self.prior_weight, self.bandwidth)

    def _together(
        self, space: Space, axes: Sequence[AbstractAxis], good: np.ndarray, bad: np.ndarray, rng: np.random.Generator
    ) -> Iterable[dict[str, Value]]:
        """Candidates drawn from one density over all parameters, the best first."""
        good_density, bad_density = self._parzen(axes, good), self._parzen(axes, bad)
        drawn = [_decode(space, axes, row) for row in good_density.draw(rng, self.n_candidates)]
        low, high = np.moveaxis(np.array([cells(space, axes, values) for values in drawn]), 2, 0)
        gain = good_density.log_density(low, high) - bad_density.log_density(low, high)
        return [drawn[place] for place in np.argsort(-gain, kind="stable")]

    def _alone(
        self, space: Space, axes: Sequence[AbstractAxis], good: np.ndarray, bad: np.ndarray, rng: np.random.Generator
    ) -> Iterable[dict[str, Value]]:
        """Candidates of each parameter, the best first; the k-th best of all parameters together are one candidate."""
        ranked = np.empty((self.n_candidates, len(axes)))
        for place, axis in enumerate(axes):
            active = (points[~np.isnan(points[:, place]), place, None] for points in (good, bad))
            good_density, bad_density = (self._parzen([axis], points) for points in active)
            drawn = good_density.draw(rng, self.n_candidates)[:, 0]
            low, high = np.array([axis.cell(coordinate) for coordinate in drawn]).T[..., None]
            gain = good_density.log_density(low, high) - bad_density.log_density(low, high)
            ranked[:, place] = drawn[np.argsort(-gain, kind="stable")]
        return (_decode(space, axes, row) for row in ranked)


def ranking(evidence: Evidence, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the trials from the best on, compared at ``epoch``, and the rows of those that have no rank.

    First those that have reached ``epoch``, by their best objective up to it; then those that have ended before it, the
    longest first, and by their best objective among equally long ones. Without a rank are the trials that run and have
    not got there, and those without a finite objective.
    """
    rows = np.arange(len(evidence.ids))
    length = np.minimum(evidence.epochs, epoch)
    best = np.array([evidence.best_until(row, epoch) for row in range(len(rows))])
    ranked = np.isfinite(best) & ~(evidence.running & (length < epoch))
    order = np.lexsort((best, -length))
    return order[ranked[order]], rows[~ranked]


def cells(space: Space, axes: Sequence[AbstractAxis], values: dict[str, Value]) -> np.ndarray:
    """Both ends of the cell of ``values`` on each axis, shape (d, 2), NaN where inactive."""
    ends = np.full((len(axes), 2), np.nan)
    for place, unit in enumerate(space.encode(values)):
        if not np.isnan(unit):
            ends[place] = axes[place].cell(axes[place].coordinates(np.array([unit]))[0])
    return ends


def _decode(space: Space, axes: Sequence[AbstractAxis], coordinates: np.ndarray) -> dict[str, Value]:
    units = [axis.unit(coordinate) for axis, coordinate in zip(axes, coordinates, strict=True)]
    return space.decode(np.array(units))
