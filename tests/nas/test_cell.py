"""Stacks of cells, and the cells of DARTS and NAS-Bench-101."""

from __future__ import annotations

import pytest

from kt_ext import nas
from kt_ext.nas.draft import Scale
from kt_ext.nas.network import Network
from kt_ext.nas.spaces.cell_edges import EdgesTopology

OPS = ["conv3x3", "skip", "none"]
CONVS = "|conv3x3~0|+|conv3x3~0|conv3x3~1|"


def names(network: Network, prefix: str) -> list[str]:
    return [layer.name.removeprefix(prefix) for layer in network.layers if layer.name.startswith(prefix)]


def test_a_reduce_cell_halves_and_widens():
    space = nas.CellSpace(OPS, 3, cells_per_stack=2, filters=4)
    arch = space.from_text(f"normal={CONVS} reduce=|skip~0|+|conv3x3~0|skip~1|")
    network = space.network(arch, (9, 8, 3))
    assert [network.by_name[f"stack{i}/cell1/node2/add"].shape for i in range(3)] == [(9, 8, 4), (5, 4, 8), (3, 2, 16)]
    # Its edges from the input have the stride, the others do not.
    assert network.by_name["stack1/reduce/edge0_1/conv"].settings == {
        "filters": 8, "kernel": 1, "stride": 2, "bias": False,
    }  # fmt: skip
    assert network.by_name["stack1/reduce/edge0_2/conv"].settings["stride"] == 2
    assert names(network, "stack1/reduce/edge1_2") == []
    assert names(network, "stack0/reduce") == [] and names(network, "stack2/reduction") == []
    assert names(network, "last") == ["/batch_norm", "/activation"]


def test_a_strided_skip_is_no_identity():
    topology = EdgesTopology(nas.CellSpace(OPS, 3).topology.ops, 3)
    values = {"1<-0": "skip", "2<-0": "conv3x3", "2<-1": "skip"}
    assert topology.canonical(values, fitting=True) == "(0)@conv3x3+0"
    assert topology.canonical(values, fitting=False) == "(0)@conv3x3+(0)@skip"
    first, second = "|skip~0|+|conv3x3~0|none~1|", "|skip~0|+|none~0|conv3x3~1|"
    for reduction, same in (("residual", True), ("max_pool", False)):  # which leaves the width to the cell
        space = nas.CellSpace(OPS, 3, cells=("normal",), reduction=reduction)
        assert (space.canonical(space.from_text(first)) == space.canonical(space.from_text(second))) == same


def test_cells_of_one_stack_have_no_use_for_the_reduce_cell():
    space = nas.CellSpace(OPS, 3, stacks=[1, 2])
    texts = [f"normal={CONVS} reduce=|{op}~0|+|none~0|skip~1| stacks=" for op in OPS]
    assert len({space.canonical(space.from_text(text + "1")) for text in texts}) == 1
    assert len({space.canonical(space.from_text(text + "2")) for text in texts}) == 3
    assert list(space.graphs(space.from_text(texts[0] + "1"))) == ["normal"]


def test_scale_sets_cells_and_filters():
    space = nas.nb201()
    arch = space.from_text("|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_1x1~2|")
    small = space.network(arch, (32, 32, 3), scale=Scale(filters=0.5, cells=1))
    assert small.params == nas.nb201(cells_per_stack=1, filters=8).params(arch, (32, 32, 3))


def test_pairs_take_two_different_outputs():
    space = nas.CellSpace(["conv3x3", "skip"], 2, "pairs", stacks=2, filters=4)
    assert [gene.name for gene in space.genes.parameters][:5] == [
        "normal/0/op0", "normal/0/op1", "normal/1/inputs", "normal/1/op0", "normal/1/op1",
    ]  # fmt: skip
    assert space.genes.parameters[2].domain.values == ("0,1", "0,2", "1,2")
    cell = "|conv3x3~0|skip~1|+|skip~0|conv3x3~2|"
    network = space.network(space.from_text(f"normal={cell} reduce={cell}"), (9, 7, 3))
    assert network.by_name["stack0/cell0/output/concat"].shape == (9, 7, 8)
    assert network.by_name["stack1/reduce/output/concat"].shape == (5, 4, 16)
    assert network.by_name["stack1/reduce/edge2_3/conv"].settings["stride"] == 1
    # The first cell behind a reduction sees the larger cell before, through a strided projection.
    assert network.by_name["stack1/cell0/before/conv"].settings["stride"] == 2
    assert network.by_name["stack1/cell0/before/activation"].inputs == ("stack0/cell0/output/concat",)
    assert network.by_name["stack1/cell0/input/activation"].inputs == ("stack1/reduce/output/concat",)


def test_the_order_of_pairs_does_not_matter():
    space = nas.CellSpace(["conv3x3", "sep3x3", "skip"], 3, "pairs", ("normal",))

    def key(text):
        return space.canonical(space.from_text(text))

    first, second = "|conv3x3~0|skip~1|", "|sep3x3~0|skip~1|"
    assert key(f"{first}+{second}+|skip~2|conv3x3~3|") == key(f"{second}+{first}+|conv3x3~2|skip~3|")
    assert key(f"{first}+{second}+|skip~2|conv3x3~3|") != key(f"{second}+{first}+|skip~2|conv3x3~3|")
    assert key(f"{first}+{first}+|skip~0|conv3x3~2|") == key(f"{first}+{first}+|skip~0|conv3x3~3|")
    assert key(f"{first}+{first}+|skip~2|conv3x3~3|") != key(f"{first}+{first}+|skip~0|conv3x3~3|")


def test_darts_has_eight_nodes_to_decide_and_20_cells():
    space = nas.darts()
    assert space.size == (180 * 7**8) ** 2
    network = space.network(space.repair({}), (32, 32, 3))
    outputs = [layer for layer in network.layers if layer.name.endswith("output/concat")]
    assert len(outputs) == 20
    assert [layer.shape for layer in outputs[::7]] == [(32, 32, 144), (16, 16, 288), (8, 8, 576)]
    assert network.by_name["stem/conv"].settings["filters"] == 108
    assert space.encode(space.repair({})).shape == (2 * 14 * 7,)


def test_a_dag_splits_its_width_among_what_it_gives():
    space = nas.CellSpace(["conv3x3", "conv1x1"], 5, "dag", ("normal",), stacks=1, filters=7)
    # 0 -> 1, 2, 4; 1 -> 3; 2 -> 4; 3 -> 4
    arch = space.from_text("1101/010/01/1:conv3x3,conv1x1,conv3x3")
    network = space.network(arch, (8, 8, 3))
    cell = "stack0/cell0/"
    assert [network.by_name[f"{cell}node{node}/activation"].shape[-1] for node in (1, 2, 3)] == [3, 4, 3]
    assert network.by_name[f"{cell}output/concat"].inputs == (f"{cell}node2/activation", f"{cell}node3/activation")
    assert network.by_name[f"{cell}output/edge0_4/conv"].shape == (8, 8, 7)
    assert network.output.name == f"{cell}output/add"


def test_a_dag_leaves_out_what_has_no_effect():
    space = nas.CellSpace(["conv3x3", "conv1x1"], 5, "dag", ("normal",), stacks=1, filters=4)
    arch = space.from_text("1100/000/01/0:conv3x3,conv1x1,conv3x3")
    (graph,) = space.graphs(arch).values()
    assert graph.nodes == ("input", "conv1x1", "output") and graph.edges == ((0, 1, ""), (1, 2, ""))
    other = space.from_text("0100/000/01/0:conv1x1,conv1x1,conv1x1")
    assert space.canonical(arch) == space.canonical(other)
    assert (space.encode(arch) == space.encode(other)).all()
    assert space.params(arch, (8, 8, 3)) == space.params(other, (8, 8, 3))


def test_nb101_is_stacked_as_in_the_paper():
    space = nas.nb101()
    ops = ["conv3x3-bn-relu", "conv1x1-bn-relu", *["maxpool3x3"] * 3]
    network = space.network(space.from_text("110000/00001/0001/000/00/0:" + ",".join(ops)), (32, 32, 3))
    outputs = [layer.shape for layer in network.layers if layer.kind == "concat"]
    assert outputs == [(32, 32, 128)] * 3 + [(16, 16, 256)] * 3 + [(8, 8, 512)] * 3
    assert [layer.name for layer in network.layers if layer.kind == "max_pool" and "reduction" in layer.name] == [
        "stack1/reduction/max_pool", "stack2/reduction/max_pool",
    ]  # fmt: skip


def test_nb101_has_the_published_size():
    # The Inception-like module that its repository shows: 2,694,282 weights that are trained.
    space = nas.nb101()
    conv1, conv3 = "conv1x1-bn-relu", "conv3x3-bn-relu"
    ops = ",".join([conv1, conv3, conv3, conv3, "maxpool3x3"])
    network = space.network(space.from_text(f"111010/00001/0001/100/01/1:{ops}"), (32, 32, 3), nas.classifier(10))
    moving = sum(layer.params // 2 for layer in network.layers if layer.kind == "batch_norm")
    assert network.params - moving == 2_694_282


def test_pictures_name_operations():
    space = nas.CellSpace(OPS, 3)
    graphs = space.graphs(space.from_text("normal=|conv3x3~0|+|none~0|skip~1| reduce=|none~0|+|none~0|none~1|"))
    assert graphs["normal"].nodes == ("input", "1", "output")
    assert graphs["normal"].edges == ((0, 1, "conv3x3"), (1, 2, "skip"))
    assert graphs["reduce"].edges == ()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"ops": ["conv"]}, "op='conv': must be one of conv1x1"),
        ({"ops": []}, "must be a list of operations"),
        ({"nodes": 1}, "nodes=1: must be an integer >= 2"),
        ({"nodes": 2, "inputs": "dag"}, "nodes=2: must be an integer >= 3"),
        ({"inputs": "x"}, "inputs='x': must be one of 'edges', 'pairs', 'dag'"),
        ({"cells": ("reduce",)}, r"cells=\('reduce',\): must be \('normal',\) or \('normal', 'reduce'\)"),
        ({"reduction": "residual"}, "reduction='residual' with cells=.*leave it out to have what fits"),
        ({"reduction": "cell", "cells": ("normal",)}, "reduction='cell' with cells="),
        ({"stacks": 0}, "stacks=0: must be an integer >= 1, or a list of such"),
        ({"stacks": [2, 2]}, "each must stand there once"),
        ({"cells_per_stack": []}, r"cells_per_stack=\[\]: must be an integer"),
        ({"filters": 1.5}, "filters=1.5: must be an integer"),
        ({"stem_multiplier": 0}, "stem_multiplier=0: must be an integer >= 1"),
    ],
)
def test_wrong_arguments_of_cells_are_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        nas.CellSpace(**{"ops": OPS, **arguments})
