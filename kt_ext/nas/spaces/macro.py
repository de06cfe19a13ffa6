"""NAS-Bench-Macro's space (Su et al., 2021): eight layers, each an identity or one of two inverted residuals."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from kt_ext.core.decision import Value
from kt_ext.core.space import Choice, Parameter
from kt_ext.nas.draft import Draft
from kt_ext.nas.ops import make_op, project
from kt_ext.nas.space import AbstractArchitectureSpace, Architecture

OPERATIONS = ("identity", "mb3_3x3", "mb6_5x5")
#: Width and layers of each stage; its first layer halves the size.
STAGES = ((64, 2), (128, 3), (256, 3))
STEM, LAST = 32, 1280


class MacroSpace(AbstractArchitectureSpace):
    """Genes ``layer0`` to ``layer7``. ``str`` is the benchmark's own: a digit for each layer, 0 the identity.

    An identity at the head of a stage is a strided 1x1 convolution with normalization.
    """

    def parameters(self) -> list[Parameter]:
        return [Parameter(f"layer{number}", Choice(OPERATIONS)) for number in range(sum(n for _, n in STAGES))]

    def lay(self, arch: Architecture, net: Draft) -> str:
        with net.scope("stem", block="stem"):
            x = net.activation(net.batch_norm(net.conv(net.input, net.filters(STEM), 3)), "relu")
        for width, layers in self._stages(arch):
            for place, (gene, op) in enumerate(layers):
                stride = 2 if place == 0 else 1
                with net.scope(gene, block=op):
                    if op != OPERATIONS[0]:
                        x = make_op(op)(net, x, net.filters(width), stride)
                    elif place == 0:
                        x = project(net, x, net.filters(width), stride, "linear", False)
        with net.scope("last", block="conv1x1"):
            return net.activation(net.batch_norm(net.conv(x, net.filters(LAST), 1)), "relu")

    def canonical(self, arch: Architecture) -> Hashable:
        """Identities after the first layer of a stage are nothing."""
        return tuple(
            tuple(op for place, (_, op) in enumerate(layers) if place == 0 or op != OPERATIONS[0])
            for _, layers in self._stages(arch)
        )

    def text(self, arch: Architecture) -> str:
        return "".join(str(OPERATIONS.index(str(op))) for _, op in arch.genes)

    def parse(self, text: str) -> dict[str, Value]:
        return {f"layer{number}": OPERATIONS[int(digit)] for number, digit in enumerate(text) if digit in "012"}

    def _stages(self, arch: Architecture) -> Iterator[tuple[int, list[tuple[str, str]]]]:
        genes = [(name, str(op)) for name, op in arch.genes]
        for width, count in STAGES:
            yield width, genes[:count]
            genes = genes[count:]
