"""Which channel of the parent each channel of a child copies.

What gives channels (a convolution, a dense layer) is a source; sums tie their summands' sources into one group, that
must be doubled alike, and concatenation and flattening lay the channels of sources side by side. A group's replicas
share each channel unevenly, so that training drives them apart; all consumers see the same shares. With them the
gradient of whatever makes channel c is the parent's times the share of c, and that of whatever takes it the parent's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from kt_ext.nas.network import Layer, Network
from kt_ext.nas.preserve import FREE, REMEDY, ZERO, NotPreserved, Step
from kt_ext.nas.sameness import Meanings, mixes_channels


@dataclass(frozen=True)
class Segment:
    """Neighbouring channels: those of one source.

    Attributes:
        source: the layer of the child that gives them.
        offset: where they begin among the parent's channels; None for channels that the parent has not.
    """

    source: str
    offset: int | None


Segments = tuple[Segment, ...]


@dataclass
class Channels:
    """The channels of a child that begins as its parent.

    Attributes:
        outputs: of each layer's output, by name; without those that mean nothing of the parent's.
        sizes: of each source, its channels in the child and in the parent.
        whole: sources that can be repeated only as a whole.
    """

    outputs: dict[str, Segments] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    _above: dict[str, str] = field(default_factory=dict)

    def group(self, source: str) -> str:
        """The name of the source's group."""
        while source in self._above:
            source = self._above[source]
        return source

    def tie(self, first: str, second: str) -> None:
        """Put two sources into one group."""
        first, second = self.group(first), self.group(second)
        if first != second:
            self._above[second] = first

    def unchanged(self, segments: Segments) -> bool:
        """Whether these are the parent's channels, one to one."""
        end = 0
        for segment in segments:
            child, parent = self.sizes[segment.source]
            if segment.offset != end or child != parent:
                return False
            end += child
        return True


@dataclass(frozen=True)
class Drawn:
    """The choice of replicas.

    Attributes:
        copied: of each source, the parent's channel that each of the child's copies, shape (n_child,).
        shares: of each source, what part of the parent's channel each stands for, shape (n_child,); those of one
            channel add up to 1.
    """

    channels: Channels
    copied: Mapping[str, np.ndarray]
    shares: Mapping[str, np.ndarray]

    def copies(self, segments: Segments) -> np.ndarray:
        """The parent's channel that each channel copies, shape (n,); -1 for none."""
        return np.concatenate(
            [
                np.full(self.channels.sizes[each.source][0], -1)
                if each.offset is None
                else self.copied[each.source] + each.offset
                for each in segments
            ]
        )

    def parts(self, segments: Segments) -> np.ndarray:
        """What part of the parent's channel each stands for, shape (n,); 1 where it copies none."""
        return np.concatenate(
            [
                np.ones(self.channels.sizes[each.source][0]) if each.offset is None else self.shares[each.source]
                for each in segments
            ]
        )


def draw(channels: Channels, rng: np.random.Generator) -> Drawn:
    """Choose which channels get replicas, each about as many as another, and how these share it."""
    by_group: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    whole = {channels.group(source) for source in channels.whole}
    copied, shares = {}, {}
    for source, (n_child, n_parent) in channels.sizes.items():
        group = channels.group(source)
        if group not in by_group:
            repeats = -(-(n_child - n_parent) // n_parent)
            orders = [np.arange(n_parent) if group in whole else rng.permutation(n_parent) for _ in range(repeats)]
            copies = np.concatenate([np.arange(n_parent), *orders])[:n_child]
            weights = rng.uniform(0.5, 1.5, n_child)
            by_group[group] = copies, weights / np.bincount(copies, weights, n_parent)[copies]
        copied[source], shares[source] = by_group[group]
    return Drawn(channels, copied, shares)


def channels(parent: Network, child: Network, steps: Mapping[str, Step]) -> Channels:
    """The channels of a child whose layers begin by ``steps``.

    Raises:
        NotPreserved: two layers would need other channels at the same place.
    """
    laid = Channels()
    meanings = Meanings(parent)
    for layer in child.layers:
        step = steps[layer.name]
        if step.means not in (FREE, ZERO):
            laid.outputs[layer.name] = _laid(laid, meanings, child, layer, step)
    end = child.output.name
    if end in laid.outputs and not laid.unchanged(laid.outputs[end]):
        raise NotPreserved(f"{end}: what it gives would be doubled; {REMEDY}")
    return laid


def _laid(laid: Channels, meanings: Meanings, child: Network, layer: Layer, step: Step) -> Segments:
    """The channels of one layer's output, that means something."""
    if layer.kind == "add":
        given = [laid.outputs[name] for name, means in zip(layer.inputs, step.inputs, strict=True) if means != ZERO]
        return _summed(laid, layer, given)
    if layer.kind == "concat":
        return _joined(laid, meanings, child, layer, step)
    taken = [
        laid.outputs[name] for name, means in zip(layer.inputs, step.inputs, strict=True) if means not in (FREE, ZERO)
    ]
    if layer.kind == "layer" or (layer.kind == "activation" and mixes_channels(layer)):
        _check_unchanged(laid, layer, taken)
    if layer.kind == "layer_norm":
        _check_whole(laid, layer, taken[0])
    if layer.kind == "flatten":
        positions = child.by_name[layer.inputs[0]].shape[:-1]
        channels = meanings.channels(step.inputs[0])
        return tuple(
            Segment(each.source, None if each.offset is None else each.offset + place * channels)
            for place in range(int(np.prod(positions)))
            for each in taken[0]
        )
    if layer.kind in ("input", "conv", "dense", "layer") or not taken:
        laid.sizes[layer.name] = (layer.shape[-1], meanings.channels(step.means))
        if mixes_channels(layer):
            _check_unchanged(laid, layer, [(Segment(layer.name, 0),)])
        return (Segment(layer.name, 0),)
    return taken[0]


def _summed(laid: Channels, layer: Layer, given: list[Segments]) -> Segments:
    total = given[0]
    for other in given[1:]:
        if laid.unchanged(total) and laid.unchanged(other):
            continue
        sizes = [[laid.sizes[each.source] for each in segments] for segments in (total, other)]
        offsets = [[each.offset for each in segments] for segments in (total, other)]
        if sizes[0] != sizes[1] or offsets[0] != offsets[1]:
            raise NotPreserved(f"{layer.name}: its summands' channels would be doubled in different ways; {REMEDY}")
        for mine, theirs in zip(total, other, strict=True):
            laid.tie(mine.source, theirs.source)
    return total


def _joined(laid: Channels, meanings: Meanings, child: Network, layer: Layer, step: Step) -> Segments:
    """The inputs side by side; those that the parent has not bring channels of their own."""
    places: dict[int, int] = {}
    if step.rule == "copy":
        left, offset = list(range(len(layer.inputs))), 0
        for name in meanings.network.by_name[layer.name].inputs:
            found = next(place for place in left if step.inputs[place] == meanings.of(name))
            left.remove(found)
            places[found] = offset
            offset += meanings.network.by_name[name].shape[-1]
    else:
        places = {place: 0 for place, means in enumerate(step.inputs) if means != FREE}
    joined: list[Segment] = []
    for place, name in enumerate(layer.inputs):
        offset, width = places.get(place, -1), child.by_name[name].shape[-1]
        if place in places and step.inputs[place] != ZERO:
            joined += [
                Segment(each.source, None if each.offset is None else each.offset + offset)
                for each in laid.outputs[name]
            ]
            continue
        source = f"{layer.name}:{place}"  # of channels that are zero, or that nothing takes yet
        laid.sizes[source] = (width, width)
        joined.append(Segment(source, offset if place in places else None))
    return tuple(joined)


def _check_unchanged(laid: Channels, layer: Layer, taken: list[Segments]) -> None:
    for segments in taken:
        if not laid.unchanged(segments):
            what = "a layer of your own" if layer.kind == "layer" else "softmax"
            raise NotPreserved(f"{layer.name}: {what} sees all channels at once, so they cannot be doubled; {REMEDY}")


def _check_whole(laid: Channels, layer: Layer, taken: Segments) -> None:
    factors = {laid.sizes[each.source][0] / laid.sizes[each.source][1] for each in taken}
    if len(factors) > 1 or not factors.pop().is_integer() or any(each.offset is None for each in taken):
        raise NotPreserved(
            f"{layer.name}: layer normalization keeps its mean only where all channels are repeated equally often; "
            f"widen by a whole factor, or {REMEDY}"
        )
    laid.whole.update(each.source for each in taken)
