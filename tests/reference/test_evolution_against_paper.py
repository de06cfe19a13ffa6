"""With the paper's settings the strategy tries what the paper's algorithm tries, trial by trial, on the same draws."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

import numpy as np
import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.space import Space
from kt_ext.nas.searcher import ArchitectureSearcher
from kt_ext.nas.space import Architecture
from kt_ext.nas.strategies.evolution import Evolution
from nas.strategy_table import Words
from reference.regularized_evolution import Model, regularized_evolution


class Draws:
    """The paper's random choices from one stream for each model, in the order in which the strategy draws."""

    def __init__(self, space: Words, sample_size: int, seed: int) -> None:
        self.space, self.sample_size = space, sample_size
        self.random = EventRandom(seed)
        self.places: list[int] = []

    def architecture(self, number: int) -> Architecture:
        return self.space.random(self.random.at(number))

    def element(self, number: int, population: deque[Model]) -> Model:
        if not self.places:
            self.rng = self.random.at(number)
            self.places = self.rng.integers(len(population), size=self.sample_size).tolist()
        return population[self.places.pop(0)]

    def mutate(self, number: int, arch: Architecture) -> Architecture:
        return self.space.mutate(arch, self.rng)


def accuracies(seed: int):
    """A random landscape in which few architectures are equally good."""
    weights = np.random.default_rng([seed, 5]).integers(0, 9, (5, 4))

    def accuracy(arch: Hashable) -> float:
        return float(sum(weights[place, "abcd".index(letter)] for place, letter in enumerate(str(arch))))

    return accuracy


@pytest.mark.parametrize("seed", range(100))
def test_the_same_models_in_the_same_order(seed: int) -> None:
    rng = np.random.default_rng([seed, 4])
    population = int(rng.integers(2, 15))
    tournament = int(rng.integers(1, population + 1))
    space, accuracy, trials = Words(), accuracies(seed), 60
    draws = Draws(space, tournament, seed)
    paper = regularized_evolution(
        trials, population, tournament, draws.architecture, draws.element, draws.mutate, accuracy
    )

    strategy = Evolution(population, tournament=tournament, crossover=0.0)
    searcher = ArchitectureSearcher(space, strategy, trials, repeats=True)
    history, random, tried = History(), EventRandom(seed), []
    for number in range(trials):
        values = searcher.propose(history, Space([]), random.at(number))
        arch = space.architecture(values)
        tried.append(arch)
        history.start(number, values)
        history.record(Observation(number, 1, -accuracy(arch)))
        history.end(number)
    assert [str(arch) for arch in tried] == [str(model.arch) for model in paper]
