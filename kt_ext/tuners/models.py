"""The model that a segment trains: built for a new trial, taken up again for one that was paused."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from kt_ext.core.decision import Value
from kt_ext.schedules.attach import Attached, attach_as, attached
from kt_ext.training import live
from kt_ext.training.callback import restore_model
from kt_ext.training.checkpoints import Checkpoint
from kt_ext.training.pool import ModelPool, PooledModel
from kt_ext.training.signature import signature
from kt_ext.tuners.slot_map import Built, SlotMap


@dataclass(frozen=True)
class _Left:
    """How a trial left the shared model that it trained: what it takes to go on as it was."""

    built: Built
    values: Mapping[str, Value]
    schedule: Attached | None


class TrialModels:
    """Hands out models to trials; those of equal architecture share one that is compiled and traced already.

    Args:
        share: False builds and traces every segment's model anew.
    """

    def __init__(self, share: bool) -> None:
        self._pool = ModelPool() if share else ModelPool(max_models=0)
        self._left: dict[tuple[str, int], _Left] = {}
        self._slot_map = SlotMap()
        self._scheduled = False  # whether a build attached a schedule: what that depends on the slot map cannot tell

    def __len__(self) -> int:
        """How many models are kept."""
        return len(self._pool)

    def learn(self, values: Mapping[str, Value], fresh: keras.Model) -> None:
        """Take note of a model that was built with ``values`` for no trial: one that is to have these need not be."""
        self._scheduled |= attached(fresh) is not None
        in_range = all(place.slot.range.holds(place.value()) for place in live.places(fresh).values())
        text = signature(fresh) if self._pool.max_models > 0 and in_range else None
        if text is not None:
            self._slot_map.learn(values, Built(text, live.values(fresh)))

    @contextlib.contextmanager
    def of(
        self,
        trial: tuple[str, int],
        build: Callable[[], keras.Model],
        values: Mapping[str, Value],
        seed: int,
        checkpoint: Checkpoint | None,
        changed: bool = False,
    ) -> Iterator[keras.Model]:
        """The model of a trial's segment, in the state of its checkpoint, or new.

        Args:
            trial: trial id and number of the execution.
            build: makes the trial's compiled model; not called where a model that was traced before will do.
            values: the hyperparameters that ``build`` would build it with.
            seed: what initial weights and dropout are drawn from.
            checkpoint: the state to go on from; None for the first segment.
            changed: whether that state was trained with other values: those that are variables (the learning rate) are
                then set anew.
        """
        left = self._left.pop(trial, None)
        schedule = left.schedule if left is not None else None
        pooled, slots = self._taken(left, values, changed) if checkpoint else (None, {})
        if pooled is None:
            with seeded(seed):
                fresh = build()
            slots, schedule = live.values(fresh), attached(fresh)
            self._scheduled |= schedule is not None
            pooled = self._pool.acquire(fresh)
            if pooled.text is not None:
                self._slot_map.learn(values, Built(pooled.text, slots))
        attach_as(pooled.model, schedule)  # a model that is shared had another trial's
        try:
            if checkpoint is not None:
                restore_model(pooled.model, checkpoint)
                if changed:
                    _set_variables(pooled.model, slots)
            yield pooled.model
            if pooled.text is not None and pooled.live is not None:
                self._left[trial] = _Left(Built(pooled.text, pooled.live.get()), dict(values), schedule)
        finally:
            self._pool.release(pooled)

    def _taken(
        self, left: _Left | None, values: Mapping[str, Value], changed: bool
    ) -> tuple[PooledModel | None, Mapping[str, float]]:
        """A model that was traced before, with the numbers that ``values`` give it."""
        if left is None or (changed and self._scheduled):
            return None, {}
        built = self._slot_map.predict(values) if changed else left.built
        if built is None:
            return None, {}
        return self._pool.take(built.text, built.slots), built.slots


def _set_variables(model: keras.Model, slots: Mapping[str, float]) -> None:
    """Give the hyperparameters that are variables of the model, and so part of its state, the trial's own values."""
    for name, place in live.places(model).items():
        if isinstance(place.held, live.VARIABLE):
            place.held.assign(slots[name])


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Python's and numpy's random numbers follow ``seed`` inside, and go on as before afterwards.

    Keras draws the seeds of initializers and of dropout from Python's. TensorFlow's global seed is left alone: with it
    set, ``fit`` shuffles every epoch alike.
    """
    before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
