"""Hyperparameters of a compiled model that may change while it trains, without tracing its step again.

A value set on the public attribute (``layer.rate = 0.2``) is ignored by a step that has been traced. ``install`` puts
an object there, before the trace, that Keras takes for a float and whose value the step reads from a variable.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from kt_ext.training.live_float import LiveFloat
from kt_ext.training.live_places import Place, backend_float, places, values
from kt_ext.training.live_slots import LIVE, OPTIMIZERS, Slot
from kt_ext.training.state import VARIABLE, build_optimizer, strategy_scope

__all__ = ["LIVE", "OPTIMIZERS", "LiveValues", "Place", "Slot", "install", "places", "remake", "values"]

_log = logging.getLogger("kt_ext")


def install(model: keras.Model) -> LiveValues:
    """Put live values into all slots of a freshly compiled model; its step, traced later, will read them.

    The model trains, evaluates and saves as before. On JAX the optimizer has more variables than before, last in
    ``optimizer.variables`` and not in what Keras saves.

    Raises:
        ValueError: the model is not compiled or not built, has been trained already, or has live values.
    """
    if not model.compiled or model.optimizer is None:
        raise ValueError(f"model={model.name!r}: is not compiled with an optimizer; call model.compile() first")
    if model.train_function is not None:
        raise ValueError(f"model={model.name!r}: its step is made already; install before fit, or compile() again")
    found = places(model)
    if any(isinstance(place.held, LiveFloat) for place in found.values()):
        raise ValueError(f"model={model.name!r}: has live values already; detach() them first")
    build_optimizer(model)  # the slots first, so that detached() finds and leaves the live variables last
    live_float = backend_float()
    floats: dict[str, LiveFloat] = {}
    with strategy_scope(model):
        for name, place in found.items():
            if live_float is not None and not isinstance(place.held, VARIABLE):
                floats[name] = live_float(place.value(), place.slot.range.below)
    live = LiveValues(model, found, floats)
    live._attach()
    return live


class LiveValues:
    """The live values of one model; made by ``install``."""

    def __init__(self, model: keras.Model, found: dict[str, Place], floats: dict[str, LiveFloat]) -> None:
        self.model = model
        self._places = found
        self._floats = floats
        self._attached = False

    def get(self) -> dict[str, float]:
        """The values by slot, in a stable order; the learning rate as rounded by its variable."""
        return {name: place.value() for name, place in self._places.items()}

    def set(self, values: Mapping[str, float]) -> None:
        """Change some values; the very next step uses them, on every replica.

        Raises:
            ValueError: a slot is unknown or its value out of range, or the values are detached; nothing is changed.
        """
        if not self._attached:
            raise ValueError("values: the live values are detached and no step reads them; install() them again")
        for name, value in values.items():
            if name not in self._places:
                raise ValueError(f"values: {name!r} is no live value of this model; they are {list(self._places)}")
            values_range = self._places[name].slot.range
            if not values_range.holds(value):
                raise ValueError(f"{name}={value!r}: must be {values_range.rule}")
        for name, value in values.items():
            live = self._floats.get(name)
            if live is None:
                self._places[name].held.assign(float(value))
            elif live.value != value:
                live.assign(float(value))
                self._places[name].reflect(float(value))

    @property
    def intact(self) -> bool:
        """Whether the attributes still hold the live values: a user's callback may have put something else there."""
        return self._attached and all(self._places[name].held is live for name, live in self._floats.items())

    def detach(self) -> None:
        """Put plain floats back for good, e.g. before a user gets the model; the next ``fit`` traces it anew."""
        if self._attached:
            self._detach()
        # Made functions would still read the variables. Keras makes them again when they are None.
        self.model.train_function = self.model.test_function = self.model.predict_function = None

    @contextlib.contextmanager
    def detached(self) -> Iterator[None]:
        """Plain floats and no extra variables for the time of a ``with`` block: to save the model, not to train it."""
        self._detach()
        try:
            yield
        finally:
            self._attach()

    def _attach(self) -> None:
        shown: dict[int, tuple[Any, list[tuple[Place, LiveFloat]]]] = {}
        for name, live in self._floats.items():
            place = self._places[name]
            place.put(live)
            live.track(self.model, place.owner)
            for one in place.shown_by:
                shown.setdefault(id(one), (one, []))[1].append((place, live))
        for one, lives in shown.values():
            # so that a callback of the user that saves the model, attached as it is, writes numbers
            one.get_config = functools.partial(_get_config, one, lives)
            if isinstance(one, keras.optimizers.Optimizer):
                for method in _OWN_VARIABLES:
                    setattr(one, method, functools.partial(_on_own_variables, method, self.model, one, lives))
        self._attached = True

    def _detach(self) -> None:
        for name, live in self._floats.items():
            place = self._places[name]
            live.untrack(self.model, place.owner)
            if place.held is live:
                place.put(live.value)
            for one in place.shown_by:
                for method in ("get_config", *_OWN_VARIABLES):
                    vars(one).pop(method, None)
        self._attached = False


def _get_config(one: Any, lives: list[tuple[Place, LiveFloat]]) -> dict[str, Any]:
    held = [(place, live) for place, live in lives if place.held is live]
    for place, live in held:
        place.put(live.value)
    try:
        return type(one).get_config(one)
    finally:
        for place, live in held:
            place.put(live)


_OWN_VARIABLES = ("save_own_variables", "load_own_variables")


def _on_own_variables(
    method: str,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    lives: list[tuple[Place, LiveFloat]],
    store: Any,
) -> None:
    """Save or load the optimizer as one without live values: on JAX they are variables of its own."""
    for _, live in lives:
        live.untrack(model, optimizer)
    try:
        getattr(type(optimizer), method)(optimizer, store)
    finally:
        for _, live in lives:
            live.track(model, optimizer)


def remake(model: keras.Model, changed: str) -> None:
    """Have the training step made and traced again, so that it reads attributes that are not live; works inside fit.

    For what cannot be a slot but is read while tracing, e.g. ``optimizer.rho`` of a user's own class. A structural
    change (momentum, dropout or clipping from none to some) needs a new model instead. The log says what it cost.

    Args:
        model: a compiled model; nothing happens if its step is not made yet, as the first trace reads all attributes.
        changed: what was changed, for the log.
    """
    # The others are made again at their next use; fit itself looks for the training step only once.
    model.test_function = model.predict_function = None
    if model.train_function is None:
        return
    model.make_train_function(force=True)
    made = model.train_function
    _log.info("%s changed, which is not live: the step of %s is traced again", changed, model.name)

    def first(*args: Any) -> Any:
        started = time.perf_counter()
        result = made(*args)
        _log.info("the first step of %s after that took %.2f s", model.name, time.perf_counter() - started)
        if model.train_function is first:
            model.train_function = made
        return result

    model.train_function = first
