"""Which hyperparameter a live value of the model is, learned from the models that were built.

Building a model to learn its numbers takes longer than a small epoch. When a trial goes on with other values, the
numbers are most often the values themselves: ``Dropout(hp.Float("dropout", ...))``. Every model built is evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from kt_ext.core.decision import Value

#: How many builds with different values must agree before one is left out.
MIN_BUILDS = 3


@dataclass(frozen=True)
class Built:
    """What a build gave: the architecture, as the text by which models are shared, and its live values by place."""

    text: str
    slots: Mapping[str, float]


class SlotMap:
    """Predicts what a build would give; one contradiction among the builds seen ends the predictions."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[dict[str, Value], Mapping[str, float]]]] = {}

    def learn(self, values: Mapping[str, Value], built: Built) -> None:
        """A model was built with these hyperparameters."""
        seen = self._seen.setdefault(built.text, [])
        if not any(before == values for before, _ in seen):
            seen.append((dict(values), built.slots))

    def predict(self, values: Mapping[str, Value]) -> Built | None:
        """What a build with ``values`` gives; None if that is not sure.

        It is sure if for one architecture alone at least three builds had these hyperparameters, if each of their slots
        was always the same or always equal to one hyperparameter, and if every value was seen in a build, or
        lies between those of at least three builds: ``build`` may do something else beyond.
        """
        predicted = [built for text in self._seen if (built := self._predict(values, text)) is not None]
        return predicted[0] if len(predicted) == 1 else None

    def _predict(self, values: Mapping[str, Value], text: str) -> Built | None:
        seen = [(before, slots) for before, slots in self._seen[text] if before.keys() == values.keys()]
        if len(seen) < MIN_BUILDS:
            return None
        for name, value in values.items():
            known = {before[name] for before, _ in seen}
            if value not in known and not (len(known) >= MIN_BUILDS and _between(value, known)):
                return None
        slots: dict[str, float] = {}
        for slot, first in seen[0][1].items():
            if all(numbers[slot] == first for _, numbers in seen):
                slots[slot] = first
                continue
            names = [name for name in values if all(_same(before[name], numbers[slot]) for before, numbers in seen)]
            if not names:
                return None
            slots[slot] = float(values[names[0]])
        return Built(text, slots)


def _between(value: Value, known: Collection[Value]) -> bool:
    numbers = [one for one in known if not isinstance(one, (str, bool))]
    return not isinstance(value, (str, bool)) and len(numbers) == len(known) and min(numbers) <= value <= max(numbers)


def _same(value: Value, number: float) -> bool:
    """A variable rounds what it holds to single precision."""
    return not isinstance(value, (str, bool)) and (value == number or float(np.float32(value)) == number)
