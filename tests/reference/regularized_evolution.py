"""Algorithm 1 of Real, Aggarwal, Huang and Le (2019), "Regularized Evolution for Image Classifier Architecture Search",
arXiv:1802.01548, line by line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple


class Model(NamedTuple):
    """``model.arch`` and ``model.accuracy``."""

    arch: Any
    accuracy: float


def regularized_evolution(
    cycles: int,
    population_size: int,
    sample_size: int,
    random_architecture: Callable[[int], Any],
    random_element: Callable[[int, deque[Model]], Model],
    mutate: Callable[[int, Any], Any],
    train_and_eval: Callable[[Any], float],
) -> list[Model]:
    """All models in the order in which they were trained.

    Args:
        cycles: C, how many models are trained in all.
        population_size: P.
        sample_size: S, how many candidates a parent is the best of.
        random_architecture, random_element, mutate: as in the paper, each told how many models there are so far.
        train_and_eval: the accuracy.
    """
    population: deque[Model] = deque()
    history: list[Model] = []
    while len(population) < population_size:
        arch = random_architecture(len(history))
        model = Model(arch, train_and_eval(arch))
        population.append(model)  # to the right
        history.append(model)
    while len(history) < cycles:
        sample: list[Model] = []
        while len(sample) < sample_size:
            candidate = random_element(len(history), population)  # the element stays in the population
            sample.append(candidate)
        parent = max(sample, key=lambda model: model.accuracy)
        arch = mutate(len(history), parent.arch)
        child = Model(arch, train_and_eval(arch))
        population.append(child)
        history.append(child)
        population.popleft()  # the oldest dies
    return history
