"""Where the numbers of a parent's variables go in a child's: one way that keeps the function, one that takes what fits.

Both are used for weights, and for what an optimizer keeps of each weight. Variables are known by the name of their
layer and their own: kernel, bias, gamma, beta, moving_mean, moving_variance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from kt_ext.nas.channels import Drawn
from kt_ext.nas.network import Layer, Network
from kt_ext.nas.preserve import Step
from kt_ext.nas.sameness import kernel_offset


class Places(ABC):
    """Where numbers go."""

    @abstractmethod
    def weights(self, layer: Layer, variable: str, parent: np.ndarray | None, initial: np.ndarray) -> np.ndarray:
        """A variable of the child.

        Args:
            layer: the child's layer.
            variable: its name in the layer.
            parent: the parent's variable of the same name, if it has one.
            initial: as the child was initialised; its shape is that of the result.
        """

    @abstractmethod
    def moments(
        self, layer: Layer, variable: str, parent: np.ndarray | None, shape: tuple[int, ...], power: int, fill: float
    ) -> np.ndarray:
        """What an optimizer keeps of each number of a variable, of the given shape.

        Args:
            layer, variable, parent: as for ``weights``.
            shape: of the variable.
            power: how it grows with the gradient: 1 for a mean of gradients, 2 for one of squares, 0 for neither.
            fill: for numbers that the parent has not.
        """


class Preserving(Places):
    """Keeps the function.

    An output channel that has replicas is copied to each, and what takes it divides its weights among them by their
    shares. So the gradient of a replica's own weights is the parent's times its share, and moments are carried by that
    rule: they are those that the child's own gradients would have given.

    Args:
        parent, child: the networks.
        steps: how each layer of the child begins.
        drawn: which channels have replicas.
        epsilons: of the child's batch normalizations, by the layer's name.
    """

    def __init__(
        self,
        parent: Network,
        child: Network,
        steps: Mapping[str, Step],
        drawn: Drawn,
        epsilons: Mapping[str, float],
    ) -> None:
        self.parent = parent
        self.child = child
        self.steps = steps
        self.drawn = drawn
        self.epsilons = epsilons

    def weights(self, layer: Layer, variable: str, parent: np.ndarray | None, initial: np.ndarray) -> np.ndarray:
        rule = self.steps[layer.name].rule
        if rule == "copy" and parent is not None:
            return self._moved(layer, variable, parent, self._around(layer, variable, initial), divided=True)
        if rule == "identity":
            return self._identity(layer, variable, initial)
        if rule == "zero" and variable in ("kernel", "bias", "gamma", "beta"):
            return np.zeros_like(initial)
        return initial

    def moments(
        self, layer: Layer, variable: str, parent: np.ndarray | None, shape: tuple[int, ...], power: int, fill: float
    ) -> np.ndarray:
        filled = np.full(shape, fill, np.float32)
        if self.steps[layer.name].rule != "copy" or parent is None:
            return filled
        moved = self._moved(layer, variable, parent, filled, divided=False)
        if layer.kind == "layer":
            return moved
        parts = self.drawn.parts(self.drawn.channels.outputs[layer.name]) ** power
        return moved * (parts[:, None] if layer.kind == "depthwise" and variable == "kernel" else parts)

    def _around(self, layer: Layer, variable: str, initial: np.ndarray) -> np.ndarray:
        """A variable of the child but for the numbers that the parent has: new taps and rows of a kernel are zero."""
        if variable != "kernel" or layer.kind == "layer":
            return initial
        around = np.zeros_like(initial)
        if layer.kind == "depthwise":
            new = self._copies(layer) < 0
            around[..., new, :] = initial[..., new, :]
        return around

    def _moved(self, layer: Layer, variable: str, parent: np.ndarray, around: np.ndarray, divided: bool) -> np.ndarray:
        """The parent's numbers at their places amid ``around``; ``divided`` among replicas of the inputs."""
        if layer.kind == "layer":
            return parent
        moved, copies = around.copy(), self._copies(layer)
        known = copies >= 0
        if variable != "kernel":
            moved[known] = parent[copies[known]]
            return moved
        window = moved[self._window(layer)]
        if layer.kind == "depthwise":
            window[..., known, :] = parent[..., copies[known], :]
            return moved
        inputs, parts = self._inputs(layer, parent.shape[-2])
        known = inputs >= 0
        taken = parent[..., inputs[known], :][..., copies]
        window[..., known, :] = taken * parts[known, None] if divided else taken
        return moved

    def _copies(self, layer: Layer) -> np.ndarray:
        return self.drawn.copies(self.drawn.channels.outputs[layer.name])

    def _window(self, layer: Layer) -> tuple[slice, ...]:
        """Where the parent's kernel lies in the child's."""
        if layer.kind == "dense":
            return ()
        small = self.parent.by_name[layer.name].settings["kernel"]
        return tuple(slice(place, place + small) for place in self._kernel_places(layer, small))

    def _kernel_places(self, layer: Layer, small: int) -> tuple[int, ...]:
        settings, sizes = layer.settings, self.child.by_name[layer.inputs[0]].shape[:-1]
        return kernel_offset(sizes, settings["stride"], small, settings["kernel"], settings.get("dilation", 1))

    def _inputs(self, layer: Layer, n_parent: int) -> tuple[np.ndarray, np.ndarray]:
        """Which of the parent's channels each input channel copies, and its part; of zeros any will do."""
        segments = self.drawn.channels.outputs.get(layer.inputs[0])
        if segments is None:
            n_child = self.child.by_name[layer.inputs[0]].shape[-1]
            return np.arange(n_child) % n_parent, np.ones(n_child)
        return self.drawn.copies(segments), self.drawn.parts(segments)

    def _identity(self, layer: Layer, variable: str, initial: np.ndarray) -> np.ndarray:
        if layer.kind == "batch_norm":
            # So that it divides by 1 at inference; its scale is 1 already.
            values = {"beta": 0.0, "gamma": 1.0, "moving_mean": 0.0, "moving_variance": 1 - self.epsilons[layer.name]}
            return np.full_like(initial, values[variable])
        identity = np.zeros_like(initial)
        if variable != "kernel":
            return identity
        positions = initial.ndim - 2
        centre = self._kernel_places(layer, 1) if positions else ()
        if layer.kind == "depthwise":
            identity[centre] = 1
            return identity
        inputs, parts = self._inputs(layer, 1)
        outputs = self._copies(layer)
        identity[centre] = np.where(inputs[:, None] == outputs, parts[:, None], 0)
        return identity


class Fitting(Places):
    """Takes over what fits: the middle of kernels and the first channels. Everything else stays as it was."""

    def weights(self, layer: Layer, variable: str, parent: np.ndarray | None, initial: np.ndarray) -> np.ndarray:
        return initial if parent is None else _overlaid(parent, initial, layer)

    def moments(
        self, layer: Layer, variable: str, parent: np.ndarray | None, shape: tuple[int, ...], power: int, fill: float
    ) -> np.ndarray:
        filled = np.full(shape, fill, np.float32)
        return filled if parent is None else _overlaid(parent, filled, layer)


def _overlaid(parent: np.ndarray, initial: np.ndarray, layer: Layer) -> np.ndarray:
    if parent.ndim != initial.ndim or (layer.kind == "layer" and parent.shape != initial.shape):
        return initial
    ours, theirs = [], []
    for axis, (child, other) in enumerate(zip(initial.shape, parent.shape, strict=True)):
        both = min(child, other)
        middle = axis < initial.ndim - 2  # a kernel's positions
        start, begin = ((child - both) // 2, (other - both) // 2) if middle else (0, 0)
        ours.append(slice(start, start + both))
        theirs.append(slice(begin, begin + both))
    overlaid = initial.copy()
    overlaid[tuple(ours)] = parent[tuple(theirs)]
    return overlaid
