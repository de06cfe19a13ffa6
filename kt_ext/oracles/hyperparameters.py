"""Keras Tuner's HyperParameters to our Space and back, and copies that stay cheap with hundreds of entries."""

from __future__ import annotations

import collections
import copy
from collections.abc import Iterable, Mapping
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as hp_module

from kt_ext.core.decision import Value
from kt_ext.core.space import Boolean, Choice, Condition, Domain, Fixed, Float, Int, Parameter, Space

#: What we send beside the user's own values; never part of the search space, never handed to a searcher.
TRIAL_ID = "tuner/trial_id"
INITIAL_EPOCH = "tuner/initial_epoch"
EPOCHS = "tuner/epochs"
SEED = "kt_ext/seed"
#: A JSON list of epochs whose checkpoints of this trial others may yet take over.
KEEP = "kt_ext/keep"
#: A JSON string: the values along the way to the trial's best epoch (``kt_ext.core.lineage.Schedule``).
SCHEDULE = "kt_ext/schedule"
CONTROL_PREFIXES = ("tuner/", "kt_ext/")


def own_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The user's hyperparameters alone, without what steers the worker."""
    return {name: value for name, value in values.items() if not name.startswith(CONTROL_PREFIXES)}


def to_space(entries: Iterable[Any]) -> Space:
    """The Space of a list of Keras Tuner hyperparameters (``hp.space``), in the same order, parents first."""
    return Space(
        Parameter(hp.name, _domain(hp), tuple(Condition(c.name, tuple(c.values)) for c in hp.conditions))
        for hp in entries
    )


def _domain(hp: Any) -> Domain:
    if isinstance(hp, hp_module.Float):
        return Float(hp.min_value, hp.max_value, hp.step, hp.sampling)
    if isinstance(hp, hp_module.Int):
        return Int(hp.min_value, hp.max_value, hp.step, hp.sampling)
    if isinstance(hp, hp_module.Choice):
        return Choice(tuple(hp.values), bool(hp.ordered))
    if isinstance(hp, hp_module.Boolean):
        return Boolean()
    if isinstance(hp, hp_module.Fixed):
        return Fixed(hp.value)
    raise TypeError(f"hyperparameter {hp.name!r} is a {type(hp).__name__}: use Float, Int, Choice, Boolean or Fixed")


def from_entries(entries: Iterable[Mapping[str, Any]]) -> keras_tuner.HyperParameters:
    """The HyperParameters of ``get_config()["space"]`` with their default values, as ``build`` needs them.

    Keras Tuner's own ``from_config`` leaves objects in the dicts it is given, so that they are JSON no more.
    """
    space = keras_tuner.HyperParameters.from_config({"space": copy.deepcopy(list(entries)), "values": {}})
    for hp in space.space:
        if space.is_active(hp):
            space.values.setdefault(hp.name, hp.default)
    return space


def with_values(
    space: keras_tuner.HyperParameters, values: Mapping[str, Value], kind: type = keras_tuner.HyperParameters
) -> keras_tuner.HyperParameters:
    """A copy of ``space`` holding ``values``, of class ``kind``.

    ``HyperParameters.copy`` serialises every entry (milliseconds at 200 of them). The entries themselves are never
    changed after they are registered, so sharing them is safe; only the containers are copied.
    """
    same = kind()
    same._hps = collections.defaultdict(list, {name: list(same_name) for name, same_name in space._hps.items()})
    same._space = list(space._space)
    same.values = dict(values)
    return same


def take_orders(mine: keras_tuner.HyperParameters, sent: keras_tuner.HyperParameters) -> None:
    """Take over what an oracle sent of a trial: what steers the worker, and, if the orders are new, the values too.

    Keras Tuner's wire adds the defaults of all that would be active if their parents had their defaults.
    """
    control = {name: value for name, value in sent.values.items() if name.startswith(CONTROL_PREFIXES)}
    if any(mine.values.get(name) != control.get(name) for name in (EPOCHS, INITIAL_EPOCH, TRIAL_ID)):
        known = {entry.name for entry in sent.space}
        active = {entry.name for entry in sent.space if sent.is_active(entry)}
        own = {name: v for name, v in own_values(sent.values).items() if name in active or name not in known}
        mine.values = {name: value for name, value in mine.values.items() if name not in known} | own
    mine.values.update(control)
