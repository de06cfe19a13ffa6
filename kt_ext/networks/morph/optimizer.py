"""What an optimizer keeps of each weight, from a parent's to a child's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from kt_ext.nas.network import Network
from kt_ext.networks.morph.places import Places
from kt_ext.networks.morph.variables import Key, array_of, variables_of

#: What Keras's optimizers keep of each weight, by the end of its name, and with which power of the gradient it grows.
POWERS: Mapping[str, int] = {
    "momentum": 1,
    "velocity": 2,
    "velocity_hat": 2,
    "norm": 1,
    "average_gradient": 1,
    "accumulator": 2,
    "accumulated_grad": 2,
    "accumulated_delta_var": 0,
}
#: A moving average of the weights themselves.
AVERAGE = "average"
#: What begins anew.
_FRESH = "gradient_accumulator"
_SQUARES = 2

CARRIED = "carried"


def carry(parent_model: keras.Model, parent: Network, child_model: keras.Model, child: Network, places: Places) -> str:
    """Give the child's optimizer the moments and the count of steps of the parent's; the learning rate stays its own.

    A number that the parent has not gets a mean of squares like the mean of those that it has, else the step of an
    optimizer that has long been running would be many times the learning rate; anything else is 0.

    Returns:
        "carried", or why the child's optimizer was left as it was.
    """
    givers, takers = _optimizer(parent_model), _optimizer(child_model)
    if givers is None or takers is None:
        return "fresh: not both models are compiled"
    if type(givers) is not type(takers):
        return f"fresh: the parent's was {type(givers).__name__}, the child's is {type(takers).__name__}"
    if not givers.built:
        return "fresh: the parent's has not been built"
    if not takers.built:
        takers.build(child_model.trainable_variables)
    given, taken = _slots(givers, parent_model, parent), _slots(takers, child_model, child)
    if given is None or taken is None:
        return f"fresh: {type(takers).__name__} keeps what has not the shape of the weights"
    weights = variables_of(child_model, child)
    for slot, targets in taken.items():
        sources = {key: array_of(variable) for key, variable in given.get(slot, {}).items()}
        if slot == _FRESH or not sources:
            continue
        for key, target in targets.items():
            layer = child.by_name[key.layer]
            if slot == AVERAGE:
                moved = places.weights(layer, key.variable, sources.get(key), array_of(weights[key]))
            else:
                fill = _typical(sources, key.variable) if POWERS[slot] == _SQUARES else 0.0
                moved = places.moments(layer, key.variable, sources.get(key), tuple(target.shape), POWERS[slot], fill)
            target.assign(moved)
    takers.iterations.assign(array_of(givers.iterations))
    if hasattr(takers, "_u_product"):  # Nadam's product of its momenta so far
        takers._u_product.assign(array_of(givers._u_product))
    return CARRIED


def _optimizer(model: keras.Model) -> Any:
    optimizer = model.optimizer if model.compiled else None  # Keras has no such attribute before
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer.inner_optimizer
    return optimizer


def _slots(optimizer: Any, model: keras.Model, network: Network) -> dict[str, dict[Key, Any]] | None:
    """What it keeps of each weight, by the slot's name; None if that is not known, or not of the weights' shape."""
    keys = {variable.path.replace("/", "_"): (key, variable) for key, variable in variables_of(model, network).items()}
    slots: dict[str, dict[Key, Any]] = {}
    for variable in optimizer.variables:
        if not tuple(variable.shape):
            continue
        for path, slot in _endings(variable.name):
            if (
                path in keys
                and slot in {*POWERS, AVERAGE, _FRESH}
                and tuple(variable.shape) == tuple(keys[path][1].shape)
            ):
                slots.setdefault(slot, {})[keys[path][0]] = variable
                break
        else:
            return None
    return slots


def _endings(name: str) -> Iterator[tuple[str, str]]:
    """All the ways to cut a name in two at an underscore."""
    for place, letter in enumerate(name):
        if letter == "_":
            yield name[:place], name[place + 1 :]


def _typical(sources: Mapping[Key, np.ndarray], variable: str) -> float:
    """The mean over all of the parent's variables of this name, or over all that there are."""
    alike = [array for key, array in sources.items() if key.variable == variable] or list(sources.values())
    return float(np.mean([array.mean() for array in alike]))
