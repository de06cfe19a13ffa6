"""Chains of layers."""

from __future__ import annotations

import pytest

from kt_ext import nas
from kt_ext.nas.draft import Scale
from kt_ext.nas.network import Network

SPACE = nas.ChainSpace(
    ["conv3x3", "sep3x3", "skip"], 4, [8, 16], activations=["relu", "swish"], dropouts=[0.0, 0.2], reduce_every=2
)


def net(text: str, space: nas.AbstractArchitectureSpace = SPACE, shape: tuple[int, ...] = (8, 8, 3)) -> Network:
    return space.network(space.from_text(text), shape)


def names(network: Network) -> list[str]:
    return [layer.name for layer in network.layers]


def test_genes_are_all_there_each_on_the_depth_alone():
    found = {gene.name: [list(c.values) for c in gene.conditions] for gene in SPACE.genes.parameters}
    assert list(found)[:5] == ["depth", "layer1/op", "layer1/width", "layer1/activation", "layer1/dropout"]
    assert len(found) == 1 + 4 * 4
    assert found["layer1/op"] == [] and found["layer3/width"] == [[3, 4]] and found["layer4/dropout"] == [[4]]
    few = nas.ChainSpace(["conv3x3"], 3, 8, min_depth=2)
    assert [gene.name for gene in few.genes.parameters] == ["depth"]
    fixed = nas.ChainSpace(["conv3x3", "skip"], 2, [8, 16], min_depth=2)
    assert [gene.name for gene in fixed.genes.parameters] == ["layer1/op", "layer1/width", "layer2/op", "layer2/width"]


def test_layers_lie_in_scopes_that_stay_when_the_chain_grows():
    short = net("conv3x3:8:relu:0.0 > sep3x3:8:relu:0.2")
    long = net("conv3x3:8:relu:0.0 > sep3x3:8:relu:0.2 > conv3x3:16:swish:0.0")
    assert names(short) == [
        "input", "stem/conv", "stem/batch_norm",
        "layer1/activation", "layer1/conv", "layer1/batch_norm", "layer1/residual/add",
        "layer2/activation", "layer2/depthwise", "layer2/conv", "layer2/batch_norm", "layer2/dropout",
        "layer2/residual/add", "last/batch_norm", "last/activation",
    ]  # fmt: skip
    assert set(names(short)) < set(names(long))
    for name in names(short):
        assert short.by_name[name].block == long.by_name[name].block
    assert short.by_name["layer2/dropout"].settings == {"rate": 0.2}


def test_a_sum_joins_equal_shapes_only_and_is_not_bent():
    network = net("conv3x3:16:relu:0.0 > conv3x3:16:relu:0.0 > conv3x3:16:relu:0.0 > skip:16:relu:0.0")
    sums = [layer for layer in network.layers if layer.kind == "add"]
    # Layer 1 widens the stem, layer 3 has a stride, layer 4 is an identity already.
    assert [(layer.name, layer.inputs) for layer in sums] == [
        ("layer2/residual/add", ("layer1/batch_norm", "layer2/batch_norm"))
    ]
    assert network.by_name["last/batch_norm"].inputs == ("layer3/batch_norm",)


def test_an_inverted_residual_is_not_summed_twice():
    space = nas.ChainSpace(["mb3_3x3"], 1, 8)
    assert [layer.name for layer in net("mb3_3x3:8", space).layers if layer.kind == "add"] == ["layer1/add"]


def test_strides_begin_each_further_group():
    space = nas.ChainSpace(["conv3x3"], 5, 4, reduce_every=2, min_depth=5)
    network = net(" > ".join(["conv3x3:4"] * 5), space, (9, 8, 1))
    sizes = [network.by_name[f"layer{i}/conv"].shape[:2] for i in range(1, 6)]
    assert sizes == [(9, 8), (9, 8), (5, 4), (5, 4), (3, 2)]


def test_series_and_vectors():
    series = net("conv3x3:8:relu:0.0 > sep3x3:8:relu:0.0 > conv3x3:8:relu:0.0", shape=(10, 2))
    assert series.output.shape == (5, 8)
    dense = nas.ChainSpace(["dense"], 3, [4, 8], reduce_every=1)
    network = net("dense:4 > dense:8", dense, (6,))
    assert network.output.shape == (8,)
    stem, first, second, last = 6 * 4 + 16, 16 + 16, 32 + 32, 32
    assert network.params == stem + first + second + last


def test_without_residuals_activations_follow():
    space = nas.ChainSpace(["conv3x3"], 1, 8, residual=False, stem=4, activations=["tanh"])
    assert names(net("conv3x3:8", space)) == [
        "input", "stem/conv", "stem/batch_norm", "stem/activation",
        "layer1/conv", "layer1/batch_norm", "layer1/activation",
    ]  # fmt: skip


def test_identities_are_the_same_network_wherever_they_stand():
    space = nas.ChainSpace(["conv3x3", "skip"], 3, [8, 16])

    def key(text):
        return space.canonical(space.from_text(text))

    assert key("skip:8 > conv3x3:8") == key("conv3x3:8") == key("conv3x3:8 > skip:8 > skip:8")
    assert key("skip:16 > conv3x3:16") != key("conv3x3:16")  # it widens
    assert key("conv3x3:8 > conv3x3:8") != key("conv3x3:8")
    # With strides the place counts, and so does the activation of all but an identity.
    texts = ["skip:8:relu:0.0 > conv3x3:8:relu:0.0", "skip:8:swish:0.0 > conv3x3:8:relu:0.0", "conv3x3:8:swish:0.0"]
    first, second, third = (SPACE.canonical(SPACE.from_text(text)) for text in texts)
    assert first == second != third


def test_a_new_layer_is_like_the_last_one():
    arch = SPACE.from_text("conv3x3:8:relu:0.0 > sep3x3:16:swish:0.2")
    deeper = [str(near) for near in SPACE.neighbours(arch) if near.values["depth"] == 3]
    assert deeper == ["conv3x3:8:relu:0.0 > sep3x3:16:swish:0.2 > sep3x3:16:swish:0.2"]


def test_scale_narrows_all_widths():
    arch = SPACE.from_text("conv3x3:16:relu:0.0")
    network = SPACE.network(arch, (8, 8, 3), scale=Scale(filters=0.25))
    assert [layer.shape[-1] for layer in network.layers if layer.kind == "conv"] == [2, 4]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"ops": ["conv9x9"]}, "op='conv9x9': must be one of conv1x1"),
        ({"ops": []}, "must be a list of operations"),
        ({"ops": "conv3x3"}, "must be a list of operations"),
        ({"ops": ["conv3x3", "conv3x3"]}, "each must stand there once"),
        ({"ops": ["conv3x3", "none"]}, "'none' would cut the chain; use 'skip'"),
        ({"max_depth": 0}, "max_depth=0: must be an integer >= 1"),
        ({"max_depth": 2.0}, "max_depth=2.0: must be an integer >= 1"),
        ({"min_depth": 0}, "min_depth=0: must be an integer >= 1"),
        ({"min_depth": 5}, "min_depth=5: must not exceed max_depth=4; exchange the two"),
        ({"widths": []}, r"widths=\[\]: must be an integer >= 1, or a list of such"),
        ({"widths": [8, 0]}, r"widths=\[8, 0\]: must be an integer >= 1"),
        ({"widths": [8, 8]}, "each must stand there once"),
        ({"activations": "relu"}, "activations='relu': must be a list of Keras activations"),
        ({"activations": []}, "must be a list of Keras activations"),
        ({"dropouts": 0.2}, "dropouts=0.2: must be a list of rates"),
        ({"dropouts": [1.0]}, r"dropouts=\[1.0\]: must be a list of rates in \[0, 1\)"),
        ({"reduce_every": 0}, "reduce_every=0: must be an integer >= 1"),
        ({"stem": 0}, "stem=0: must be an integer >= 1"),
        ({"name": "tuner/x"}, "name='tuner/x'"),
    ],
)
@pytest.mark.parametrize("kind", [nas.ChainSpace, nas.SkipSpace])
def test_wrong_arguments_are_named(kind, arguments, text):
    given = {"ops": ["conv3x3"], "max_depth": 4, "widths": [8, 16], **arguments}
    with pytest.raises(ValueError, match=text):
        kind(**given)


def test_a_convolution_on_vectors_is_refused():
    with pytest.raises(ValueError, match=r"op 'conv3x3': needs positions beside channels, the input has shape \(8,\)"):
        net("conv3x3:8:relu:0.0", shape=(5,))
