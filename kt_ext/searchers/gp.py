"""Bayesian optimisation with a Gaussian process over values and epochs.

Snoek, Larochelle, Adams (2012), "Practical Bayesian Optimization of Machine Learning Algorithms", arXiv:1206.2944, with
the epoch as one more input (Swersky, Snoek, Adams, 2013, "Multi-Task Bayesian Optimization") and the logarithm of the
expected improvement (Ament et al., 2023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Space
from kt_ext.searchers.acquisition import log_expected_improvement
from kt_ext.searchers.blas import one_thread
from kt_ext.searchers.cube import Cube, first_untried
from kt_ext.searchers.evidence import Evidence
from kt_ext.searchers.features import Features
from kt_ext.searchers.fidelity_rows import epochs_after, rows_of, standardised
from kt_ext.searchers.quasi_random import QuasiRandomSearcher
from kt_ext.searchers.untried import Untried

if TYPE_CHECKING:
    from kt_ext.searchers.gaussian_process import Kernel, Posterior

#: The kernel is fitted anew whenever there are so many times more observations.
REFIT = 1.3
#: Objectives further above the median than so many times its distance from the lower quartile are cut off.
CLIP = 2.0
#: Of the candidates, the best so many are refined, by so many draws each, with these deviations in turn.
REFINED, DRAWS, DEVIATIONS = 8, 20, (0.1, 0.03, 0.01)
#: Epochs are seen on a logarithmic scale; 64-fold is as far as one side of the unit cube.
DOUBLINGS = 6.0


class GPSearcher(AbstractSearcher):
    """Proposes the values from which a Gaussian process expects the largest improvement at the highest epoch reached.

    The process has a Matern 5/2 kernel with a length scale for each parameter (on its own scale: a learning rate is
    seen as its logarithm) and one for the logarithm of the epoch. Each trial is one observation, its best objective so
    far at its last epoch: a trial that was stopped early teaches, too. The hyperparameters of the kernel are those of
    the highest posterior density, or ``kernel_samples`` draws from it by slice sampling, over which the expected
    improvement is averaged, as Spearmint does.

    The improvement is over the best mean of the configurations tried, not over the best observation, which noise
    flatters. For trials that run or have not reported, their own prediction is taken as observed ("kriging believer",
    Ginsbourger et al., 2010), so that many workers are sent to different places.

    Args:
        n_startup: how many trials with a report there must be; before, values come from a Sobol sequence.
        seed: integer >= 0 of that sequence.
        kernel_samples: 0, or how many draws of the kernel's hyperparameters are averaged over.
        n_candidates: how many random configurations are looked at for one proposal.
        max_rows: how many trials the process learns from at most.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        n_startup: int = 10,
        seed: int = 0,
        kernel_samples: int = 0,
        n_candidates: int = 200,
        max_rows: int = 300,
    ) -> None:
        for name, value, least in (
            ("n_startup", n_startup, 2),
            ("kernel_samples", kernel_samples, 0),
            ("n_candidates", n_candidates, 1),
            ("max_rows", max_rows, 10),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name}={value!r}: must be an integer >= {least}; leave it out for the default")
        self.n_startup = n_startup
        self.kernel_samples = kernel_samples
        self.n_candidates = n_candidates
        self.max_rows = max_rows
        self._startup = QuasiRandomSearcher(seed=seed)
        self._untried = Untried()
        self._evidence = Evidence()
        self._key: tuple[object, Space] | None = None
        self._kernels: tuple[tuple[int, int], list[Kernel]] | None = None

    def propose(self, history: History, space: Space, rng: np.random.Generator) -> dict[str, Value]:
        """Untried values. Raises SpaceExhausted when a finite space has none left."""
        evidence = self._evidence.follow(history, space)
        if self._key != (history.identity, space):
            self._key, self._kernels = (history.identity, space), None
            self._cube = Cube(space)
            self._features = Features(self._cube)
        few = (evidence.epochs > 0).sum() < self.n_startup
        if few or not len(self._features.groups):
            return self._startup.propose(history, space, rng)
        with one_thread():
            values = first_untried(self._ranked(history, evidence, rng), space, history)
        if values is not None:
            return values
        return space.sample(rng) if space.size is None else self._untried.pick(history, space, rng)

    def _ranked(self, history: History, evidence: Evidence, rng: np.random.Generator) -> np.ndarray:
        """Candidates, the most promising first, shape (n, n_parameters)."""
        top = int(evidence.epochs.max())
        posteriors = self._posteriors(history, evidence, top)
        # Pending trials too: what they are believed to give is no improvement for the next.
        known = evidence.units[(evidence.epochs > 0) | evidence.running]
        known_inputs = self._inputs(known, top)
        means = [posterior.mean(known_inputs) for posterior in posteriors]

        def score(units: np.ndarray) -> np.ndarray:
            inputs = self._inputs(units, top)
            logs = [
                log_expected_improvement(*posterior.predict(inputs), mean.min())
                for posterior, mean in zip(posteriors, means, strict=True)
            ]
            return np.logaddexp.reduce(logs)

        best = known[np.argsort(np.mean(means, axis=0), kind="stable")[: REFINED + 2]]
        units = np.concatenate([self._cube.sample(self.n_candidates, rng), self._around(best, DEVIATIONS[0], rng)])
        scores = score(units)
        for deviation in DEVIATIONS:
            near = self._around(units[np.argsort(-scores, kind="stable")[:REFINED]], deviation, rng)
            units, scores = np.concatenate([units, near]), np.concatenate([scores, score(near)])
        return units[np.argsort(-scores, kind="stable")]

    def _posteriors(self, history: History, evidence: Evidence, top: int) -> list[Posterior]:
        # Imported late: scipy's linear algebra takes a second, and other searchers do without.
        from kt_ext.searchers.gaussian_process import Posterior

        rows = rows_of(evidence, evidence.epochs, self.max_rows)
        inputs, targets = self._inputs(rows.units, rows.epochs), standardised(rows.objectives, CLIP)
        waiting = self._inputs(evidence.units[evidence.running], top)
        posteriors = []
        for kernel in self._fitted(history, evidence):
            posterior = Posterior(kernel, self._groups, inputs, targets)
            posteriors.append(posterior.believing(waiting) if len(waiting) else posterior)
        return posteriors

    def _fitted(self, history: History, evidence: Evidence) -> list[Kernel]:
        """The kernels, fitted to the first so many observations: a function of the history, not of earlier calls."""
        from kt_ext.searchers.gaussian_process import fit, sample

        reports, size = len(history.observations()[0]), self.n_startup
        while int(size * REFIT) + 1 <= reports:
            size = int(size * REFIT) + 1
        key = (size, evidence.changes)
        if self._kernels is None or self._kernels[0] != key:
            rows = rows_of(evidence, epochs_after(history, evidence, size), self.max_rows)
            inputs, targets = self._inputs(rows.units, rows.epochs), standardised(rows.objectives, CLIP)
            best = fit(inputs, targets, self._groups)
            drawn = sample(best, inputs, targets, self._groups, self.kernel_samples) if self.kernel_samples else [best]
            self._kernels = (key, drawn)
        return self._kernels[1]

    @property
    def _groups(self) -> np.ndarray:
        return np.append(self._features.groups, self._features.groups.max() + 1)

    def _inputs(self, units: np.ndarray, epochs: np.ndarray | int) -> np.ndarray:
        """Inputs of the process: the configurations' and the logarithm of the epochs."""
        return np.column_stack([self._features(units), np.broadcast_to(np.log2(epochs) / DOUBLINGS, len(units))])

    def _around(self, units: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
        """Draws around each row, each in about a third of its parameters and in one at least."""
        rows = np.repeat(units, DRAWS, axis=0)
        changed = rng.random(rows.shape) < 0.3
        changed[np.arange(len(rows)), rng.integers(rows.shape[1], size=len(rows))] = True
        step = np.where(
            self._cube.unordered, rng.random(rows.shape) - rows, deviation * rng.standard_normal(rows.shape)
        )
        moved = np.abs(rows + np.where(changed, step, 0.0)) % 2.0
        return self._cube.settle(np.where(moved > 1.0, 2.0 - moved, moved), rng)
