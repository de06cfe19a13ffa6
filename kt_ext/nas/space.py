"""A space of architectures: its genes, and the network that a choice of them stands for."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.space import Parameter, Space
from kt_ext.nas.draft import Draft, Scale
from kt_ext.nas.head import Head
from kt_ext.nas.network import Network

#: What every architecture can be measured by without being built.
MEASURES = ("params", "flops", "memory")


@dataclass(frozen=True)
class Architecture:
    """One architecture of a space: a frozen genotype. Equal to another of the same genes; ``str`` gives it as text.

    Attributes:
        space: the space that it is of.
        genes: names and values of the active genes, in the space's order.
    """

    space: AbstractArchitectureSpace = field(compare=False, repr=False)
    genes: tuple[tuple[str, Value], ...]

    @cached_property
    def values(self) -> dict[str, Value]:
        """The genes by name; not to be changed."""
        return dict(self.genes)

    @cached_property
    def key(self) -> Hashable:
        """Its canonical form, equal to another's that is the same network."""
        return self.space.canonical(self)

    @cached_property
    def features(self) -> np.ndarray:
        """Its encoding, shape (n_features,); not to be changed."""
        return self.space.encode(self)

    def __str__(self) -> str:
        return self.space.text(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """A picture of it as a graph, for which matplotlib is needed; written to ``path`` if that is given."""
        return importlib.import_module("kt_ext.reports.architecture").plot_architecture(self, path)


class AbstractArchitectureSpace(ABC):
    """What strategies, measures and builders need of a space of architectures.

    A space of your own gives ``parameters`` (its genes) and ``lay`` (the network of a choice). The rest has defaults;
    override ``canonical`` where different genes make the same network, ``repair`` and ``is_valid`` where not every
    choice is allowed.

    Genes are ordinary hyperparameters named ``<name>/<gene>``, all registered at once, so that any Keras Tuner oracle
    can search them. A gene has one condition at most, on a gene without any.

    Args:
        name: begins the names of its hyperparameters.
    """

    def __init__(self, name: str = "arch") -> None:
        if not isinstance(name, str) or not name or name.startswith(("tuner/", "kt_ext/")):
            raise ValueError(f"name={name!r}: must be text such as 'arch', and not begin with 'tuner/' or 'kt_ext/'")
        self.name = name

    # What a space is

    @abstractmethod
    def parameters(self) -> Sequence[Parameter]:
        """The genes: names without the space's own, domains and conditions, always the same."""

    @abstractmethod
    def lay(self, arch: Architecture, net: Draft) -> str:
        """Lay the layers of an architecture on ``net.input``; returns the last one's name, the head follows."""

    def canonical(self, arch: Architecture) -> Hashable:
        """Equal for architectures that are the same network."""
        return arch.genes

    def text(self, arch: Architecture) -> str:
        """The architecture in one line."""
        return " ".join(f"{name}={value}" for name, value in arch.genes)

    def parse(self, text: str) -> dict[str, Value]:
        """The genes that ``text`` names; for text of another form anything, or ValueError."""
        words = dict(part.partition("=")[::2] for part in text.split(" "))
        return {gene.name: _read(gene, words[gene.name]) for gene in self.genes.parameters if gene.name in words}

    def from_text(self, text: str) -> Architecture:
        """The inverse of ``text``. Raises ValueError for text that is not exactly an architecture's of this space."""
        try:
            arch = self.repair(self.parse(text))
        except ValueError:
            arch = None
        if arch is None or self.text(arch) != text:
            example = self.text(self.random(np.random.default_rng(0)))
            raise ValueError(f"text={text!r}: must be the text of one of this space's architectures, like {example!r}")
        return arch

    def graphs(self, arch: Architecture) -> dict[str, Graph]:
        """What a picture shows: one graph for each part, by its title. By default the blocks of the network."""
        return {"": blocks_of(self.network(arch, self.picture_shape))}

    #: The input shape that a picture is drawn with where the network is needed for it.
    picture_shape: tuple[int, ...] = (32, 32, 3)

    def is_valid(self, arch: Architecture) -> bool:
        """Whether the choice is allowed."""
        return True

    def repair(self, values: Mapping[str, Value]) -> Architecture:
        """A valid architecture near ``values``: what is unknown or inactive is dropped, what is missing or out of its
        domain gets the value in the middle of it.
        """
        kept: dict[str, Value] = {}
        for gene in self.genes.parameters:
            if gene.holds(kept):
                value = values.get(gene.name)
                fits = value is not None and gene.domain.problem(value) is None
                kept[gene.name] = value if fits else gene.domain.from_unit(0.5)  # type: ignore[assignment]
        return Architecture(self, tuple(kept.items()))

    # What strategies need

    @cached_property
    def genes(self) -> Space:
        """The genes as a search space."""
        genes = Space(self.parameters())
        free = {gene.name for gene in genes.parameters if not gene.conditions}
        for gene in genes.parameters:
            if len(gene.conditions) > 1 or any(condition.parent not in free for condition in gene.conditions):
                raise ValueError(
                    f"gene {gene.name!r}: has {gene.conditions}; a gene may have one, on a gene without any"
                )
        return genes

    def random(self, rng: np.random.Generator) -> Architecture:
        """Any valid architecture."""
        return self.repair(self.genes.sample(rng))

    def neighbours(self, arch: Architecture) -> Iterator[Architecture]:
        """The valid architectures that differ in one gene, in the genes' order; a number without steps moves by a
        tenth of its range. Genes that become active get the value in the middle of their domain.
        """
        for gene in self.genes.active(arch.values):
            for value in _others(gene, arch.values[gene.name]):
                near = self.repair({**arch.values, gene.name: value})
                if near.genes != arch.genes:
                    yield near

    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        """A valid architecture with one gene changed (and drawn, what becomes active by it)."""
        genes = [gene for gene in self.genes.active(arch.values) if gene.domain.count != 1]
        for _ in range(100):
            gene = genes[rng.integers(len(genes))]
            changed = {**arch.values, gene.name: _another(gene, arch.values[gene.name], rng)}
            drawn = self._completed(changed, rng)
            if drawn.genes != arch.genes:
                return drawn
        return self.random(rng)

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """A valid architecture that has each gene from one of two, with equal chances."""
        taken: dict[str, Value] = {}
        for gene in self.genes.parameters:
            if gene.holds(taken):
                given = [arch.values[gene.name] for arch in (first, second) if gene.name in arch.values]
                draw = rng.random()
                taken[gene.name] = given[int(draw * len(given))] if given else gene.domain.from_unit(draw)
        return self.repair(taken)

    def _completed(self, values: Mapping[str, Value], rng: np.random.Generator) -> Architecture:
        kept: dict[str, Value] = {}
        for gene in self.genes.parameters:
            if gene.holds(kept):
                kept[gene.name] = values[gene.name] if gene.name in values else gene.domain.from_unit(rng.random())
        return self.repair(kept)

    def distance(self, first: Architecture, second: Architecture) -> int:
        """In how many genes two differ, those that only one of them has included."""
        a, b = first.values, second.values
        return sum(a.get(name) != b.get(name) for name in {*a, *b})

    def encode(self, arch: Architecture) -> np.ndarray:
        """Numbers for a model, shape (n_features,): an indicator for each value of an unordered choice, for other genes
        their place in [0, 1]; zeros for an inactive gene, and one more indicator for being active where it may not be.
        """
        features: list[float] = []
        values = arch.values
        for gene in self.genes.parameters:
            active = gene.name in values
            count, unordered = gene.domain.count, not getattr(gene.domain, "ordered", True)
            if unordered and count is not None:
                index = gene.domain.index(values[gene.name]) if active else -1
                features += [float(index == place) for place in range(count)]
            else:
                features.append(gene.domain.to_unit(values[gene.name]) if active else 0.0)
            if gene.conditions:
                features.append(float(active))
        return np.array(features)

    @property
    def size(self) -> int | None:
        """How many choices of genes there are, the same networks and invalid ones counted too; None: no end."""
        return self.genes.size

    # Hyperparameters

    def register(self, hp: Any) -> Architecture:
        """Register all genes with a ``keras_tuner.HyperParameters``; returns the architecture of its values."""
        for gene in self.genes.parameters:
            if gene.conditions:
                condition = gene.conditions[0]
                with hp.conditional_scope(f"{self.name}/{condition.parent}", list(condition.values)):
                    _register(hp, f"{self.name}/{gene.name}", gene.domain)
            else:
                _register(hp, f"{self.name}/{gene.name}", gene.domain)
        return self.architecture(hp.values)

    def architecture(self, values: Mapping[str, Any]) -> Architecture:
        """The architecture of hyperparameter values (a dictionary or a ``HyperParameters``); others are left alone."""
        found = getattr(values, "values", values)
        found = values if callable(found) else found  # of a dictionary it is a method
        start = len(self.name) + 1
        own = {name[start:]: value for name, value in found.items() if name.startswith(f"{self.name}/")}
        return self.repair(own)

    def values(self, arch: Architecture) -> dict[str, Value]:
        """The hyperparameter values of an architecture, those of active genes alone."""
        return {f"{self.name}/{name}": value for name, value in arch.genes}

    # Networks

    def network(
        self, arch: Architecture, input_shape: Sequence[int], head: Head | None = None, scale: Scale | None = None
    ) -> Network:
        """The architecture's layers with their shapes and costs; without a head it ends with the last searched one."""
        net = Draft(input_shape, scale)
        x = self.lay(arch, net)
        return net.finish(x if head is None else head.lay(net, x))

    def params(self, arch: Architecture, input_shape: Sequence[int], head: Head | None = None) -> int:
        """What ``count_params`` of the built model gives."""
        return self.network(arch, input_shape, head).params

    def flops(self, arch: Architecture, input_shape: Sequence[int], head: Head | None = None) -> int:
        """Multiply-adds of convolutions and dense layers for one example."""
        return self.network(arch, input_shape, head).flops

    def memory(self, arch: Architecture, input_shape: Sequence[int], head: Head | None = None) -> int:
        """Bytes of variables and of one example's outputs of all layers, in float32."""
        return self.network(arch, input_shape, head).memory

    def build(self, arch: Architecture, input_shape: Sequence[int], head: Head | None = None) -> Any:
        """The architecture as a ``keras.Model``, not compiled."""
        return importlib.import_module("kt_ext.networks.build").build(self.network(arch, input_shape, head))

    def hypermodel(self, input_shape: Sequence[int], head: Head, **kwargs: Any) -> Any:
        """A Keras Tuner hypermodel of this space: ``kt_ext.networks.hypermodel.ArchitectureHyperModel``."""
        return importlib.import_module("kt_ext.networks.hypermodel").ArchitectureHyperModel(
            self, input_shape, head, **kwargs
        )


@dataclass(frozen=True)
class Graph:
    """What is drawn of an architecture: labels of nodes, and edges (from, to, label)."""

    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int, str], ...]


def blocks_of(network: Network) -> Graph:
    """The network's blocks as a graph; layers outside of any block stand for themselves."""
    place: dict[str, int] = {}
    labels: list[str] = []
    by_key: dict[str, int] = {}
    for layer in network.layers:
        key = f"{layer.name.rpartition('/')[0]}:{layer.block}" if layer.block else layer.name
        if key not in by_key:
            by_key[key] = len(labels)
            labels.append(layer.block or layer.kind)
        place[layer.name] = by_key[key]
    edges = dict.fromkeys(
        (place[source], place[layer.name], "")
        for layer in network.layers
        for source in layer.inputs
        if place[source] != place[layer.name]
    )
    return Graph(tuple(labels), tuple(edges))


def _read(gene: Parameter, word: str) -> Value:
    """The value that ``str`` turned into ``word``."""
    domain = gene.domain
    if domain.count is None:
        return float(word)
    return next((value for index in range(domain.count) if str(value := domain.at(index)) == word), word)


def _others(gene: Parameter, value: Value) -> list[Value]:
    domain = gene.domain
    if domain.count is not None:
        return [other for index in range(domain.count) if (other := domain.at(index)) != value]
    unit = domain.to_unit(value)
    return [domain.from_unit(near) for near in (unit - 0.1, unit + 0.1) if 0 <= near <= 1]


def _another(gene: Parameter, value: Value, rng: np.random.Generator) -> Value:
    domain = gene.domain
    if domain.count is None:
        return domain.from_unit(rng.random())
    own = domain.index(value)
    place = int(rng.integers(domain.count - 1))
    return domain.at(place + (own is not None and place >= own))


def _register(hp: Any, name: str, domain: Any) -> None:
    """One gene as a Keras Tuner hyperparameter."""
    kind = type(domain).__name__
    if kind == "Choice":
        hp.Choice(name, list(domain.values), ordered=domain.ordered)
    elif kind == "Boolean":
        hp.Boolean(name)
    elif kind == "Fixed":
        hp.Fixed(name, domain.value)
    else:
        method = hp.Int if kind == "Int" else hp.Float
        method(name, domain.low, domain.high, step=domain.step, sampling=domain.scale)
