"""Bayesian optimisation with a random forest (SMAC: Hutter, Hoos and Leyton-Brown, 2011)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Space
from kt_ext.searchers.acquisition import log_expected_improvement
from kt_ext.searchers.copula import normal_scores
from kt_ext.searchers.cube import Cube, first_untried
from kt_ext.searchers.evidence import Evidence
from kt_ext.searchers.local_search import climb
from kt_ext.searchers.quasi_random import QuasiRandomSearcher
from kt_ext.searchers.random import RandomSearcher

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesRegressor

# Stands for an inactive parameter: outside of the unit interval, so that one split tells it from the active ones.
INACTIVE = -1.0
# A curve is learned from at its first epoch, at each of so many times the epoch before, and at its last.
EPOCH_RATIO = 3
LEAST_STD = 1e-6


class ForestSearcher(AbstractSearcher):
    """A forest predicts the objective, and the candidate with the greatest expected improvement is proposed.

    * The model: randomised trees (thresholds are drawn, as SMAC draws them), each grown on a bootstrap sample. Mean and
      variance are the mixture's of the leaves (law of total variance: Hutter et al., 2014, "Algorithm runtime
      prediction", section 4.3). Unordered choices are one-hot, an inactive parameter is -1.
    * The objective is replaced by normal scores of its rank (a Gaussian copula), where SMAC takes the logarithm: the
      proposals are the same for any increasing transformation of the objective, and one terrible trial is just the
      worst. An infinite objective is the worst.
    * The epoch (its logarithm) is one more input: each trial is learned from at several epochs, and predictions are for
      the highest epoch that ``n_startup`` trials have reached. So a scheduler's short trials inform the long ones.
    * Running trials are taken to reach what is predicted for them (kriging believer), so that parallel workers get
      different proposals.
    * Candidates: local search (SMAC's one-exchange neighbourhoods) from the best trials and from the best of random
      configurations. Every so often, at random, a proposal is a random configuration.

    Args:
        n_startup: so many trials are quasi-random before the forest is asked; None: twice the number of parameters that
            have more than one value, at least 5.
        n_trees: trees in the forest.
        random_share: chance of a proposal to be random, in [0, 1].
        n_candidates: random configurations that are considered at each proposal.
        n_starts: of the trials, and of the random configurations, so many start a local search.
        n_steps: moves of a local search at most.
        seed: integer >= 0 of the quasi-random start.
    """

    def __init__(
        self,
        n_startup: int | None = None,
        n_trees: int = 30,
        random_share: float = 0.1,
        n_candidates: int = 500,
        n_starts: int = 5,
        n_steps: int = 6,
        seed: int = 0,
    ) -> None:
        if n_startup is not None and n_startup < 1:
            raise ValueError(f"n_startup={n_startup}: must be an integer >= 1; a model needs something to learn from")
        for name, value in (("n_trees", n_trees), ("n_candidates", n_candidates), ("n_starts", n_starts)):
            if value < 1:
                raise ValueError(f"{name}={value}: must be an integer >= 1; leave it out for the default")
        if n_steps < 0:
            raise ValueError(f"n_steps={n_steps}: must be an integer >= 0; 0 means no local search")
        if not 0 <= random_share <= 1:
            raise ValueError(f"random_share={random_share}: must be in [0, 1]; 0 to trust the model always")
        self.n_startup = n_startup
        self.n_trees = n_trees
        self.random_share = random_share
        self.n_candidates = n_candidates
        self.n_starts = n_starts
        self.n_steps = n_steps
        self._startup = QuasiRandomSearcher(seed=seed)
        self._random = RandomSearcher()
        self._evidence = Evidence()
        self._cube = Cube(Space([]))

    def propose(self, history: History, space: Space, rng: np.random.Generator) -> dict[str, Value]:
        """Untried values. Raises SpaceExhausted when a finite space has none left."""
        if self._cube.space is not space and self._cube.space != space:
            self._cube = Cube(space)
        cube, evidence = self._cube, self._evidence.follow(history, space)
        reported = np.flatnonzero(evidence.epochs > 0)
        n_free = int(cube.free.sum())
        n_startup = max(5, 2 * n_free) if self.n_startup is None else self.n_startup
        if len(reported) < n_startup or n_free == 0:
            return self._startup.propose(history, space, rng)
        if rng.random() < self.random_share:
            return self._random.propose(history, space, rng)
        values = first_untried(self._candidates(evidence, reported, n_startup, rng), space, history)
        return values if values is not None else self._random.propose(history, space, rng)

    def _candidates(
        self, evidence: Evidence, reported: np.ndarray, n_startup: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Configurations, the one with the greatest expected improvement first, shape (n, n_parameters)."""
        cube = self._cube
        # Further than this too few have come: all proposals would crowd around the first that did.
        final = evidence.highest(n_startup)
        rows, epochs, objectives = _examples(evidence, reported)
        inputs, scores = self._inputs(evidence.units[rows], epochs), normal_scores(objectives)
        model = _Forest(inputs, scores, self.n_trees, rng)

        going_on = np.flatnonzero(evidence.running & (evidence.epochs < final))
        if len(going_on):
            believed = self._inputs(evidence.units[going_on], final)
            inputs = np.concatenate([inputs, believed])
            scores = np.concatenate([scores, model.predict(believed)[0]])
            model = _Forest(inputs, scores, self.n_trees, rng)

        # Not the least score that was seen: a forest's mean hardly ever gets below that.
        predicted = model.predict(self._inputs(evidence.units, final))[0]
        best = float(predicted.min())

        def improvement(units: np.ndarray) -> np.ndarray:
            mean, std = model.predict(self._inputs(units, final))
            return log_expected_improvement(mean, std, best)

        random = cube.sample(self.n_candidates, rng)
        promising = random[np.argsort(-improvement(random), kind="stable")[: self.n_starts]]
        incumbents = cube.settle(evidence.units[np.argsort(predicted, kind="stable")[: self.n_starts]], rng)
        return climb(np.concatenate([incumbents, promising]), improvement, cube, rng, self.n_steps)[0]

    def _inputs(self, units: np.ndarray, epochs: np.ndarray | int) -> np.ndarray:
        """What trees split on, shape (n, n_inputs)."""
        columns = [np.broadcast_to(np.log(epochs), len(units))]
        for place, levels in enumerate(self._cube.levels):
            if not self._cube.free[place]:
                continue  # whether it is active can be told from its parents
            column = units[:, place]
            if levels is not None and len(levels) > 2 and self._cube.unordered[place]:
                columns += [np.where(np.isnan(column), INACTIVE, column == level) for level in levels]
            else:
                columns.append(np.where(np.isnan(column), INACTIVE, column))
        return np.column_stack(columns).astype(np.float32)


def _examples(evidence: Evidence, reported: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, epoch and best objective up to it, each of shape (n,)."""
    examples = []
    for row in reported.tolist():
        last, epoch = int(evidence.epochs[row]), 1
        while epoch < last:
            examples.append((row, epoch, evidence.best_until(row, epoch)))
            epoch *= EPOCH_RATIO
        examples.append((row, last, evidence.best_until(row, last)))
    rows, epochs, objectives = zip(*examples, strict=True)
    return np.array(rows), np.array(epochs), np.array(objectives)


class _Forest:
    """Randomised regression trees with their mean and standard deviation.

    Args:
        inputs: shape (n, n_inputs), float32.
        scores: shape (n,).
        n_trees: how many.
        rng: the source of randomness.
    """

    def __init__(self, inputs: np.ndarray, scores: np.ndarray, n_trees: int, rng: np.random.Generator) -> None:
        self._trees = [tree.tree_ for tree in _grow(inputs, scores, n_trees, rng).estimators_]

    def predict(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, both of shape (n,), of the mixture of the leaves that ``inputs`` fall in."""
        means, variances = np.empty((2, len(self._trees), len(inputs)))
        for number, tree in enumerate(self._trees):
            leaves = tree.apply(inputs)
            means[number], variances[number] = tree.value[leaves, 0, 0], tree.impurity[leaves]
        return mixture(means, variances)


def mixture(means: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of a mixture of equal parts, both of shape (n,), from arrays of (n_parts, n).

    The variance is the mean of the variances and the variance of the means.
    """
    variance = variances.mean(axis=0) + means.var(axis=0)
    return means.mean(axis=0), np.sqrt(np.maximum(variance, LEAST_STD**2))


def _grow(inputs: np.ndarray, scores: np.ndarray, n_trees: int, rng: np.random.Generator) -> ExtraTreesRegressor:
    # Imported late: it takes two seconds, and other searchers do without.
    from sklearn.ensemble import ExtraTreesRegressor

    forest = ExtraTreesRegressor(n_trees, bootstrap=True, min_samples_leaf=1, random_state=int(rng.integers(2**31)))
    return forest.fit(inputs, scores)
