"""Which hyperparameters may change while a model trains: found by building the model with different values."""

from __future__ import annotations

import contextvars
import difflib
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import keras
import keras_tuner

from kt_ext.core.decision import Value
from kt_ext.core.space import Parameter, Space
from kt_ext.oracles.hyperparameters import to_space, with_values
from kt_ext.training.state import get_state, strategy_scope
from kt_ext.tuners.models import seeded

if TYPE_CHECKING:
    from kt_ext.tuners.base import SegmentTuner

T = TypeVar("T")
_log = logging.getLogger("kt_ext")
_marked: contextvars.ContextVar[set[str] | None] = contextvars.ContextVar("kt_ext_marked", default=None)

#: Of a Choice with many values so many are built.
MAX_CHOICES = 8


@dataclass(frozen=True)
class Mutable:
    """What was found.

    Attributes:
        structural: hyperparameters that shape the model's variables: their values come with a donor's state.
        mutable: those that alone may change, by the user's word; None: all but the structural ones.
    """

    structural: frozenset[str]
    mutable: frozenset[str] | None


def mutable(value: T) -> T:
    """Mark a hyperparameter as one that may change in mid-training; if any is marked, the others do not change.

    Used in ``build(hp)``, around the call that makes the value:

        rate = kt_ext.mutable(hp.Float("dropout", 0.0, 0.5))

    Returns:
        The value itself.

    Raises:
        TypeError: while the hyperparameters are being found: ``value`` does not come straight from ``hp``.
    """
    marked = _marked.get()
    if marked is not None:
        name = getattr(value, "hyperparameter_name", None)
        if name is None:
            raise TypeError(
                f"mutable({value!r}): must be given what hp.Float, hp.Int or hp.Choice returned, as it is; name a "
                "Boolean, or one that you compute with, in the tuner's argument mutable=[...]"
            )
        marked.add(name)
    return value


class _NamedFloat(float):
    hyperparameter_name: str


class _NamedInt(int):
    hyperparameter_name: str


class _NamedStr(str):
    hyperparameter_name: str


_NAMED: dict[type, type] = {float: _NamedFloat, int: _NamedInt, str: _NamedStr}


class _NamingHyperParameters(keras_tuner.HyperParameters):
    """Hands out values that know their name."""

    def _retrieve(self, hp: Any) -> Any:
        value = super()._retrieve(hp)
        if type(value) not in _NAMED:
            return value
        named = _NAMED[type(value)](value)
        named.hyperparameter_name = hp.name
        return named


def find_mutable(tuner: SegmentTuner, named: Collection[str] | None, x: Any = None, verbose: int = 1) -> Mutable:
    """Build the model with different values of each hyperparameter, and see whose change the shapes of its variables.

    Args:
        tuner: its hypermodel is built once, and once or more for each hyperparameter.
        named: those that the user named: only they are tried. None: all.
        x: the data that the search trains on; only looked at for a model that has no input shape of its own.
        verbose: 0 is silent.

    Raises:
        ValueError: a name that is given or marked is unknown, or is one of a hyperparameter that shapes the model.
    """
    entries = tuner._own_oracle.get_space().space
    space = to_space(entries)
    names = list(dict.fromkeys(parameter.name for parameter in space.parameters))
    for name in named or ():
        if name not in names and tuner.hypermodel is not None:
            close = difflib.get_close_matches(name, names, n=1)
            raise ValueError(
                f"mutable={list(named or ())}: {name!r} is no hyperparameter of the model; "
                f"{f'did you mean {close[0]!r}? ' if close else ''}They are {', '.join(map(repr, names)) or 'none'}"
            )
    if tuner.hypermodel is None:  # a tuner with a run_trial of its own
        return Mutable(frozenset(), None if named is None else frozenset(named))
    tried = [p for p in space.parameters if (named is None or p.name in named) and p.domain.count != 1]
    if verbose and tried:
        print(f"Building the model with other values of {', '.join(dict.fromkeys(p.name for p in tried))}:", flush=True)
    marked: set[str] = set()
    token = _marked.set(marked)
    try:
        structural = frozenset(parameter.name for parameter in tried if _shapes_differ(tuner, space, parameter, x))
    finally:
        _marked.reset(token)
    if verbose and tried:
        free = [name for name in names if name not in structural and (not marked or name in marked)]
        print(f"  {', '.join(free) or 'none'} may change while it trains", flush=True)
    wanted = frozenset(named) if named is not None else frozenset(marked) or None
    if wanted is not None and wanted & structural:
        wrong = ", ".join(sorted(wanted & structural))
        raise ValueError(
            f"mutable={sorted(wanted)}: {wrong} changes the shapes or the number of the model's variables, which "
            "cannot change while it trains; leave it out, each member then keeps its donor's"
        )
    return Mutable(structural, wanted)


def _shapes_differ(tuner: SegmentTuner, space: Space, parameter: Parameter, x: Any) -> bool:
    first: Any = None
    for values in _settings(space, parameter):
        shapes = _shapes(tuner, values, x)
        if first is not None and shapes != first:
            return True
        first = shapes
    return False


def _settings(space: Space, parameter: Parameter) -> Iterator[dict[str, Value]]:
    """Values of all active parameters, with ``parameter`` active and at each value that is to be tried."""
    domain = parameter.domain
    ends = [domain.from_unit(0.0), domain.from_unit(1.0)]
    tried = ends if domain.count is None or domain.count > MAX_CHOICES else [domain.at(n) for n in range(domain.count)]
    for value in tried:
        values: dict[str, Value] = {c.parent: c.values[0] for c in parameter.conditions} | {parameter.name: value}
        for other in space.parameters:  # parents first
            if other.name not in values and other.holds(values):
                values[other.name] = other.domain.from_unit(0.5)
        yield values


def _shapes(tuner: SegmentTuner, values: Mapping[str, Value], x: Any) -> Any:
    """Names, shapes and types of all that training changes; of a model without an input shape, its configuration."""
    hp = with_values(tuner._own_oracle.hyperparameters, values, _NamingHyperParameters)
    try:
        with seeded(0):
            model = tuner.build_checked(hp)
            if not model.built:
                with strategy_scope(model):
                    _build_for(model, x)
    except TypeError:
        raise
    except Exception as error:  # the user's build may raise anything, and need not be able to build every combination
        _log.info("%s: not built: %s", dict(values), error)
        return repr(error)
    if model.built:
        tuner.models.learn(values, model)
        return {name: (array.shape, array.dtype) for name, array in get_state(model).items()}
    _log.warning(
        "the model has no input shape, so any hyperparameter that its configuration shows is taken to shape it; "
        "begin it with keras.Input, or name those that may change in mutable=[...]"
    )
    return keras.saving.serialize_keras_object(model)


def _build_for(model: keras.Model, x: Any) -> None:
    """Make the variables for data such as ``x``: arrays of shape (samples, ...) or a ``tf.data`` set of batches."""
    spec = getattr(x, "element_spec", None)
    if isinstance(spec, tuple):
        model.build(keras.tree.map_structure(lambda one: tuple(one.shape), spec[0]))
    elif all(hasattr(one, "shape") for one in keras.tree.flatten(x)):
        shapes = keras.tree.map_structure(lambda one: (None, *one.shape[1:]), x)
        model(keras.tree.map_shape_structure(keras.KerasTensor, shapes), training=False)
