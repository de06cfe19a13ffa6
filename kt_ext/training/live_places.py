"""Where the live hyperparameters of a model are: not always the attribute that a user would look for.

A step reads the factor of a regularizer in the object that a weight holds, the label smoothing of a loss in the
arguments that it keeps for its function, and the dropout of an LSTM in its cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from kt_ext.training.live_float import LiveFloat
from kt_ext.training.live_slots import CELLS, FINITE, LOSSES, REGULARIZERS, SLOTS_OF, Slot
from kt_ext.training.state import VARIABLE, updating_optimizer

_RECURRENT = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN, keras.layers.RNN)


@dataclass(frozen=True)
class Place:
    """Where a slot is in one model.

    Attributes:
        slot: the row of the table.
        owner: what the step reads it from: an object, or the dict of a loss's arguments.
        shown_by: the objects in whose ``get_config`` the value appears.
        mirror: an object with an attribute of the same name that no step reads, but a config shows; None if there is
            none.
        dtypes: of the tensors that the number meets.
    """

    slot: Slot
    owner: Any
    shown_by: tuple[Any, ...]
    mirror: Any = None
    dtypes: frozenset[str] = frozenset()

    @property
    def held(self) -> Any:
        """What the step reads: a number, a LiveFloat, or a variable (the learning rate, a user's own)."""
        if isinstance(self.owner, dict):
            return self.owner[self.slot.attribute]
        return getattr(self.owner, self.slot.attribute)

    def put(self, value: LiveFloat | float) -> None:
        """Let the step, when it is traced next, read this."""
        if isinstance(self.owner, dict):
            self.owner[self.slot.attribute] = value
        else:
            setattr(self.owner, self.slot.attribute, value)

    def reflect(self, value: float) -> None:
        """Show the value where a user looks for it, if that is elsewhere."""
        if self.mirror is not None:
            setattr(self.mirror, self.slot.attribute, value)

    def value(self) -> float:
        held = self.held
        if isinstance(held, VARIABLE):
            return float(held.numpy())
        return held.value if isinstance(held, LiveFloat) else float(held)

    def attributes(self) -> Iterator[tuple[int, str]]:
        """The id of an object or dict and the name in it, of all that differs with the value."""
        yield id(self.owner), self.slot.attribute
        if self.mirror is not None:
            yield id(self.mirror), self.slot.attribute


def places(model: keras.Model) -> dict[str, Place]:
    """The slots of a model by name: where they are, seen from the model.

    Names are such as ``optimizer.momentum``, ``layers.2.rate``, ``layers.2.kernel_regularizer.l2``,
    ``layers.1.cell.recurrent_dropout``, ``loss.label_smoothing`` (``loss.head.label_smoothing`` of a dict of losses),
    and ``layers.3.strength`` for a variable of a user's own layer, ``model.strength`` for one of a user's own model:
    any attribute without a leading underscore that is a scalar float ``keras.Variable`` that is not trained.

    Layers inside wrappers (Bidirectional, TimeDistributed) have none; nested models do. What occurs twice, as a
    regularizer that two layers share, has the first of its names.
    """
    live_float = backend_float()
    return {name: place for name, place in _candidates(model) if _is_live_or_can_be(place, model, live_float)}


def values(model: keras.Model) -> dict[str, float]:
    """The value of each slot, by name, whether live values are installed or not."""
    return {name: place.value() for name, place in places(model).items()}


def backend_float() -> type[LiveFloat] | None:
    """The backend's class; None for torch, whose step is not traced, and Flax NNX, which owns the state."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from kt_ext.training.live_tensorflow import TensorFlowLiveFloat

        return TensorFlowLiveFloat
    if backend == "jax" and not getattr(keras.config, "is_nnx_enabled", bool)():
        from kt_ext.training.live_jax import JaxLiveFloat

        return JaxLiveFloat
    return None


def _candidates(model: keras.Model) -> Iterator[tuple[str, Place]]:
    layers = list(_layers(model))
    optimizer = updating_optimizer(model)
    if optimizer is not None:
        dtypes = frozenset([layer.variable_dtype for _, layer in layers])
        yield from _of("optimizer", optimizer, (optimizer,), dtypes)
    seen: set[int] = set()
    yield from _user_variables("model", model)
    for name, layer in layers:
        yield from _of_layer(name, layer, (layer,), seen)
        if type(layer) in _RECURRENT and type(layer.cell) in CELLS:
            yield from _of_layer(f"{name}.cell", layer.cell, (layer.cell, layer), seen)
    for name, loss in _losses("loss", model.loss if model.compiled else None):
        if id(loss) not in seen:
            seen.add(id(loss))
            yield from _of(name, loss._fn_kwargs, (loss,), frozenset([loss.dtype]), kind=type(loss), mirror=loss)


def _of(
    name: str,
    owner: Any,
    shown_by: tuple[Any, ...],
    dtypes: frozenset[str],
    kind: type | None = None,
    mirror: Any = None,
) -> Iterator[tuple[str, Place]]:
    for slot in SLOTS_OF.get(kind or type(owner), ()):
        yield f"{name}.{slot.attribute}", Place(slot, owner, shown_by, mirror, dtypes)


def _of_layer(name: str, layer: keras.Layer, shown_by: tuple[Any, ...], seen: set[int]) -> Iterator[tuple[str, Place]]:
    yield from _of(name, layer, shown_by, frozenset([layer.compute_dtype]))
    for attribute, held in vars(layer).items():
        if type(held) in REGULARIZERS and id(held) not in seen and _is_applied(attribute, held, layer):
            seen.add(id(held))
            mirror = layer if type(layer) is keras.layers.ActivityRegularization else None
            dtypes = frozenset([layer.compute_dtype, layer.variable_dtype])
            yield from _of(f"{name}.{attribute}", held, (held,), dtypes, mirror=mirror)
    yield from _user_variables(name, layer)


def _is_applied(attribute: str, regularizer: Any, layer: keras.Layer) -> bool:
    """Whether the step asks this object: what was put into ``kernel_regularizer`` after the build is never read."""
    return attribute == "activity_regularizer" or any(one.regularizer is regularizer for one in layer.weights)


def _user_variables(name: str, layer: keras.Layer) -> Iterator[tuple[str, Place]]:
    if type(layer).__module__.startswith("keras."):
        return
    for attribute, held in vars(layer).items():
        if attribute.startswith("_") or not isinstance(held, VARIABLE):
            continue
        if not held.trainable and tuple(held.shape) == () and "float" in held.dtype:
            yield f"{name}.{attribute}", Place(Slot(attribute, (type(layer),), FINITE), layer, ())


def _losses(name: str, loss: Any) -> Iterator[tuple[str, Any]]:
    """The losses given to ``compile`` as objects; one given by name has no label smoothing."""
    if type(loss) in LOSSES:
        yield name, loss
    elif isinstance(loss, (list, tuple, dict)):
        for key, one in loss.items() if isinstance(loss, dict) else enumerate(loss):
            yield from _losses(f"{name}.{key}", one)


def _layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.Layer]]:
    seen: set[int] = set()
    for number, layer in enumerate(model.layers):
        name = f"{prefix}layers.{number}"
        inner: Iterable[tuple[str, keras.Layer]] = [(name, layer)]
        if isinstance(layer, keras.Model):
            inner = _layers(layer, f"{name}.")
        for one in inner:
            if id(one[1]) not in seen:  # a layer that is used twice has one rate
                seen.add(id(one[1]))
                yield one


def _is_live_or_can_be(place: Place, model: keras.Model, live_float: type[LiveFloat] | None) -> bool:
    held, slot = place.held, place.slot
    if isinstance(held, (LiveFloat, VARIABLE)):
        return True
    if live_float is None or not _is_number(held, slot):  # None, or a schedule's tensor
        return False
    value = float(held)
    allowed = live_float.dtypes if isinstance(slot.dtypes, str) else slot.dtypes
    return (
        slot.range.holds(value)
        and not (slot.zero_is_structural and value == 0)
        and (allowed is None or place.dtypes <= allowed)
        and live_float.fits(model, place.owner)
    )


def _is_number(held: Any, slot: Slot) -> bool:
    if isinstance(held, (int, float)):
        return not isinstance(held, bool)
    # L1 alone makes a tensor of its factor when it is made.
    return slot.attribute == "l1" and keras.ops.is_tensor(held) and tuple(held.shape) == ()
