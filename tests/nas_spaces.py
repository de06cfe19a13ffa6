"""One small space of each kind, for the tests that all of them must pass."""

from __future__ import annotations

from collections.abc import Sequence

from kt_ext import nas
from kt_ext.core.space import Choice, Condition, Int, Parameter


class Pyramid(nas.AbstractArchitectureSpace):
    """A space as a user writes one: up to three stages, each of a width and with an operation."""

    def parameters(self) -> Sequence[Parameter]:
        genes = [Parameter("stages", Int(1, 3, step=1)), Parameter("op", Choice(("conv3x3", "sep3x3")))]
        for stage in (1, 2, 3):
            there = (Condition("stages", tuple(range(stage, 4))),)
            genes.append(Parameter(f"width{stage}", Int(4, 12, step=4), there))
        return genes

    def lay(self, arch: nas.Architecture, net: nas.Draft) -> str:
        x = net.input
        for stage in range(1, arch.values["stages"] + 1):
            with net.scope(f"stage{stage}", block=arch.values["op"]):
                x = nas.OPS[arch.values["op"]](net, x, net.filters(arch.values[f"width{stage}"]), stride=2)
        return x


CELL_OPS = ("conv3x3", "skip", "none", "maxpool3x3")
BLOCKS = ("conv3x3", "sep5x5", "mb3_3x3", "avgpool3x3", "skip")

#: Spaces by a word, each with the input shape of one example.
SPACES: dict[str, tuple[nas.AbstractArchitectureSpace, tuple[int, ...]]] = {
    "chain": (
        nas.ChainSpace(BLOCKS, 5, [4, 6], activations=["relu", "swish"], dropouts=[0.0, 0.3], reduce_every=2),
        (7, 9, 3),
    ),
    "chain of plain layers": (nas.ChainSpace(BLOCKS, 4, [4, 6], residual=False, min_depth=2, stem=5), (8, 8, 1)),
    "chain on series": (nas.ChainSpace(BLOCKS, 4, [4, 6], reduce_every=2), (13, 3)),
    "chain on vectors": (nas.ChainSpace(["dense", "skip"], 5, [4, 6, 8], reduce_every=2), (7,)),
    "skip, add": (nas.SkipSpace(BLOCKS, 5, [4, 6], reduce_every=2), (7, 5, 3)),
    "skip, concat": (nas.SkipSpace(BLOCKS, 5, [4, 6], merge="concat", reduce_every=2), (7, 5, 3)),
    "skip of plain layers": (nas.SkipSpace(BLOCKS, 4, [4, 6], residual=False, reduce_every=2), (9, 9, 2)),
    "skip on vectors": (nas.SkipSpace(["dense"], 5, [4, 6], merge="concat"), (7,)),
    "edges": (
        nas.CellSpace(CELL_OPS, 4, stacks=[1, 2, 3], cells_per_stack=[1, 2], filters=[2, 4], name="cells"),
        (9, 7, 3),
    ),
    "edges on vectors": (nas.CellSpace(["dense", "skip", "none"], 3, stacks=2, filters=4), (6,)),
    "pairs": (nas.CellSpace(CELL_OPS, 3, "pairs", stacks=2, filters=4), (5, 9, 3)),
    "pairs, residual": (nas.CellSpace(CELL_OPS, 2, "pairs", ("normal",), stacks=2, filters=4), (5, 1, 3)),
    "dag": (nas.CellSpace(["conv3x3", "maxpool3x3"], 5, "dag", filters=4, stacks=2), (8, 8, 3)),
    "nb201": (nas.nb201(cells_per_stack=1, filters=4), (8, 8, 3)),
    "nb101": (nas.nb101(stacks=2, cells_per_stack=1, filters=8), (8, 8, 3)),
    "darts": (nas.darts(stacks=2, cells_per_stack=1, filters=2), (8, 8, 3)),
    "nb_macro": (nas.nb_macro(), (8, 8, 3)),
    "a user's": (Pyramid("pyramid"), (8, 8, 3)),
}
