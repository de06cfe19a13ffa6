"""Facts of single layers that decide what a change of a network preserves: which output is never negative, which layer
can pass its input on unchanged or begin at zero, and where a smaller kernel sits inside a larger one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from kt_ext.nas.network import Layer, Network

#: What a child's layer can mean besides a layer of its parent: zeros everywhere, or anything, as nothing depends on it.
ZERO = "<zero>"
FREE = "<free>"

#: Never below 0.
_NONNEGATIVE = frozenset({"relu", "relu6", "sigmoid", "hard_sigmoid", "softmax", "softplus", "exponential"})
#: The identity on numbers >= 0.
_IDENTITY_ABOVE_ZERO = frozenset({"relu", "leaky_relu", "elu", "celu"})
#: f(0) = 0 with a slope, so that what begins at zero can leave it.
_LEAVES_ZERO = frozenset(
    {"linear", "tanh", "swish", "silu", "gelu", "elu", "celu", "selu", "leaky_relu", "mish", "softsign", "hard_tanh",
     "hard_swish", "hard_silu"}
)  # fmt: skip
_KEEPS_ZERO = _LEAVES_ZERO | {"relu", "relu6"}


def mixes_channels(layer: Layer) -> bool:
    """Whether the layer's function depends on all channels at once, so that none can be doubled."""
    return "softmax" in str(layer.settings.get("function") or layer.settings.get("activation"))


def why_not_identity(function: str | None, nonnegative: bool) -> str | None:
    """Why an activation function changes its input, that is ``nonnegative`` or not; None if it does not."""
    if function is None or function == "linear" or (nonnegative and function in _IDENTITY_ABOVE_ZERO):
        return None
    if function in _IDENTITY_ABOVE_ZERO:
        return f"an identity before {function} is one only where its input is never negative, as after relu"
    return f"no identity before {function} is one"


def why_not_zero(function: str | None) -> str | None:
    """Why an activation function cannot end a branch that begins at zero; None if it can."""
    if function is None or function in _LEAVES_ZERO:
        return None
    if function in _KEEPS_ZERO:
        return f"{function} has no slope at 0, so a branch that begins there would stay zero for ever"
    return f"{function} of 0 is not 0"


def kernel_offset(sizes: tuple[int, ...], stride: int, small: int, large: int, dilation: int = 1) -> tuple[int, ...]:
    """Where the first tap of the smaller kernel lies in the larger one, for each dimension, padding being "same".

    That pads by ``max((ceil(n / stride) - 1) * stride + kernel - n, 0)`` numbers in all, the smaller half before. So
    with a stride of 2 a 1x1 kernel lies at 0 in a 3x3 one where the input size is even, and at 1 where it is odd.

    Raises:
        ValueError: it lies in no place.
    """
    if large < small:
        raise ValueError(f"its kernel shrinks from {small} to {large}; a network can grow, not shrink")
    places = []
    for n in sizes:
        before = [
            max((-(-n // stride) - 1) * stride + (kernel - 1) * dilation + 1 - n, 0) // 2 for kernel in (small, large)
        ]
        place, between = divmod(before[1] - before[0], dilation)
        if between or not 0 <= place <= large - small:
            raise ValueError(
                f"a kernel of {small} lies in no place of one of {large} at stride {stride}, dilation {dilation}"
            )
        places.append(place)
    return tuple(places)


def same_settings(parent: Layer, child: Layer) -> str | None:
    """Which setting differs that may not; None if all that may not are the same."""
    for name in {*parent.settings, *child.settings} - {"filters", "units", "kernel", "rate", "zero_gamma"}:
        old, new = parent.settings.get(name), child.settings.get(name)
        if not (_same_function(old, new) if callable(old) and callable(new) else old == new):
            return f"{name} changes from {old} to {new}"
    return None


def _same_function(first: Callable[..., Any], second: Callable[..., Any]) -> bool:
    """Whether two functions are one, or come from the same line with the same surroundings."""
    if first == second:
        return True
    codes = [getattr(each, "__code__", None) for each in (first, second)]
    if codes[0] is None or codes[0] is not codes[1]:
        return False
    around = [
        ([cell.cell_contents for cell in each.__closure__ or ()], each.__defaults__)  # type: ignore[attr-defined]
        for each in (first, second)
    ]
    return around[0] == around[1]


class Meanings:
    """What the layers of a parent give, those that give the same (at inference) under one name.

    Args:
        network: the parent.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    @cached_property
    def _names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for layer in self.network.layers:
            names[layer.name] = self._name(layer, [names[name] for name in layer.inputs])
        return names

    def _name(self, layer: Layer, inputs: list[str]) -> str:
        if layer.kind == "zero":
            return ZERO
        if layer.kind == "add":
            summands = [name for name in inputs if name != ZERO]
            return ZERO if not summands else summands[0] if len(summands) == 1 else layer.name
        if layer.kind == "dropout":
            return inputs[0]
        if layer.kind == "activation":
            function = layer.settings["function"]
            if inputs[0] == ZERO and function in _KEEPS_ZERO:
                return ZERO
            return inputs[0] if why_not_identity(function, self.nonnegative(inputs[0])) is None else layer.name
        if (
            inputs
            and layer.kind in ("max_pool", "avg_pool", "global_pool", "flatten", "concat")
            and {*inputs} == {ZERO}
        ):
            return ZERO
        return layer.name

    def of(self, name: str) -> str:
        """The one name for what this layer gives, or ``ZERO``."""
        return self._names[name]

    def channels(self, meaning: str) -> int:
        """How many channels it has; ``meaning`` is a name by ``of``, not ``ZERO``."""
        return self.network.by_name[meaning].shape[-1]

    def nonnegative(self, meaning: str) -> bool:
        """Whether it is never below 0."""
        if meaning == ZERO:
            return True
        layer = self.network.by_name[meaning]
        if layer.kind == "activation":
            return layer.settings["function"] in _NONNEGATIVE
        if layer.kind == "dense":
            return layer.settings["activation"] in _NONNEGATIVE
        if layer.kind in ("max_pool", "avg_pool", "global_pool", "flatten", "add", "concat", "dropout"):
            return all(self.nonnegative(name) for name in layer.inputs)
        return layer.kind == "zero"
