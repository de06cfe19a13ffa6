"""Short searches without a scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Choice, Condition, Float, Parameter, Space

SMOOTH = Space([Parameter(f"x{i}", Float(0.0, 1.0)) for i in range(4)])
CHOICES = Space([Parameter(f"c{i}", Choice(tuple("abcde"))) for i in range(6)])
BRANCHES = Space(
    [
        Parameter("model", Choice(("a", "b", "c"))),
        *(Parameter(f"{m}{i}", Float(0.0, 1.0), (Condition("model", (m,)),)) for m in "abc" for i in range(2)),
    ]
)


def sphere(values: Mapping[str, Any]) -> float:
    return sum((1 + i) * (values[f"x{i}"] - 0.1 - 0.15 * i) ** 2 for i in range(4))


def mismatches(values: Mapping[str, Any]) -> float:
    return sum((1 + 0.1 * i) * (values[f"c{i}"] != "abcdea"[i]) for i in range(6))


def branch(values: Mapping[str, Any]) -> float:
    model = values["model"]
    return {"a": 0.3, "b": 0.0, "c": 0.5}[model] + sum((values[f"{model}{i}"] - 0.7) ** 2 for i in range(2))


FUNCTIONS: dict[str, tuple[Space, Callable[[Mapping[str, Any]], float]]] = {
    "smooth": (SMOOTH, sphere),
    "choices": (CHOICES, mismatches),
    "branches": (BRANCHES, branch),
}


def search(
    searcher: AbstractSearcher, space: Space, objective: Callable[[Any], float], trials: int, seed: int = 0
) -> History:
    """One trial of one epoch after the other."""
    history, random = History(), EventRandom(seed)
    for trial_id in range(trials):
        values = searcher.propose(history, space, random.at(trial_id))
        history.start(trial_id, values)
        history.record(Observation(trial_id, 1, objective(values)))
        history.end(trial_id)
    return history


def best(history: History) -> float:
    return min(history.best(trial_id)[0] for trial_id in history.ids)
