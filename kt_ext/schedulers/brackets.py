"""Which of Hyperband's brackets a new trial joins: by the table's shares, or by what the rungs proved to be worth."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from kt_ext.schedulers.rungs import bracket_sizes, checked_epochs, geometric_epochs

# Hyper-Tune's own code: weights are learned from 8 trials on, and agreement counts with its third power.
ENOUGH_TRIALS = 8
AGREEMENT_POWER = 3
# Agreement is measured on this many trials at most, the latest: 4,950 pairs leave no doubt and bound the cost.
LATEST_TRIALS = 100


def hyperband_table(max_epochs: int, min_epochs: int = 1, factor: int = 3) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Synchronous Hyperband's rounds: for each bracket, the most aggressive first, (trials n_i, epochs r_i) by round.

    (81, 1, 3) -> (((81, 1), (27, 3), (9, 9), (3, 27), (1, 81)), ..., ((5, 81),)): Li et al. (2018), "Hyperband", JMLR
    18(185), Algorithm 1. Where ``max_epochs`` is no power of ``factor`` times ``min_epochs`` the last round is the
    odd one, so that every round has whole epochs.

    Raises:
        ValueError: an argument is out of range.
    """
    max_epochs, min_epochs, factor = checked_epochs(max_epochs, min_epochs, factor)
    epochs = geometric_epochs(min_epochs, max_epochs, factor)
    return tuple(
        tuple((size // factor**k, epoch) for k, epoch in enumerate(epochs[s:]))
        for s, size in enumerate(bracket_sizes(len(epochs), factor))
    )


def concordant_share(first: Sequence[float], second: Sequence[float]) -> float:
    """The share of pairs of trials that both sequences, of shape (n,), put in the same order: Kendall's C / (C + D).

    Pairs that tie in either say nothing and are left out; 1.0 if no pair is left.
    """
    above = np.triu_indices(len(first), k=1)
    signs = (np.sign(np.subtract.outer(values, values)[above]) for values in map(np.asarray, (first, second)))
    products = np.prod(list(signs), axis=0)
    concordant, discordant = int((products > 0).sum()), int((products < 0).sum())
    return concordant / (concordant + discordant) if concordant + discordant else 1.0


def learned_weights(sizes: Sequence[int], shares: Sequence[float]) -> tuple[float, ...]:
    """How the brackets share new trials: in proportion to ``sizes[s] * shares[s] ** 3``, adding up to ``sum(sizes)``.

    ``sizes``, what Hyperband affords in each bracket for the same epochs, are already the inverse of the brackets'
    cost; ``shares`` is the concordant share of each bracket's first rung with the highest rung that can be judged.
    Agreement that is perfect everywhere leaves the sizes as they are, and so does none anywhere. Li et al. (2022),
    "Hyper-Tune", VLDB 15(6), section 4.1, and the exponent of its code.
    """
    weights = [size * share**AGREEMENT_POWER for size, share in zip(sizes, shares, strict=True)]
    if not any(weights):
        return tuple(float(size) for size in sizes)
    scale = sum(sizes) / sum(weights)
    return tuple(weight * scale for weight in weights)


class LargestDeficit:
    """Deals new trials to brackets so that each has its share at every moment, to within one trial.

    Each bracket earns its weight with every trial, the one that has earned most gets it and pays the sum of all
    weights; in a tie the lower bracket. With ``sizes`` as weights each bracket has exactly its size after
    ``sum(sizes)`` trials, and again after as many more.
    """

    def __init__(self, brackets: int) -> None:
        self._earned: list[float] = [0] * brackets

    def choose(self, weights: Sequence[float]) -> int:
        """The bracket that the next trial joins."""
        self._earned = [earned + weight for earned, weight in zip(self._earned, weights, strict=True)]
        bracket = self._earned.index(max(self._earned))
        self._earned[bracket] -= sum(weights)
        return bracket

    def state(self) -> list[float]:
        """A JSON array."""
        return list(self._earned)

    def load_state(self, state: Sequence[float]) -> None:
        """Take over a ``state()``."""
        self._earned = list(state)


class RungAgreement:
    """How well the lower rungs foretell the order at a higher one, from trials that were seen at both.

    A trial counts at every rung that it came by, in whatever bracket: those that a bracket starts far up are not a
    selection of the best, as promoted trials are, and tell the most.
    """

    def __init__(self, rungs: int) -> None:
        self._passed: dict[int, list[float]] = {}  # trial_id -> its objectives at the first rungs
        self._latest: list[deque[list[float]]] = [deque(maxlen=LATEST_TRIALS) for _ in range(rungs)]  # by last rung
        self._judge = 0  # the highest rung that enough trials reached
        self._known: list[float] | None = None  # the shares of all rungs; None: to be counted again

    def record(self, trial_id: int, objective: float) -> None:
        """The trial is at its next rung, with a finite objective."""
        passed = [*self._passed.get(trial_id, ()), objective]
        self._passed[trial_id] = passed
        rung = len(passed) - 1
        self._latest[rung].append(passed)
        if rung >= self._judge and len(self._latest[rung]) >= ENOUGH_TRIALS:
            self._judge, self._known = rung, None

    def forget(self, trial_id: int) -> None:
        """The trial will come by no more rungs; what it has shown so far stays on record."""
        self._passed.pop(trial_id, None)

    def shares(self, brackets: int) -> list[float] | None:
        """The concordant share of each bracket's first rung with the highest rung that enough trials reached.

        That rung agrees with itself and those above it are taken to, so 1.0 there. None: only the lowest has enough.
        """
        if self._judge == 0:
            return None
        if self._known is None:
            by_rung = list(zip(*self._latest[self._judge], strict=True))
            self._known = [concordant_share(objectives, by_rung[-1]) for objectives in by_rung[:-1]]
            self._known += [1.0] * (len(self._latest) - self._judge)
        return self._known[:brackets]

    def state(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "passed": [[trial_id, list(objectives)] for trial_id, objectives in self._passed.items()],
            "latest": [[list(objectives) for objectives in latest] for latest in self._latest],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a ``state()``."""
        self._passed = {trial_id: list(objectives) for trial_id, objectives in state["passed"]}
        self._latest = [deque(map(list, latest), maxlen=LATEST_TRIALS) for latest in state["latest"]]
        enough = [rung for rung, latest in enumerate(self._latest) if len(latest) >= ENOUGH_TRIALS]
        self._judge, self._known = max(enough, default=0), None
