"""A space of architectures as a Keras Tuner hypermodel."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from kt_ext.nas.draft import Draft, Scale
from kt_ext.nas.head import Head
from kt_ext.nas.network import Network
from kt_ext.nas.space import MEASURES, AbstractArchitectureSpace, Architecture
from kt_ext.networks.build import build
from kt_ext.networks.fresh import FreshOptimizer, fresh_layer, fresh_metrics
from kt_ext.networks.probe import probe

#: How many random architectures are laid at construction, to see that the space is one for the input's shape.
LAID = 10


class ArchitectureHyperModel(keras_tuner.HyperModel):
    """Builds the architecture that the hyperparameters choose, compiled. For any Keras Tuner tuner.

    Args:
        space: the architectures.
        input_shape: of one example, such as (32, 32, 3), (100, 6) or (20,).
        head: what follows the searched part, such as ``kt_ext.nas.classifier(10)``.
        optimizer: a Keras optimizer's name or serialized configuration; an optimizer, of which each model gets one
            like it; or a function from ``hp`` to a new one, whose hyperparameters are searched with the architecture::

                lambda hp: keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log"))
        loss, metrics: for ``compile``; None takes the head's.
        measures: names to functions of an architecture that give a number, for limits of your own.
        scale: how much smaller than the architectures say the models are, for cheap estimates.
        augment: a layer between input and network, such as ``keras.layers.RandomFlip()``, or a function that makes one;
            it may change neither shape nor have weights.

    Attributes:
        space, input_shape, head, scale: as given.

    Raises:
        TypeError, ValueError: an argument is none of what it must be, or an architecture of the space cannot be laid
            on the input, such as a convolution on vectors.
    """

    def __init__(
        self,
        space: AbstractArchitectureSpace,
        input_shape: Sequence[int],
        head: Head,
        *,
        optimizer: Any = "adam",
        loss: Any = None,
        metrics: Sequence[Any] | None = None,
        measures: Mapping[str, Callable[[Architecture], float]] | None = None,
        scale: Scale | None = None,
        augment: keras.layers.Layer | Callable[[], keras.layers.Layer] | None = None,
    ) -> None:
        if not isinstance(space, AbstractArchitectureSpace):
            raise TypeError(f"space={space!r}: must be a space of architectures, such as kt_ext.nas.nb201()")
        if not isinstance(head, Head):
            raise TypeError(f"head={head!r}: must be a head, such as kt_ext.nas.classifier(10)")
        self.space = space
        self.head = head
        self.loss = head.loss if loss is None else loss
        self.metrics = list(head.metrics if metrics is None else metrics)
        self._optimizer = FreshOptimizer(optimizer)
        self._measures = _checked_measures(measures or {})
        self._costs: tuple[tuple, dict[str, float]] | None = None  # of the architecture that was measured last
        self._augment = fresh_layer(augment)
        self._lay_on(input_shape, scale)
        self._full_shape = self.input_shape
        super().__init__()

    def build(self, hp: Any) -> keras.Model:
        """Register all genes and then the optimizer's hyperparameters with ``hp``; the model of their values."""
        arch = self.space.register(hp)
        optimizer = self._optimizer(hp)
        model = build(self.network(arch), self._augment)
        model.compile(optimizer=optimizer, loss=self.loss, metrics=fresh_metrics(self.metrics))
        return model

    def network(self, arch: Architecture) -> Network:
        """The network that is built for an architecture, at this hypermodel's scale."""
        return self.space.network(arch, self.input_shape, self.head, self.scale)

    @property
    def measure_names(self) -> tuple[str, ...]:
        """What ``measure`` can tell."""
        return (*MEASURES, *self._measures)

    def measure(self, arch: Architecture, names: Collection[str] | None = None) -> dict[str, float]:
        """What an architecture costs at full size, whatever the scale here is; nothing is built for it.

        Args:
            arch: the architecture.
            names: of ``params`` (numbers in all variables), ``flops`` (multiply-adds for one example), ``memory``
                (bytes) and your own measures; None: all of them.

        Raises:
            TypeError, ValueError: an unknown name; a measure of your own that gives no number.
        """
        wanted = self.measure_names if names is None else tuple(names)
        return {name: self._cost(arch, name) if name in MEASURES else self._own(arch, name) for name in wanted}

    def _cost(self, arch: Architecture, name: str) -> float:
        if self._costs is None or self._costs[0] != arch.genes:  # limits ask for one name after the other
            network = self.space.network(arch, self._full_shape, self.head)
            self._costs = arch.genes, {each: float(getattr(network, each)) for each in MEASURES}
        return self._costs[1][name]

    def _own(self, arch: Architecture, name: str) -> float:
        if name not in self._measures:
            raise ValueError(
                f"measure {name!r}: must be one of {', '.join(self.measure_names)}; give your own by measures="
            )
        value = self._measures[name](arch)
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"measures[{name!r}]: gives {value!r} for {arch}; must give a number")
        return float(value)

    def at(self, scale: Scale | None = None, input_shape: Sequence[int] | None = None) -> ArchitectureHyperModel:
        """A copy that builds smaller models, or for smaller inputs; None leaves either. It measures at full size too.

        Raises ValueError as the constructor does.
        """
        other = copy.copy(self)
        # Keras Tuner keeps bound methods in the object, which are those of the original in a copy
        del other.build, other._build
        other._lay_on(self.input_shape if input_shape is None else input_shape, scale or self.scale)
        keras_tuner.HyperModel.__init__(other, self.name, self.tunable)
        return other

    def _lay_on(self, input_shape: Sequence[int], scale: Scale | None) -> None:
        """Take the shape and scale, and see that architectures can be laid so."""
        if scale is not None and not isinstance(scale, Scale):
            raise TypeError(f"scale={scale!r}: must be a kt_ext.nas.Scale, such as Scale(filters=0.5), or None")
        net = Draft(input_shape, scale)
        self.input_shape = net.shape(net.input)
        self.scale = scale
        rng = np.random.default_rng(0)
        for arch in (self.space.repair({}), *(self.space.random(rng) for _ in range(LAID))):
            self.network(arch)
        if self._augment is not None:
            shape, params = probe(self._augment, self.input_shape)
            if shape != self.input_shape or params:
                raise ValueError(
                    f"augment: gives shape {shape} on {self.input_shape} and has {params} weights; must leave the "
                    "shape and have none; lay what is trained by an op of your own"
                )


def _checked_measures(given: Mapping[str, Callable[[Architecture], float]]) -> dict[str, Any]:
    for name, function in given.items():
        if name in MEASURES:
            raise ValueError(f"measures[{name!r}]: the name is taken, it is measured already; choose another")
        if not isinstance(name, str) or not callable(function):
            raise TypeError(f"measures[{name!r}]={function!r}: must be a name to a function of an architecture")
    return dict(given)
