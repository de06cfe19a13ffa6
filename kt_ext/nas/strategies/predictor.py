"""Search guided by a predictor: an ensemble on the encoding says how good an architecture will be.

After White, Neiswanger, Savani (2021), "BANANAS", arXiv:1910.11858: an ensemble, independent Thompson sampling, and
mutations of the best among the candidates. In place of neural networks the members are ridge regressions on products of
features, each fitted with random weights of the trials (the Bayesian bootstrap, Rubin, 1981) to what a random function
of its own leaves (Osband, Aslanides, Cassirer, 2018, "Randomized Prior Functions", arXiv:1806.03335): without these all
members agree on what is far from the trials, and a search in five stayed in a local optimum of NAS-Bench-201.
"""

from __future__ import annotations

import numpy as np

from kt_ext.nas.records import Records, Scored
from kt_ext.nas.strategies.candidates import Candidates, most_promising, startup
from kt_ext.nas.strategies.lesson import content, lesson
from kt_ext.nas.strategy import AbstractStrategy, Proposal
from kt_ext.searchers.blas import one_thread

#: The penalty of the ridge regressions; chosen, as all else here, on NAS-Bench-201 and -Macro.
RIDGE = 0.1
#: The standard deviation of a member's random function, and of how many products of three it is the sum.
PRIOR, TERMS = 1.0, 16


class Predictor(AbstractStrategy):
    """Tries the candidate that is best by a draw from what the ensemble predicts of it.

    The ensemble is fitted anew when trials were reported since, which takes
    milliseconds.

    Args:
        n_models: size of the ensemble, at least 2.
        n_startup: how many trials that can be compared there must be before it is asked, at least 2; those before are
            random. None: a fifth of all, at most 20.
        seed: integer >= 0, of the ensemble's weights and of the candidates.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, n_models: int = 5, n_startup: int | None = None, seed: int = 0) -> None:
        for name, value in (("n_models", n_models), ("n_startup", n_startup)):
            if value is not None and value < 2:
                raise ValueError(f"{name}={value}: must be an integer >= 2; leave it out for the default")
        self.n_models = n_models
        self.n_startup = n_startup
        self.seed = seed
        self._candidates = Candidates(seed)
        self._fitted: tuple[object, Ensemble] | None = None

    def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
        """The most promising untried candidate; random at first."""
        scored = records.scored(startup(self.n_startup, records.max_trials))
        if not len(scored):
            return Proposal(records.space.random(rng))
        archs, features = self._candidates.given(records, scored)
        with one_thread():
            predicted = self._ensemble(records, scored).predict(features)
        drawn = predicted.mean(0) + predicted.std(0) * rng.standard_normal(len(archs))
        return most_promising(records, archs, -drawn, rng)

    def _ensemble(self, records: Records, scored: Scored) -> Ensemble:
        key = (records.identity, content(scored))
        if self._fitted is None or self._fitted[0] != key:
            rng = np.random.default_rng([self.seed, len(scored)])
            self._fitted = (key, Ensemble(*lesson(scored), self.n_models, rng))
        return self._fitted[1]


class Ensemble:
    """Ridge regressions on all products of up to three features, by their kernel, each with random weights of the rows.

    Each corrects a random function of its own where there are data: far from them members disagree.

    Args:
        features: of unit length, shape (n, n_features).
        targets: shape (n,).
        n_models: how many.
        rng: of the weights and the functions.
    """

    def __init__(self, features: np.ndarray, targets: np.ndarray, n_models: int, rng: np.random.Generator) -> None:
        self._features = features
        self._projections = rng.standard_normal((n_models, 3, TERMS, 1 + features.shape[1]))
        kernel = _kernel(features, features)
        weights = rng.exponential(size=(n_models, len(targets)))
        left = targets - self._prior(features)
        self._means = (weights * left).sum(1) / weights.sum(1)
        self._coefficients = np.array(
            [
                np.linalg.solve(kernel + np.diag(RIDGE / weight), one - mean)
                for weight, one, mean in zip(weights, left, self._means, strict=True)
            ]
        )

    def predict(self, features: np.ndarray) -> np.ndarray:
        """What each member predicts for features of shape (m, n_features), shape (n_models, m)."""
        corrected = self._coefficients @ _kernel(self._features, features) + self._means[:, None]
        return self._prior(features) + corrected

    def _prior(self, features: np.ndarray) -> np.ndarray:
        """Each member's random function, of the kernel's covariance times ``PRIOR`` squared, shape (n_models, m)."""
        ones = np.column_stack([np.ones(len(features)), features]) / np.sqrt(2.0)
        terms = (self._projections @ ones.T).prod(axis=1)
        return PRIOR * terms.sum(axis=1) / np.sqrt(TERMS)


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cube of 1 + a b', scaled to be 1 for equal ones, shape (n, m)."""
    similarity = (1.0 + a @ b.T) / 2.0
    return similarity * similarity * similarity
