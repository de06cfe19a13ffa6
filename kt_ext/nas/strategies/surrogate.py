"""Bayesian optimisation: a Gaussian process on the encoding of architectures."""

from __future__ import annotations

import numpy as np

from kt_ext.nas.records import Records, Scored
from kt_ext.nas.strategies.candidates import Candidates, most_promising, startup
from kt_ext.nas.strategies.lesson import content, features_of, lesson
from kt_ext.nas.strategy import AbstractStrategy, Proposal
from kt_ext.searchers.acquisition import log_expected_improvement
from kt_ext.searchers.blas import one_thread
from kt_ext.searchers.gaussian_process import Kernel, Posterior, fit

#: The kernel is fitted anew whenever there are so many times more trials.
REFIT = 1.3


class Bayesian(AbstractStrategy):
    """Tries the candidate from which a Gaussian process expects the largest improvement.

    The process has a Matern 5/2 kernel with one length scale on the encodings at unit length, so that it has as few
    hyperparameters on two hundred genes as on six. It learns normal scores of the objectives' ranks: a failed trial is
    just the worst. For trials that run, its own prediction is taken as observed ("kriging believer", Ginsbourger et
    al., 2010), so that many workers are sent to different places.

    Args:
        n_startup: how many trials are random at first, at least 2; None: a fifth of all, at most 20.
        seed: integer >= 0, of the candidates.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, n_startup: int | None = None, seed: int = 0) -> None:
        if n_startup is not None and n_startup < 2:
            raise ValueError(f"n_startup={n_startup}: must be an integer >= 2; leave it out for the default")
        self.n_startup = n_startup
        self._candidates = Candidates(seed)
        self._kernel: tuple[object, Kernel] | None = None

    def choose(self, records: Records, rng: np.random.Generator) -> Proposal:
        """The most promising untried candidate; random at first."""
        scored = records.scored(startup(self.n_startup, records.max_trials))
        if not len(scored):
            return Proposal(records.space.random(rng))
        archs, features = self._candidates.given(records, scored)
        with one_thread():
            gain = self._gain(records, scored, features)
        return most_promising(records, archs, gain, rng)

    def _gain(self, records: Records, scored: Scored, features: np.ndarray) -> np.ndarray:
        """Logarithm of the expected improvement, shape (n,)."""
        known, targets = lesson(scored)
        posterior = Posterior(self._fitted(records, scored), np.zeros(known.shape[1], int), known, targets)
        compared = {one.number for one in scored.records}
        waiting = [one.arch for one in records.trials if one.number in records.running and one.number not in compared]
        if waiting:
            posterior = posterior.believing(features_of(waiting))
        # The best mean, not the best observation, which noise flatters.
        return log_expected_improvement(*posterior.predict(features), float(posterior.mean(known).min()))

    def _fitted(self, records: Records, scored: Scored) -> Kernel:
        """The kernel of the first so many trials: a function of the trials, not of earlier calls."""
        size = startup(self.n_startup, records.max_trials)
        while int(size * REFIT) + 1 <= len(scored):
            size = int(size * REFIT) + 1
        first = Scored(scored.records[:size], scored.objectives[:size])
        key = (records.identity, content(first))
        if self._kernel is None or self._kernel[0] != key:
            known, targets = lesson(first)
            self._kernel = (key, fit(known, targets, np.zeros(known.shape[1], int)))
        return self._kernel[1]
