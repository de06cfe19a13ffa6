"""The weights of a model that was built of a network, by the names of its layers."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np

from kt_ext.nas.network import Network
from kt_ext.networks.build import layer_of


class Key(NamedTuple):
    """One variable: the network's name of its layer, and its own, or its place in a layer of the user's."""

    layer: str
    variable: str


def variables_of(model: keras.Model, network: Network) -> dict[Key, Any]:
    """All weights of the model, in the network's order. Raises ValueError if the model is not of this network."""
    found = {}
    for layer in network.layers:
        if not layer.params:
            continue
        for place, variable in enumerate(layer_of(model, layer.name).weights):
            found[Key(layer.name, str(place) if layer.kind == "layer" else variable.name)] = variable
    return found


def array_of(variable: Any) -> np.ndarray:
    """A variable's numbers, a copy."""
    return np.array(variable.numpy())
