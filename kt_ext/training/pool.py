"""Traced models that trials of equal architecture share.

Tracing the step of a small model takes longer than an epoch of training it; building it does not. So each trial builds
its model, and trains another that was traced before, given the same weights, seeds and hyperparameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from kt_ext.training.live import LiveValues, install, places, values
from kt_ext.training.signature import signature
from kt_ext.training.state import get_state, set_state, updating_optimizer

__all__ = ["ModelPool", "PooledModel", "signature"]


@dataclass(frozen=True)
class PooledModel:
    """The model that a trial trains.

    Attributes:
        model: the model as built, or one of equal architecture with the same state.
        live: its live values; None if the model is not shared.
        reused: whether ``model`` is another than the one that was built.
        text: what to ``take`` the model by, later; None if it is not shared.
    """

    model: keras.Model
    live: LiveValues | None
    reused: bool
    text: str | None = None


@dataclass(eq=False)
class _Entry:
    text: str
    model: keras.Model
    live: LiveValues
    nbytes: int
    optimizer_state: dict[str, np.ndarray]  # as it was before the first step
    first_values: dict[str, float]
    in_use: bool = True
    settings: list[_Setting] = field(init=False)
    made_by_compile: tuple[Any, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.settings = _settings(self.model)
        self.made_by_compile = _made_by_compile(self.model)

    def unchanged(self) -> bool:
        """Whether it is still the model that was put in: a callback may have frozen a layer, or compiled it anew."""
        if not (self.live.intact and _same_objects(_made_by_compile(self.model), self.made_by_compile)):
            return False
        return all(_same(getattr(owner, name, None), value) for owner, name, value in self.settings)


class ModelPool:
    """Keeps traced models for reuse, the most recently used ones, each in use by one trial at a time.

    Args:
        max_models: how many models to keep, those in use not counted; 0 shares nothing.
        max_bytes: what the variables of the models that are kept may take.

    Raises:
        ValueError: a bound is negative.
    """

    def __init__(self, max_models: int = 8, max_bytes: int = 512 * 2**20) -> None:
        for name, bound in (("max_models", max_models), ("max_bytes", max_bytes)):
            if bound < 0:
                raise ValueError(f"{name}={bound}: must be >= 0; 0 shares nothing")
        self.max_models = max_models
        self.max_bytes = max_bytes
        self._entries: list[_Entry] = []  # least recently used first

    def acquire(self, fresh: keras.Model) -> PooledModel:
        """A model that trains exactly as ``fresh`` would, traced already if one of its architecture is free.

        Args:
            fresh: a compiled model as the user's ``build`` returned it; use only the model returned from here on.
                Metrics of a reused model keep the names that they had first: ``auc`` where ``fresh`` says ``auc_3``.

        On JAX the first ``fit`` of a model looks at a batch to build its metrics and, if it shuffles an array, draws
        once more from numpy's global generator than later ones do. So the order of the batches, if left to ``fit``, is
        another on a reused model, though equally random.

        Returns:
            ``fresh`` itself, without live values, if it cannot be shared (see ``signature``).
        """
        text = signature(fresh) if self.max_models > 0 and _in_range(fresh) else None
        if text is None:
            return PooledModel(fresh, None, reused=False)
        entry = self._take(text)
        if entry is None:
            entry = _new_entry(text, fresh)
            self._entries.append(entry)
            return PooledModel(fresh, entry.live, reused=False, text=text)
        _start_as(entry, fresh)
        return PooledModel(entry.model, entry.live, reused=True, text=text)

    def take(self, text: str, live_values: Mapping[str, float]) -> PooledModel | None:
        """A kept model for a trial that goes on, without building it; None if it is not here or is in use.

        It has the live values given; its variables are another trial's, to be replaced by ``set_state``.
        """
        entry = self._take(text)
        if entry is None:
            return None
        entry.live.set(live_values)
        entry.model.stop_training = False
        return PooledModel(entry.model, entry.live, reused=True, text=text)

    def __len__(self) -> int:
        """How many models are kept or in use."""
        return len(self._entries)

    def release(self, pooled: PooledModel) -> None:
        """The trial is over and its model free for the next. Does nothing for a model that is not shared.

        A model that is never released is never handed out again: keep it so, if a user is to have it.
        """
        for entry in self._entries:
            if entry.model is pooled.model:
                entry.in_use = False
        self._evict()

    def _take(self, text: str) -> _Entry | None:
        for entry in reversed(self._entries):
            if entry.text == text and not entry.in_use:
                self._entries.remove(entry)
                if entry.unchanged():
                    entry.in_use = True
                    self._entries.append(entry)
                    return entry
        return None

    def _evict(self) -> None:
        kept = nbytes = 0
        for entry in list(reversed(self._entries)):
            if not entry.in_use:
                kept, nbytes = kept + 1, nbytes + entry.nbytes
                if kept > self.max_models or nbytes > self.max_bytes:
                    self._entries.remove(entry)


def _in_range(model: keras.Model) -> bool:
    """Whether live values could take the model's own: an infinite learning rate is trained, and diverges, alone."""
    return all(place.slot.range.holds(place.value()) for place in places(model).values())


def _new_entry(text: str, fresh: keras.Model) -> _Entry:
    live = install(fresh)
    state = get_state(fresh)
    return _Entry(
        text=text,
        model=fresh,
        live=live,
        nbytes=sum(array.nbytes for array in state.values()),
        optimizer_state={name: _compact(array) for name, array in state.items() if name.startswith("optimizer/")},
        first_values=live.get(),
    )


def _start_as(entry: _Entry, fresh: keras.Model) -> None:
    """Bring the model where ``fresh`` is: before the first step."""
    set_state(entry.model, {**get_state(fresh, optimizer=False), **entry.optimizer_state})
    entry.live.set(values(fresh))
    entry.model.reset_metrics()
    entry.model.stop_training = False


def _compact(array: np.ndarray) -> np.ndarray:
    """The array as a view of one number if it is constant, as the slots of a new optimizer are."""
    if array.size > 1 and (array == array.flat[0]).all():
        return np.broadcast_to(array.flat[0], array.shape)
    return array


#: An object, the name of an attribute, and what it held.
_Setting = tuple[Any, str, Any]


def _settings(model: keras.Model) -> list[_Setting]:
    """All attributes that the configurations of model, layers and optimizer name: to compare these takes no time."""
    owners = [*model._flatten_layers(), model.optimizer, updating_optimizer(model)]
    settings = [(model, name, getattr(model, name)) for name in ("run_eagerly", "jit_compile", "steps_per_execution")]
    for owner in owners:
        names = {"trainable", *owner.get_config()}
        settings += [(owner, name, getattr(owner, name)) for name in sorted(names) if hasattr(owner, name)]
    # A property may make its answer anew each time, as ``layers`` does.
    return [setting for setting in settings if _same(getattr(setting[0], setting[1]), setting[2])]


def _same(one: Any, other: Any) -> bool:
    by_value = isinstance(one, (bool, int, float, str, tuple)) and type(one) is type(other)
    return one is other or (by_value and one == other)


def _made_by_compile(model: keras.Model) -> tuple[Any, ...]:
    """What ``compile`` makes anew: the optimizer that it was given, and the tracker of the loss, the first metric."""
    return (model.optimizer, model.loss, model.metrics[0])


def _same_objects(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return all(a is b for a, b in zip(one, other, strict=True))
