"""A child's model begins with what its parent's has learned."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from kt_ext.nas.channels import channels, draw
from kt_ext.nas.network import Network
from kt_ext.nas.preserve import steps
from kt_ext.networks.build import layer_of
from kt_ext.networks.morph.optimizer import carry
from kt_ext.networks.morph.places import Fitting, Places, Preserving
from kt_ext.networks.morph.variables import array_of, variables_of


@dataclass(frozen=True)
class Inherited:
    """What a child got.

    Attributes:
        share: of the child's parameters, those that come from the parent, in [0, 1].
        optimizer: "carried", or why the child's optimizer begins anew.
    """

    share: float
    optimizer: str


def inherit(
    parent_model: keras.Model,
    parent_network: Network,
    child_model: keras.Model,
    child_network: Network,
    rng: np.random.Generator,
    exact: bool = True,
) -> Inherited:
    """Set the child's weights and what its optimizer keeps of them from the parent's.

    Exactly: at inference the child then computes what the parent computes. While training it does so, too, unless a new
    batch normalization stands where no sum goes around it, or dropout is at work. Replicas of a channel are divided
    unevenly by ``rng``, so that training drives them apart.

    Args:
        parent_model: built of ``parent_network`` by ``kt_ext.networks.build.build``; a checkpoint is loaded into one.
        parent_network: its layers.
        child_model: built of ``child_network``; what is not inherited stays as it is.
        child_network: its layers; those with a namesake in the parent inherit.
        rng: which channels are doubled, and how they share.
        exact: False takes over whatever fits, by its place: the first channels, the middle of kernels.

    Raises:
        NotPreserved: ``exact``, and the child cannot compute what the parent does; it is left as it was.
        ValueError: a model is not of its network.
    """
    variables = variables_of(child_model, child_network)
    places: Places = Fitting()
    if exact:
        how = steps(parent_network, child_network)
        drawn = draw(channels(parent_network, child_network, how), rng)
        norms = [layer.name for layer in child_network.layers if layer.kind == "batch_norm"]
        epsilons = {name: layer_of(child_model, name).epsilon for name in norms}
        places = Preserving(parent_network, child_network, how, drawn, epsilons)
    kinds = {layer.name: layer.kind for layer in parent_network.layers}
    parents = {
        key: array_of(variable)
        for key, variable in variables_of(parent_model, parent_network).items()
        if key.layer in child_network.by_name and child_network.by_name[key.layer].kind == kinds[key.layer]
    }
    taken = 0.0
    for key, variable in variables.items():
        layer, source = child_network.by_name[key.layer], parents.get(key)
        variable.assign(places.weights(layer, key.variable, source, array_of(variable)))
        ones = None if source is None else np.ones_like(source)
        taken += places.moments(layer, key.variable, ones, tuple(variable.shape), power=0, fill=0.0).sum()
    optimizer = carry(parent_model, parent_network, child_model, child_network, places)
    return Inherited(float(taken) / max(child_network.params, 1), optimizer)
