"""The model that a segment trains: built for a new trial, taken up again for one that was paused."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np

from kt_ext.training.callback import restore_model
from kt_ext.training.checkpoints import Checkpoint
from kt_ext.training.pool import ModelPool


@dataclass(frozen=True)
class _Left:
    """How a trial left the shared model that it trained."""

    text: str
    live_values: dict[str, float]


class TrialModels:
    """Hands out models to trials; those of equal architecture share one that is compiled and traced already.

    Args:
        share: False builds and traces every segment's model anew.
    """

    def __init__(self, share: bool) -> None:
        self._pool = ModelPool() if share else ModelPool(max_models=0)
        self._left: dict[tuple[str, int], _Left] = {}

    def __len__(self) -> int:
        """How many models are kept."""
        return len(self._pool)

    @contextlib.contextmanager
    def of(
        self, trial: tuple[str, int], build: Callable[[], keras.Model], seed: int, checkpoint: Checkpoint | None
    ) -> Iterator[keras.Model]:
        """The model of a trial's segment, in the state of its checkpoint, or new.

        Args:
            trial: trial id and number of the execution.
            build: makes the trial's compiled model; not called if the trial's last model is still here.
            seed: what initial weights and dropout are drawn from.
            checkpoint: where the trial was; None for its first segment.
        """
        left = self._left.pop(trial, None)
        pooled = self._pool.take(left.text, left.live_values) if left and checkpoint else None
        if pooled is None:
            with seeded(seed):
                pooled = self._pool.acquire(build())
        try:
            if checkpoint is not None:
                restore_model(pooled.model, checkpoint)
            yield pooled.model
            if pooled.text is not None and pooled.live is not None:
                self._left[trial] = _Left(pooled.text, pooled.live.get())
        finally:
            self._pool.release(pooled)


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
