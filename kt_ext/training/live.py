"""Hyperparameters of a compiled model that may change while it trains, without tracing its step again.

A value set on the public attribute (``layer.rate = 0.2``) is ignored by a step that has been traced. ``install`` puts
an object there, before the trace, that Keras takes for a float and whose value the step reads from a variable.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from kt_ext.training.live_float import LiveFloat
from kt_ext.training.state import VARIABLE, build_optimizer, strategy_scope, updating_optimizer


@dataclass(frozen=True)
class Slot:
    """A kind of hyperparameter that can be live: ``attribute`` of an instance of one of ``owners`` (exactly).

    ``valid`` holds for the values that it may take, and ``rule`` says so in words. If ``zero_is_structural``, Keras
    builds another step for 0 (no random generator), so an attribute that is 0 when the model is built is no slot.
    """

    attribute: str
    owners: tuple[type, ...]
    valid: Callable[[float], bool]
    rule: str
    zero_is_structural: bool = False


def _classes(module: Any, names: str) -> tuple[type, ...]:
    """Those of the named classes that this version of Keras has."""
    return tuple(getattr(module, name) for name in names.split() if hasattr(module, name))


#: Optimizers whose step is Keras's own and whose slots start as constants. Not Muon (a weight decay of its own for some
#: variables) and not ScheduleFreeAdamW (its slots start as the weights).
OPTIMIZERS = _classes(keras.optimizers, "SGD RMSprop Adam AdamW Adadelta Adagrad Adamax Adafactor Nadam Lion Lamb")

LIVE = (
    Slot("learning_rate", OPTIMIZERS, lambda v: 0 <= v < math.inf, "a finite number >= 0"),
    Slot("weight_decay", OPTIMIZERS, lambda v: 0 <= v < math.inf, "a finite number >= 0"),
    Slot(
        "rate",
        _classes(keras.layers, "Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D"),
        lambda v: 0 <= v < 1,
        "in [0, 1)",
        zero_is_structural=True,
    ),
    Slot(
        "stddev",
        _classes(keras.layers, "GaussianNoise"),
        lambda v: 0 <= v <= 1,
        "in [0, 1]",
        zero_is_structural=True,
    ),
)


@dataclass(frozen=True)
class Place:
    """Where a slot is in one model."""

    slot: Slot
    owner: Any

    @property
    def held(self) -> Any:
        """What the attribute holds: a number, a LiveFloat, or a variable (the learning rate)."""
        return getattr(self.owner, self.slot.attribute)

    def value(self) -> float:
        held = self.held
        if isinstance(held, VARIABLE):
            return float(held.numpy())
        return held.value if isinstance(held, LiveFloat) else float(held)


def places(model: keras.Model) -> dict[str, Place]:
    """The slots of a model by name: where they are, seen from the model, e.g. ``layers.2.rate``.

    Layers inside wrappers (Bidirectional, TimeDistributed) have none; nested models do.
    """
    found = {}
    for name, owner in (("optimizer", updating_optimizer(model)), *_layers(model)):
        for slot in LIVE:
            if type(owner) in slot.owners and _is_live_or_can_be(slot, owner):
                found[f"{name}.{slot.attribute}"] = Place(slot, owner)
    return found


def values(model: keras.Model) -> dict[str, float]:
    """The value of each slot, by name, whether live values are installed or not."""
    return {name: place.value() for name, place in places(model).items()}


def _layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.Layer]]:
    seen: set[int] = set()
    for number, layer in enumerate(model.layers):
        name = f"{prefix}layers.{number}"
        inner = _layers(layer, f"{name}.") if isinstance(layer, keras.Model) else iter([(name, layer)])
        for one in inner:
            if id(one[1]) not in seen:  # a layer that is used twice has one rate
                seen.add(id(one[1]))
                yield one


def _is_live_or_can_be(slot: Slot, owner: Any) -> bool:
    held = getattr(owner, slot.attribute)
    if isinstance(held, (LiveFloat, VARIABLE)):
        return True
    if isinstance(held, bool) or not isinstance(held, (int, float)):  # None, or a schedule's tensor
        return False
    live_float = _live_float()
    structural = slot.zero_is_structural and held == 0
    return slot.valid(held) and not structural and live_float is not None and live_float.fits(owner)


def install(model: keras.Model) -> LiveValues:
    """Put live values into all slots of a freshly compiled model; its step, traced later, will read them.

    The model trains, evaluates and saves as before. On JAX the optimizer has more variables than before: save the
    optimizer's state inside ``LiveValues.detached()``.

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
    live_float = _live_float()
    floats: dict[str, LiveFloat] = {}
    with strategy_scope(model):
        for name, place in found.items():
            if live_float is not None and not isinstance(place.held, VARIABLE):
                floats[name] = live_float(place.value())
    live = LiveValues(model, found, floats)
    live._attach()
    return live


def _live_float() -> Any:
    """The backend's class; None for torch, whose step is not traced, and Flax NNX, which owns the state."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from kt_ext.training.live_tensorflow import TensorFlowLiveFloat

        return TensorFlowLiveFloat
    if backend == "jax" and not getattr(keras.config, "is_nnx_enabled", bool)():
        from kt_ext.training.live_jax import JaxLiveFloat

        return JaxLiveFloat
    return None


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
            slot = self._places[name].slot
            if not slot.valid(value):
                raise ValueError(f"{name}={value!r}: must be {slot.rule}")
        for name, value in values.items():
            target = self._floats.get(name) or self._places[name].held
            target.assign(float(value))

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
        for name, live in self._floats.items():
            place = self._places[name]
            setattr(place.owner, place.slot.attribute, live)
            # so that a callback of the user that saves the model, attached as it is, writes numbers
            place.owner.get_config = functools.partial(_get_config, place.owner)
            live.track(place.owner)
        self._attached = True

    def _detach(self) -> None:
        for name, live in self._floats.items():
            place = self._places[name]
            live.untrack(place.owner)
            if place.held is live:
                setattr(place.owner, place.slot.attribute, live.value)
            vars(place.owner).pop("get_config", None)
        self._attached = False


def _get_config(owner: Any) -> dict[str, Any]:
    config = type(owner).get_config(owner)
    return {key: value.value if isinstance(value, LiveFloat) else value for key, value in config.items()}
