"""A network as a Keras model: one Keras layer for each of its layers, on any backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from kt_ext.nas.network import Layer, Network
from kt_ext.networks.layers import zeros

#: The Keras name of what changes the inputs before the network sees them.
AUGMENT = "augment"


#: As in the networks of NAS-Bench-101 and 201 (PyTorch's 0.1). Keras's 0.99 takes hundreds of steps to forget how the
#: moving statistics were initialised, so that after a short training a good network validates as a bad one.
BATCH_NORM_MOMENTUM = 0.9


def build(network: Network, augment: Callable[[], keras.layers.Layer] | None = None) -> keras.Model:
    """The network as a functional model, not compiled.

    Its layers are named by ``keras_name``; what ``augment`` makes stands between the input and all others. Under a
    mixed precision policy the last layer computes in the type of its variables, as Keras advises: a softmax in float16
    rounds small probabilities to nothing.
    """
    outputs: dict[str, Any] = {}
    for layer in network.layers:
        name = keras_name(layer.name)
        if layer.kind == "input":
            entry = keras.Input(layer.shape, name=name)
            outputs[layer.name] = entry if augment is None else _named(augment(), AUGMENT)(entry)
            continue
        given = [outputs[source] for source in layer.inputs]
        common = {"name": name}
        if layer is network.output:
            common["dtype"] = keras.config.dtype_policy().variable_dtype
        made = _make(layer, network.by_name[layer.inputs[0]], common)
        outputs[layer.name] = made(given if layer.kind in ("add", "concat") else given[0])
    return keras.Model(entry, outputs[network.output.name], name="architecture")


def keras_name(layer_name: str) -> str:
    """The Keras name of a network's layer: Keras takes no "/", so ``stage0/layer1/conv`` is ``stage0.layer1.conv``."""
    return layer_name.replace("/", ".")


def layer_of(model: keras.Model, layer_name: str) -> keras.layers.Layer:
    """The Keras layer of a network's layer in a model built of it. Raises ValueError if there is none."""
    return model.get_layer(keras_name(layer_name))


def _make(layer: Layer, source: Layer, common: dict[str, Any]) -> keras.layers.Layer:
    """The Keras layer; ``source`` is the first of its inputs, ``common`` its name and type."""
    if layer.kind == "layer":
        return _named(layer.settings["make"](), common["name"])
    if layer.kind == "zero":
        return zeros(source.shape, layer.settings["stride"], layer.shape[-1], common["name"])
    return _MAKERS[layer.kind](layer, len(source.shape) - 1, common)


def _named(layer: keras.layers.Layer, name: str) -> keras.layers.Layer:
    layer.name = name
    return layer


def _conv(layer: Layer, dimensions: int, common: dict[str, Any]) -> keras.layers.Layer:
    settings = layer.settings
    return _of("Conv{}D", dimensions)(
        settings["filters"], settings["kernel"], strides=settings["stride"], use_bias=settings["bias"],
        padding="same", kernel_initializer="he_normal", **common,
    )  # fmt: skip


def _depthwise(layer: Layer, dimensions: int, common: dict[str, Any]) -> keras.layers.Layer:
    settings = layer.settings
    return _of("DepthwiseConv{}D", dimensions)(
        settings["kernel"], strides=settings["stride"], dilation_rate=settings["dilation"], use_bias=settings["bias"],
        padding="same", depthwise_initializer="he_normal", **common,
    )  # fmt: skip


def _dense(layer: Layer, dimensions: int, common: dict[str, Any]) -> keras.layers.Layer:
    settings = layer.settings
    return keras.layers.Dense(settings["units"], activation=settings["activation"], use_bias=settings["bias"], **common)


def _batch_norm(layer: Layer, dimensions: int, common: dict[str, Any]) -> keras.layers.Layer:
    gamma = "zeros" if layer.settings["zero_gamma"] else "ones"
    return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, gamma_initializer=gamma, **common)


def _pool(pattern: str) -> Callable[[Layer, int, dict[str, Any]], keras.layers.Layer]:
    def made(layer: Layer, dimensions: int, common: dict[str, Any]) -> keras.layers.Layer:
        settings = layer.settings
        return _of(pattern, dimensions)(settings["size"], strides=settings["stride"], padding="same", **common)

    return made


def _of(pattern: str, dimensions: int) -> type[keras.layers.Layer]:
    return getattr(keras.layers, pattern.format(dimensions))


_MAKERS: dict[str, Callable[[Layer, int, dict[str, Any]], keras.layers.Layer]] = {
    "conv": _conv,
    "depthwise": _depthwise,
    "dense": _dense,
    "batch_norm": _batch_norm,
    "layer_norm": lambda layer, dimensions, common: keras.layers.LayerNormalization(**common),
    "activation": lambda layer, dimensions, common: keras.layers.Activation(layer.settings["function"], **common),
    "dropout": lambda layer, dimensions, common: keras.layers.Dropout(layer.settings["rate"], **common),
    "max_pool": _pool("MaxPooling{}D"),
    "avg_pool": _pool("AveragePooling{}D"),
    "global_pool": lambda layer, dimensions, common: _of("GlobalAveragePooling{}D", dimensions)(**common),
    "flatten": lambda layer, dimensions, common: keras.layers.Flatten(**common),
    "add": lambda layer, dimensions, common: keras.layers.Add(**common),
    "concat": lambda layer, dimensions, common: keras.layers.Concatenate(**common),
}
