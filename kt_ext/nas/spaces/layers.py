"""What chains with and without skip connections share: their genes, what is the same network, and their text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence

from kt_ext.core.decision import Value
from kt_ext.core.space import Boolean, Choice, Condition, Int, Parameter
from kt_ext.nas.draft import Draft
from kt_ext.nas.ops import NONE, OPS, SKIP, Op, make_ops
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture, Graph
from kt_ext.nas.spaces.arguments import integer, numbers

DEPTH = "depth"


class AbstractLayers(AbstractArchitectureSpace):
    """Layers one after the other behind a stem. Layer i >= 1 is there while the depth is i or more.

    Genes: ``depth``, and for each layer ``layer{i}/op``, ``layer{i}/width``, ``layer{i}/activation`` and
    ``layer{i}/dropout``; what has one choice is no gene.
    """

    def __init__(
        self,
        ops: Sequence[str | Op],
        max_depth: int,
        widths: int | Sequence[int],
        min_depth: int,
        activations: Sequence[str],
        dropouts: Sequence[float],
        reduce_every: int | None,
        residual: bool,
        stem: int | None,
        name: str,
    ) -> None:
        super().__init__(name)
        self.ops = {op.name: op for op in make_ops(ops)}
        if any(op.lay is OPS[NONE].lay for op in self.ops.values()):
            raise ValueError(
                f"ops={list(self.ops)}: {NONE!r} would cut the chain; use {SKIP!r} for a layer that is none"
            )
        self.max_depth = integer("max_depth", max_depth)
        self.min_depth = integer("min_depth", min_depth)
        if self.min_depth > self.max_depth:
            raise ValueError(f"min_depth={min_depth}: must not exceed max_depth={max_depth}; exchange the two")
        choices: dict[str, Choice] = {
            "op": Choice(tuple(self.ops)),
            "width": numbers("widths", widths),
            "activation": _activations(activations),
            "dropout": _dropouts(dropouts),
        }
        self._choices = choices
        self.reduce_every = None if reduce_every is None else integer("reduce_every", reduce_every)
        self.residual = bool(residual)
        self.stem = min(int(width) for width in choices["width"].values) if stem is None else integer("stem", stem)

    @abstractmethod
    def skips(self, values: Mapping[str, Value], i: int) -> list[int]:
        """The earlier nodes that layer i takes beside the one before it; node 0 is the stem."""

    @abstractmethod
    def skip_genes(self, i: int) -> list[str]:
        """Names of the Booleans of layer i, from node 0 on."""

    @abstractmethod
    def merged(self, net: Draft, nodes: Sequence[str], sources: Sequence[int]) -> str:
        """The last node and the earlier ones ``sources`` as one input."""

    def parameters(self) -> list[Parameter]:
        genes = []
        if self.max_depth > self.min_depth:
            genes.append(Parameter(DEPTH, Int(self.min_depth, self.max_depth, step=1)))
        for i in range(1, self.max_depth + 1):
            there = (Condition(DEPTH, tuple(range(i, self.max_depth + 1))),) if i > self.min_depth else ()
            for short, choice in self._choices.items():
                if choice.count > 1:
                    genes.append(Parameter(f"layer{i}/{short}", choice, there))
            genes += [Parameter(name, Boolean(), there) for name in self.skip_genes(i)]
        return genes

    def depth(self, values: Mapping[str, Value]) -> int:
        """How many layers there are."""
        return int(values.get(DEPTH, self.max_depth))

    def choice(self, values: Mapping[str, Value], i: int, short: str) -> Value:
        """What layer i chose, or what all layers have."""
        return values.get(f"layer{i}/{short}", self._choices[short].at(0))

    def repair(self, values: Mapping[str, Value]) -> Architecture:
        """As of any space, but a layer that ``values`` does not know is like the one before it, without skips."""
        given = dict(values)
        for i in range(1, self.max_depth + 1):
            for short in self._choices:
                before = f"layer{i - 1}/{short}"
                if f"layer{i}/{short}" not in given and before in given:
                    given[f"layer{i}/{short}"] = given[before]
            for name in self.skip_genes(i):
                given.setdefault(name, False)
        return super().repair(given)

    def stride(self, i: int) -> int:
        """Of layer i on data with positions."""
        return 2 if self.reduce_every is not None and i > 1 and (i - 1) % self.reduce_every == 0 else 1

    def lay(self, arch: Architecture, net: Draft) -> str:
        values = arch.values
        activation = str(self._choices["activation"].at(0))
        with net.scope("stem", block="stem"):
            x = net.input
            width = net.filters(self.stem)
            x = net.conv(x, width, 3) if net.is_spatial(x) else net.dense(x, width, bias=False)
            x = net.batch_norm(x)
            # Where layers are summed, activations stand before weights, so that a sum is not bent.
            nodes = [x if self.residual else net.activation(x, activation)]
        for i in range(1, self.depth(values) + 1):
            op = self.ops[str(self.choice(values, i, "op"))]
            with net.scope(f"layer{i}", block=op.name):
                nodes.append(self._layer(net, nodes, values, i, op))
        if not self.residual:
            return nodes[-1]
        with net.scope("last", block="norm"):
            return net.activation(net.batch_norm(nodes[-1]), activation)

    def _layer(self, net: Draft, nodes: list[str], values: Mapping[str, Value], i: int, op: Op) -> str:
        x = self.merged(net, nodes, self.skips(values, i))
        width = net.filters(int(self.choice(values, i, "width")))
        stride = self.stride(i) if net.is_spatial(x) else 1
        laid = op(net, x, width, stride, str(self.choice(values, i, "activation")), first=self.residual)
        summed = net.laid(laid).kind == "add" and x in net.laid(laid).inputs
        y = net.dropout(laid, float(self.choice(values, i, "dropout")))
        # An identity needs no sum, and an inverted residual has one already.
        if not self.residual or op.lay is OPS[SKIP].lay or summed:
            return y
        shortcut = next((each for each in (x, nodes[-1]) if net.shape(each) == net.shape(y)), None)
        if shortcut is None:
            return y
        with net.scope("residual"):
            return net.add([shortcut, y])

    def canonical(self, arch: Architecture) -> Hashable:
        """Layers that hand on what they get are nothing."""
        values = arch.values
        layers: list[tuple] = []
        places, width = [0], self.stem  # of each node: which layer it really is
        for i in range(1, self.depth(values) + 1):
            op, activation, dropout = (self.choice(values, i, short) for short in ("op", "activation", "dropout"))
            skips = tuple(sorted(places[j] for j in self.skips(values, i)))
            wanted, stride = int(self.choice(values, i, "width")), self.stride(i)
            skip = self.ops[str(op)].lay is OPS[SKIP].lay
            if skip and not skips and not dropout and wanted == width and stride == 1:
                places.append(places[-1])
                continue
            layers.append((op, wanted, "" if skip else activation, dropout, stride, places[-1], skips))
            places.append(len(layers))
            width = wanted
        return tuple(layers)

    # Text and pictures

    def text(self, arch: Architecture) -> str:
        """Layers like ``conv3x3:32:relu:0.1+0+2``: op, width, what else has a choice, and the nodes of its skips."""
        return " > ".join(self._word(arch.values, i) for i in range(1, self.depth(arch.values) + 1))

    def _word(self, values: Mapping[str, Value], i: int) -> str:
        chosen = ":".join(str(self.choice(values, i, short)) for short in self._shown())
        return chosen + "".join(f"+{j}" for j in self.skips(values, i))

    def _shown(self) -> list[str]:
        return [short for short, choice in self._choices.items() if short in ("op", "width") or choice.count > 1]

    def parse(self, text: str) -> dict[str, Value]:
        words = text.split(" > ")
        values: dict[str, Value] = {DEPTH: len(words)}
        for i, word in enumerate(words, 1):
            chosen, *sources = word.split("+")
            for short, part in zip(self._shown(), chosen.split(":"), strict=True):
                domain = self._choices[short]
                values[f"layer{i}/{short}"] = next((v for v in domain.values if str(v) == part), part)
            values.update({f"skip{j}_{i}": True for j in sources})
        return values

    def graphs(self, arch: Architecture) -> dict[str, Graph]:
        """The layers with their widths, and the skips."""
        values, depth = arch.values, self.depth(arch.values)
        labels = [f"{self.choice(values, i, 'op')} {self.choice(values, i, 'width')}" for i in range(1, depth + 1)]
        edges = [(i - 1, i, "") for i in range(1, depth + 1)]
        edges += [(j, i, "skip") for i in range(1, depth + 1) for j in self.skips(values, i)]
        return {"": Graph(("stem", *labels), tuple(edges))}


def _activations(given: Sequence[str]) -> Choice:
    if isinstance(given, str) or not given or not all(isinstance(each, str) and each for each in given):
        raise ValueError(f"activations={given!r}: must be a list of Keras activations, such as ['relu', 'swish']")
    return Choice(tuple(given))


def _dropouts(given: Sequence[float]) -> Choice:
    if isinstance(given, (int, float)) or not given or not all(0 <= rate < 1 for rate in given):
        raise ValueError(f"dropouts={given!r}: must be a list of rates in [0, 1), such as [0.0, 0.2]")
    return Choice(tuple(float(rate) for rate in given), ordered=True)
