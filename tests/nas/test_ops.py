"""The operations: what they lay, what it costs, and an operation of one's own; all without Keras."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kt_ext.nas.draft import Draft, Scale
from kt_ext.nas.network import Network
from kt_ext.nas.ops import OPS, Op, make_op, make_ops, matched, op, project

IMAGE, SERIES, VECTOR = (7, 8, 3), (9, 3), (5,)


def laid(name: str, shape: tuple[int, ...], filters: int = 4, stride: int = 1, first: bool = False) -> Network:
    """The network of one operation."""
    net = Draft(shape)
    return net.finish(OPS[name](net, net.input, filters, stride, "relu", first))


def kinds(network: Network) -> list[str]:
    return [layer.kind for layer in network.layers[1:]]


@pytest.fixture
def own_names() -> Iterator[None]:
    """Forgets the operations that a test adds."""
    before = dict(OPS)
    yield
    OPS.clear()
    OPS.update(before)


# What is laid


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [IMAGE, SERIES, VECTOR])
@pytest.mark.parametrize("name", OPS)
def test_every_op_gives_the_filters_and_the_strided_size(
    name: str, shape: tuple[int, ...], stride: int, first: bool
) -> None:
    if OPS[name].spatial and shape is VECTOR:
        with pytest.raises(ValueError, match=rf"op '{name}': needs positions beside channels.*\(5,\)"):
            laid(name, shape, 4, stride, first)
        return
    positions = tuple((size + stride - 1) // stride for size in shape[:-1])
    for filters in (shape[-1], 4):
        assert laid(name, shape, filters, stride, first).output.shape == (*positions, filters)


@pytest.mark.parametrize(
    ("name", "after", "first"),
    [
        ("conv3x3", ["conv", "batch_norm", "activation"], ["activation", "conv", "batch_norm"]),
        (
            "sep5x5",
            ["depthwise", "conv", "batch_norm", "activation"],
            ["activation", "depthwise", "conv", "batch_norm"],
        ),
        (
            "dil3x3",
            ["depthwise", "conv", "batch_norm", "activation"],
            ["activation", "depthwise", "conv", "batch_norm"],
        ),
        ("dense", ["conv", "batch_norm", "activation"], ["activation", "conv", "batch_norm"]),
        ("maxpool3x3", ["max_pool", "conv", "batch_norm"], ["max_pool", "conv", "batch_norm"]),
        ("skip", ["conv", "batch_norm"], ["conv", "batch_norm"]),
        ("none", ["zero"], ["zero"]),
    ],
)
def test_the_activation_stands_after_the_normalization_or_first(name: str, after: list[str], first: list[str]) -> None:
    assert kinds(laid(name, IMAGE)) == after
    assert kinds(laid(name, IMAGE, first=True)) == first


def test_a_skip_and_a_pool_of_equal_width_have_no_weights() -> None:
    assert kinds(laid("skip", IMAGE, filters=3)) == []
    assert kinds(laid("avgpool2x2", IMAGE, filters=3, stride=2)) == ["avg_pool"]


def test_an_inverted_residual_is_added_where_the_shape_stays() -> None:
    block = ["conv", "batch_norm", "activation", "depthwise", "batch_norm", "activation", "conv", "batch_norm"]
    assert kinds(laid("mb6_5x5", IMAGE, filters=3)) == [*block, "add"]
    assert kinds(laid("mb6_5x5", IMAGE, filters=3, stride=2)) == block
    assert [layer.shape[-1] for layer in laid("mb6_5x5", IMAGE).layers if layer.kind == "depthwise"] == [18]


def test_a_dilated_op_is_dilated_where_it_has_no_stride() -> None:
    def dilation(stride: int) -> int:
        layers = laid("dil5x5", IMAGE, stride=stride).layers
        return next(layer.settings["dilation"] for layer in layers if layer.kind == "depthwise")

    assert (dilation(1), dilation(2)) == (2, 1)
    net = Draft(IMAGE)
    with pytest.raises(ValueError, match=r"dilation=2 with stride=2: .*lay two layers"):
        net.depthwise(net.input, stride=2, dilation=2)


# What it costs: counted by hand


@pytest.mark.parametrize(
    ("name", "shape", "params", "flops"),
    [
        ("conv3x3", IMAGE, 3 * 3 * 3 * 4 + 4 * 4, 3 * 3 * 3 * 4 * 56),
        ("conv3x3", SERIES, 3 * 3 * 4 + 4 * 4, 3 * 3 * 4 * 9),
        ("sep3x3", IMAGE, 3 * 3 * 3 + 3 * 4 + 4 * 4, (3 * 3 * 3 + 3 * 4) * 56),
        ("dense", VECTOR, 5 * 4 + 4 * 4, 5 * 4),
        ("dense", IMAGE, 3 * 4 + 4 * 4, 3 * 4 * 56),
        ("avgpool3x3", IMAGE, 3 * 4 + 4 * 4, 3 * 4 * 56),
        ("none", IMAGE, 0, 0),
    ],
)
def test_params_and_flops(name: str, shape: tuple[int, ...], params: int, flops: int) -> None:
    network = laid(name, shape)
    assert (network.params, network.flops) == (params, flops)


def test_matched_projects_without_bending() -> None:
    net = Draft(IMAGE)
    assert matched(net, net.input, 3) == net.input
    assert kinds(net.finish(matched(net, net.input, 3, stride=2))) == ["conv", "batch_norm"]
    vector = Draft(VECTOR)
    assert kinds(vector.finish(project(vector, vector.input, 3, 1, "relu", True))) == [
        "activation", "dense", "batch_norm",
    ]  # fmt: skip


# An operation of one's own


@pytest.mark.usefixtures("own_names")
def test_an_own_op_takes_the_arguments_that_it_names() -> None:
    @op("twice", spatial=False)
    def twice(net: Draft, x: str, filters: int, activation: str) -> str:
        return net.activation(net.dense(net.dense(x, filters), filters), activation)

    assert isinstance(twice, Op)
    assert make_op("twice") is twice
    assert kinds(laid("twice", VECTOR)) == ["dense", "dense", "activation"]


@pytest.mark.usefixtures("own_names")
def test_an_own_op_may_take_no_other_arguments() -> None:
    with pytest.raises(TypeError, match=r"op 'odd': its function must take \(net, x\).*it takes \(net, x, width\)"):
        op("odd")(lambda net, x, width: x)
    assert "odd" not in OPS


def test_names_of_ops() -> None:
    conv, skip = make_ops(["conv3x3", OPS["skip"]])
    assert (conv, skip) == (OPS["conv3x3"], OPS["skip"])
    with pytest.raises(ValueError, match=r"op='conv4x4': must be one of conv1x1, .*@kt_ext.nas.op"):
        make_ops(["conv4x4"])
    with pytest.raises(TypeError, match="op=3: must be a name"):
        make_ops([3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="each must stand there once"):
        make_ops(["skip", "skip"])
    for wrong in ([], "skip"):
        with pytest.raises(ValueError, match="must be a list of operations"):
            make_ops(wrong)


# The draft


@pytest.mark.parametrize("shape", [(), (0, 3), (8.0, 3), 32])
def test_an_input_shape_is_of_integers(shape: object) -> None:
    with pytest.raises(ValueError, match=r"input_shape=.*: must be integers >= 1, without the batch"):
        Draft(shape)  # type: ignore[arg-type]


def test_a_scale_is_a_share() -> None:
    assert Draft(IMAGE, Scale(filters=0.25)).filters(30) == 8
    assert Draft(IMAGE, Scale(filters=0.01)).filters(30) == 1
    for filters in (0, 1.5):
        with pytest.raises(ValueError, match=rf"filters={filters}: must be in \(0, 1\]"):
            Scale(filters=filters)
    with pytest.raises(ValueError, match="cells=0: must be an integer >= 1"):
        Scale(cells=0)


def test_shapes_that_do_not_fit_are_refused() -> None:
    net = Draft(IMAGE)
    wide, small = net.conv(net.input, 4), net.max_pool(net.input)
    with pytest.raises(ValueError, match=r"add of shapes \[\(7, 8, 3\), \(7, 8, 4\)\]: must be equal"):
        net.add([net.input, wide])
    with pytest.raises(ValueError, match="must agree in all but their channels"):
        net.concat([wide, small])
    assert net.shape(net.concat([net.input, wide])) == (7, 8, 7)
    assert net.add([wide]) == wide


def test_layers_that_the_output_does_not_need_are_left_out() -> None:
    net = Draft(IMAGE)
    net.conv(net.input, 64)
    kept = net.conv(net.input, 2)
    assert [layer.name for layer in net.finish(kept).layers] == ["input", "conv_1"]
