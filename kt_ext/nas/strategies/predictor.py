"""Search guided by a predictor: an ensemble on the encoding says how good an architecture will be.

After White, Neiswanger, Savani (2021), "BANANAS", arXiv:1910.11858: an ensemble, independent Thompson sampling, mutations
of the best as candidates. In place of neural networks the members are ridge regressions on products of features, each
fitted to the trials with random weights of their own (the Bayesian bootstrap, Rubin, 1981).
"""

from __future__ import annotations

import numpy as np

from kt_ext.nas.records import Records, Scored
from kt_ext.nas.strategies.candidates import Candidates, features_of
from kt_ext.nas.strategy import AbstractStrategy, Proposal
from kt_ext.searchers.blas import one_thread
from kt_ext.searchers.copula import normal_scores

#: The members see all products of up to so many features; RIDGE is the penalty, OFFSET what is added to a similarity.
DEGREE, RIDGE, OFFSET = 3, 0.1, 1.0
#: Of more trials the members learn from the best third and the latest of the others.
MOST_ROWS = 300


class Predictor(AbstractStrategy):
    """Tries the candidate that is best by a draw from what the ensemble predicts of it.

    The first ``n_startup`` trials are random. The ensemble learns normal scores of the objectives' ranks: their scale
    does not matter, and a failed trial is just the worst.

    Args:
        n_models: size of the ensemble, at least 2.
        n_startup: how many trials that can be compared there must be before it is asked, at least 2.
        seed: integer >= 0, of the ensemble's weights and the candidates.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, n_models: int = 5, n_startup: int = 20, seed: int = 0) -> None:
        for name, value in (("n_models", n_models), ("n_startup", n_startup)):
            if value < 2:
                raise ValueError(f"{name}={value}: must be an integer >= 2; leave it out for the default")
        self.n_models = n_models
        self.n_startup = n_startup
        self.seed = seed
        self._candidates = Candidates(seed)
        self._fitted: tuple[object, ...] | None = None

    def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
        """The most promising untried candidate; random at first."""
        scored = records.scored(self.n_startup)
        if not len(scored):
            return Proposal(records.space.random(rng))
        with one_thread():
            self._fit(scored, records)
            archs, features = self._candidates.given(records, scored)
            predicted = self._ensemble.predict(features)
        drawn = predicted.mean(0) + predicted.std(0) * rng.standard_normal(len(archs))
        for place in np.argsort(drawn, kind="stable"):
            if records.is_new(archs[place]):
                return Proposal(archs[place])
        return Proposal(records.space.random(rng))

    def _fit(self, scored: Scored, records: Records) -> None:
        """Anew only when other trials or objectives are compared."""
        key = (records.identity, tuple(one.number for one in scored.records), scored.objectives.tobytes())
        if self._fitted != key:
            self._fitted = key
            rows = _chosen(scored.objectives)
            features = np.array([features_of(scored.records[row].arch) for row in rows])
            targets = normal_scores(scored.objectives)[rows]
            rng = np.random.default_rng([self.seed, len(scored)])
            self._ensemble = Ensemble(features, targets, self.n_models, rng)


class Ensemble:
    """Ridge regressions on products of features, by their kernel; each with random weights of the rows.

    Args:
        features: of unit length, shape (n, n_features).
        targets: shape (n,).
        n_models: how many.
        rng: of the weights.
    """

    def __init__(self, features: np.ndarray, targets: np.ndarray, n_models: int, rng: np.random.Generator) -> None:
        self._features = features
        kernel = _kernel(features, features)
        self._means, coefficients = [], []
        for weights in rng.exponential(size=(n_models, len(targets))):
            mean = np.average(targets, weights=weights)
            coefficients.append(np.linalg.solve(kernel + np.diag(RIDGE / weights), targets - mean))
            self._means.append(mean)
        self._coefficients = np.array(coefficients)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """What each member predicts for features of shape (m, n_features), shape (n_models, m)."""
        return self._coefficients @ _kernel(self._features, features) + np.array(self._means)[:, None]


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(1 + similarity)^3, scaled to 1 for equal ones: ridge regression on all products of up to three features."""
    similarity = (a @ b.T + OFFSET) / (1 + OFFSET)
    return similarity * similarity * similarity


def _chosen(objectives: np.ndarray) -> np.ndarray:
    """Rows to learn from, ascending."""
    n = len(objectives)
    if n <= MOST_ROWS:
        return np.arange(n)
    best = np.argsort(objectives, kind="stable")[: MOST_ROWS // 3]
    others = np.setdiff1d(np.arange(n), best)
    return np.sort(np.concatenate([best, others[-(MOST_ROWS - len(best)) :]]))
