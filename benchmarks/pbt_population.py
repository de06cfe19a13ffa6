"""Trains a population of plain numpy models under any scheduler, on one worker: what the PBT benchmarks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kt_ext.core.decision import Decision, Run, Value
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.core.search import Search
from kt_ext.core.space import Space
from kt_ext.searchers import RandomSearcher

#: ``train(state, values, rng)`` is the state after one more epoch and its loss; it leaves the given state as it is.
Train = Callable[[Any, Mapping[str, Value], np.random.Generator], tuple[Any, float]]


class Outcome(NamedTuple):
    """What a search came to.

    Attributes:
        best: the lowest of the members' last losses.
        search: the search itself, with its history and takeovers.
    """

    best: float
    search: Search


def train_population(
    scheduler: AbstractScheduler,
    space: Space,
    seed: int,
    start: Callable[[np.random.Generator, int], Any],
    train: Train,
    initial_values: Sequence[Mapping[str, Value]] | None = None,
) -> Outcome:
    """Runs the search to its end.

    Args:
        scheduler: a fresh scheduler.
        space: the hyperparameters.
        seed: of the search, and of each epoch of each trial.
        start: a random generator and the trial to its first state.
        train: one epoch.
        initial_values: those of each trial; None: drawn from the space.
    """
    search = Search(scheduler, _Given(initial_values or ()), seed)
    states: dict[tuple[int, int], Any] = {}
    last: dict[int, float] = {}
    while True:
        decision: Decision = search.ask(space)[1]
        if not isinstance(decision, Run):
            return Outcome(min(last.values()), search)
        trial = decision.trial_id
        if decision.restore is None:
            states[trial, 0] = start(np.random.default_rng([seed, trial, 0]), trial)
        while isinstance(decision, Run):
            done = search.history.epochs_of(trial)
            restore = search.restore(trial)
            state = states[(restore.trial_id, restore.epoch) if restore else (trial, 0)]
            rng = np.random.default_rng([seed, trial, done + 1])
            states[trial, done + 1], last[trial] = train(state, search.history.values(trial), rng)
            decision = search.tell(trial, done + 1, last[trial], space)[1]


class _Given(RandomSearcher):
    """Proposes given values first."""

    def __init__(self, values: Sequence[Mapping[str, Value]]) -> None:
        super().__init__()
        self._values = values

    def propose(self, history, space, rng):
        return self._values[len(history)] if len(history) < len(self._values) else super().propose(history, space, rng)
