"""Chains with skip connections."""

from __future__ import annotations

import pytest

from kt_ext import nas
from kt_ext.nas.network import Network
from kt_ext.nas.spaces.arguments import stride_between

OPS = ["conv3x3", "skip"]


def net(space: nas.SkipSpace, text: str, shape: tuple[int, ...] = (8, 8, 3)) -> Network:
    return space.network(space.from_text(text), shape)


def inputs(network: Network, name: str) -> tuple[str, ...]:
    return network.by_name[name].inputs


def test_the_graph_of_211_values():
    space = nas.SkipSpace(["conv3x3", "sep3x3"], 20, 16)
    found = [gene.name for gene in space.genes.parameters]
    assert len(found) == 211
    assert found[:8] == [
        "depth",
        *(f"layer{i}/op" for i in (1, 2)),
        "skip0_2",
        "layer3/op",
        "skip0_3",
        "skip1_3",
        "layer4/op",
    ]
    assert {c.parent for gene in space.genes.parameters for c in gene.conditions} == {"depth"}


def test_added_skips_end_in_a_normalization():
    space = nas.SkipSpace(OPS, 4, [4, 8], reduce_every=2)
    network = net(space, "conv3x3:4 > conv3x3:4+0 > conv3x3:8+0+1")
    # Layer 2 takes the stem, of equal shape; layer 3 the stem and layer 1, of its input's shape too.
    assert inputs(network, "layer2/merge/add") == ("layer1/residual/add", "layer2/skip0/batch_norm")
    assert inputs(network, "layer2/skip0/batch_norm") == ("stem/batch_norm",)
    assert inputs(network, "layer2/residual/add") == ("layer2/merge/add", "layer2/batch_norm")
    assert inputs(network, "layer3/merge/add") == (
        "layer2/residual/add", "layer3/skip0/batch_norm", "layer3/skip1/batch_norm",
    )  # fmt: skip
    further = net(space, "conv3x3:4 > conv3x3:4 > conv3x3:8 > conv3x3:8+0+2", (5, 7, 3))
    projected = further.by_name["layer4/skip0/conv"]
    assert projected.inputs == ("stem/batch_norm",) and projected.shape == (3, 4, 8)
    assert projected.settings["kernel"] == 1 and projected.settings["stride"] == 2
    assert inputs(further, "layer4/skip0/batch_norm") == ("layer4/skip0/conv",)


def test_concatenated_skips_keep_their_channels():
    space = nas.SkipSpace(OPS, 4, [4, 8], merge="concat", reduce_every=2)
    network = net(space, "conv3x3:8 > conv3x3:8+0 > conv3x3:8 > conv3x3:8+0+1")
    assert network.by_name["layer2/merge/concat"].shape == (8, 8, 12)
    assert inputs(network, "layer2/merge/concat") == ("layer1/batch_norm", "stem/batch_norm")
    # Without the skip the layer's output goes to the chain's own edge.
    assert inputs(network, "layer2/residual/add") == ("layer1/batch_norm", "layer2/batch_norm")
    assert network.by_name["layer4/skip0/conv"].shape == (4, 4, 4)
    assert network.by_name["layer4/merge/concat"].shape == (4, 4, 8 + 4 + 8)


def test_names_stay_when_a_skip_is_added():
    space = nas.SkipSpace(OPS, 3, [4])
    plain, more = net(space, "conv3x3:4 > conv3x3:4 > conv3x3:4"), net(space, "conv3x3:4 > conv3x3:4 > conv3x3:4+1")
    assert {layer.name for layer in more.layers} - {layer.name for layer in plain.layers} == {
        "layer3/skip1/batch_norm", "layer3/merge/add",
    }  # fmt: skip
    assert {layer.name for layer in plain.layers} < {layer.name for layer in more.layers}


def test_canonical_form_follows_skips_through_identities():
    space = nas.SkipSpace(OPS, 4, [4])

    def key(text):
        return space.canonical(space.from_text(text))

    assert key("skip:4 > conv3x3:4 > conv3x3:4+1") == key("conv3x3:4 > conv3x3:4+0")
    assert key("skip:4 > conv3x3:4 > conv3x3:4+1") == key("skip:4 > conv3x3:4 > conv3x3:4+0")
    assert key("conv3x3:4 > conv3x3:4+0") != key("conv3x3:4 > conv3x3:4")
    assert key("conv3x3:4 > skip:4+0") != key("conv3x3:4 > skip:4")


def test_a_new_layer_comes_without_skips():
    space = nas.SkipSpace(OPS, 4, [4])
    arch = space.from_text("conv3x3:4 > conv3x3:4+0")
    assert "conv3x3:4 > conv3x3:4+0 > conv3x3:4" in [str(near) for near in space.neighbours(arch)]


def test_vectors():
    space = nas.SkipSpace(["dense"], 3, [4, 6])
    network = net(space, "dense:4 > dense:6+0 > dense:6+0+1", (5,))
    assert network.by_name["layer2/skip0/batch_norm"].shape == (4,)
    assert network.by_name["layer3/skip1/dense"].shape == (6,)


def test_strides_between_sizes():
    assert stride_between((9, 7, 3), (9, 7, 8)) == 1
    assert stride_between((9, 7, 3), (5, 4, 3)) == 2
    assert stride_between((5, 1, 3), (2, 1, 3)) == 3  # halved twice: 5, 3, 2
    assert stride_between((4,), (6,)) == 1
    with pytest.raises(ValueError, match=r"shapes \(4, 4, 1\) and \(3, 4, 1\): no stride leads from"):
        stride_between((4, 4, 1), (3, 4, 1))


def test_pictures_show_skips():
    space = nas.SkipSpace(OPS, 4, [4, 8])
    (graph,) = space.graphs(space.from_text("conv3x3:4 > skip:8+0 > conv3x3:4+1")).values()
    assert graph.nodes == ("stem", "conv3x3 4", "skip 8", "conv3x3 4")
    assert graph.edges == ((0, 1, ""), (1, 2, ""), (2, 3, ""), (0, 2, "skip"), (1, 3, "skip"))


def test_wrong_merge_is_named():
    with pytest.raises(ValueError, match="merge='sum': must be 'add' or 'concat'"):
        nas.SkipSpace(OPS, 4, [4], merge="sum")
