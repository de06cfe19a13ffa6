"""Where a trial's state comes from: who took over from whom, and the schedule of values along the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kt_ext.core.decision import Value
from kt_ext.core.search import Search


@dataclass(frozen=True)
class Takeover:
    """One exploit: after ``epoch`` epochs ``member`` took over the state of ``donor`` and went on with new values.

    Attributes:
        epoch: epochs that both had done.
        member: the trial that took over.
        donor: the trial whose state it took.
        old_values: the member's values up to this epoch.
        donor_values: the donor's values up to this epoch.
        new_values: the member's values from then on.
        score: the member's objective at this epoch.
        donor_score: the donor's.
    """

    epoch: int
    member: int
    donor: int
    old_values: Mapping[str, Value]
    donor_values: Mapping[str, Value]
    new_values: Mapping[str, Value]
    score: float
    donor_score: float


@dataclass(frozen=True)
class Stretch:
    """Epochs that one member trained with the same values: those after ``begin``, up to and including ``end``.

    ``live`` holds the numbers of the model's live hyperparameters, by their place in the model, if they are known.
    """

    begin: int
    end: int
    member: int
    seed: int
    values: Mapping[str, Value]
    live: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Schedule:
    """The values that led to a trained state, epoch by epoch: the members' stretches from the first epoch on."""

    stretches: tuple[Stretch, ...]

    @property
    def epochs(self) -> int:
        """How many epochs the schedule is long."""
        return self.stretches[-1].end

    @property
    def seed(self) -> int:
        """What the initial weights were drawn from."""
        return self.stretches[0].seed

    @property
    def values(self) -> Mapping[str, Value]:
        """The values to build the model with: those of the first epoch."""
        return self.stretches[0].values

    def at(self, epoch: int) -> Mapping[str, Value]:
        """The values of epoch 1, 2, ... ``epochs``. Raises ValueError outside of the schedule."""
        for stretch in self.stretches:
            if stretch.begin < epoch <= stretch.end:
                return stretch.values
        raise ValueError(f"epoch={epoch!r}: must be from 1 to {self.epochs}, the epochs of the schedule")

    def to_json(self) -> str:
        """The schedule as a JSON string."""
        return json.dumps([vars(stretch) for stretch in self.stretches], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Schedule:
        """The inverse of ``to_json``."""
        return cls(tuple(Stretch(**stretch) for stretch in json.loads(text)))


def takeovers(search: Search) -> list[Takeover]:
    """All exploits, in order; objectives as the search minimises them."""
    history = search.history

    def score(trial_id: int, epoch: int) -> float:
        epochs, objectives = history.curve(trial_id)
        return float(objectives[epochs.searchsorted(epoch)])

    return [
        Takeover(
            epoch=ref.epoch,
            member=member,
            donor=ref.trial_id,
            old_values=history.values_at(member, ref.epoch),
            donor_values=history.values_at(ref.trial_id, ref.epoch),
            new_values=history.values_at(member, ref.epoch + 1),
            score=score(member, ref.epoch),
            donor_score=score(ref.trial_id, ref.epoch),
        )
        for member, ref in search.takeovers
    ]


def schedule(search: Search, trial_id: int, epoch: int, seeds: Mapping[int, int]) -> Schedule:
    """The stretches that led to the state of a trial after ``epoch`` epochs, >= 1.

    Args:
        search: the search.
        trial_id: whose state.
        epoch: after how many epochs.
        seeds: the seed of each trial.
    """
    sources = {(member, ref.epoch): ref.trial_id for member, ref in search.takeovers}
    backwards: list[Stretch] = []
    for done in range(epoch - 1, -1, -1):
        values = search.history.values_at(trial_id, done + 1)
        last = backwards[-1] if backwards else None
        if last is not None and last.member == trial_id and last.values == values:
            backwards[-1] = Stretch(done, last.end, trial_id, seeds[trial_id], dict(values))
        else:
            backwards.append(Stretch(done, done + 1, trial_id, seeds[trial_id], dict(values)))
        trial_id = sources.get((trial_id, done), trial_id)
    return Schedule(tuple(reversed(backwards)))


def describe(values: Mapping[str, Any]) -> str:
    """Values on one line."""
    return " ".join(f"{name}={v:.4g}" if isinstance(v, float) else f"{name}={v}" for name, v in values.items())
