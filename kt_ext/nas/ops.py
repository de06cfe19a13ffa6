"""The operations that architectures choose from, and the decorator that adds one of your own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from kt_ext.nas.draft import Draft

#: Lays an operation: ``lay(net, x, filters, stride, activation, first)`` returns the name of its last layer.
Lay = Callable[[Draft, str, int, int, str, bool], str]


@dataclass(frozen=True)
class Op:
    """An operation: one or several layers from a number of channels to ``filters``.

    Attributes:
        name: as it stands in hyperparameters and pictures.
        lay: see ``Lay``. ``first`` says whether the activation comes before the weights (as in NAS-Bench-201 and DARTS,
            whose cells sum what no activation has bent yet) or after the normalization.
        spatial: whether it needs positions beside channels.
    """

    name: str
    lay: Lay = field(compare=False, repr=False)
    spatial: bool = True

    def __call__(
        self, net: Draft, x: str, filters: int, stride: int = 1, activation: str = "relu", first: bool = False
    ) -> str:
        """Lay it in the scope as it is. Raises ValueError where it needs positions and ``x`` has none."""
        if self.spatial and not net.is_spatial(x):
            raise ValueError(f"op {self.name!r}: needs positions beside channels, the input has shape {net.shape(x)}")
        return self.lay(net, x, filters, stride, activation, first)


OPS: dict[str, Op] = {}


def op(name: str, spatial: bool = True) -> Callable[[Callable[..., str]], Op]:
    """Make a function an operation, known by ``name`` from then on.

    The function lays layers by the methods of ``Draft`` and returns the last one. It takes ``net``, ``x`` and those it
    needs of ``filters``, ``stride``, ``activation`` and ``first`` (see ``Op``):

        @kt_ext.nas.op("leaky3x3")
        def leaky(net, x, filters, stride):
            x = net.batch_norm(net.conv(x, filters, kernel=3, stride=stride))
            return net.layer(x, lambda: keras.layers.LeakyReLU(0.1))

    Args:
        name: text; one that is taken is replaced.
        spatial: whether it needs positions beside channels.

    Raises:
        TypeError: it is no function of these arguments.
    """

    def made(function: Callable[..., str]) -> Op:
        names = list(inspect.signature(function).parameters)
        optional = ("filters", "stride", "activation", "first")
        if names[:2] != ["net", "x"] or not set(names[2:]) <= set(optional):
            raise TypeError(
                f"op {name!r}: its function must take (net, x) and any of {', '.join(optional)}; it takes "
                f"({', '.join(names)})"
            )
        wanted = names[2:]

        def lay(net: Draft, x: str, filters: int, stride: int, activation: str, first: bool) -> str:
            given = {"filters": filters, "stride": stride, "activation": activation, "first": first}
            return function(net, x, **{each: given[each] for each in wanted})

        OPS[name] = Op(name, lay, spatial)
        return OPS[name]

    return made


def make_op(given: str | Op) -> Op:
    """The operation of this name, or the one that is given. Raises ValueError, TypeError for anything else."""
    if isinstance(given, Op):
        return given
    if not isinstance(given, str):
        raise TypeError(f"op={given!r}: must be a name or what @kt_ext.nas.op made")
    if given not in OPS:
        raise ValueError(f"op={given!r}: must be one of {', '.join(OPS)}, or your own made by @kt_ext.nas.op")
    return OPS[given]


def make_ops(given: Sequence[str | Op]) -> tuple[Op, ...]:
    """The operations in order. Raises ValueError where there is none or one stands twice."""
    if isinstance(given, (str, Op)) or not given:
        raise ValueError(f"ops={given!r}: must be a list of operations, such as ['conv3x3', 'skip']")
    ops = tuple(make_op(each) for each in given)
    names = [each.name for each in ops]
    if len(set(names)) < len(names):
        raise ValueError(f"ops={names}: each must stand there once")
    return ops


def project(net: Draft, x: str, filters: int, stride: int, activation: str, first: bool) -> str:
    """A 1x1 convolution (of vectors: a dense layer) with normalization, to another width or size."""
    x = net.activation(x, activation) if first else x
    x = net.conv(x, filters, 1, stride) if net.is_spatial(x) else net.dense(x, filters, bias=False)
    x = net.batch_norm(x)
    return x if first else net.activation(x, activation)


def matched(net: Draft, x: str, filters: int, stride: int = 1) -> str:
    """``x`` as it is if it has ``filters`` channels and no stride is wanted, else through a linear projection."""
    if net.channels(x) == filters and stride == 1:
        return x
    return project(net, x, filters, stride, "linear", False)


def _conv(net: Draft, x: str, filters: int, stride: int, activation: str, first: bool, kernel: int) -> str:
    x = net.activation(x, activation) if first else x
    x = net.batch_norm(net.conv(x, filters, kernel, stride))
    return x if first else net.activation(x, activation)


def _separable(
    net: Draft, x: str, filters: int, stride: int, activation: str, first: bool, kernel: int, dilation: int = 1
) -> str:
    """A depthwise convolution and one of 1x1. Keras has no stride with dilation: with a stride it is not dilated."""
    x = net.activation(x, activation) if first else x
    x = net.depthwise(x, kernel, stride, dilation=dilation if stride == 1 else 1)
    x = net.batch_norm(net.conv(x, filters, 1))
    return x if first else net.activation(x, activation)


def _inverted(
    net: Draft, x: str, filters: int, stride: int, activation: str, first: bool, kernel: int, expansion: int
) -> str:
    """MobileNetV2's block (Sandler et al., 2018), with a residual where the shape stays."""
    wide = net.activation(net.batch_norm(net.conv(x, net.channels(x) * expansion, 1)), activation)
    wide = net.activation(net.batch_norm(net.depthwise(wide, kernel, stride)), activation)
    narrow = net.batch_norm(net.conv(wide, filters, 1))
    return net.add([x, narrow]) if net.shape(x) == net.shape(narrow) else narrow


def _max_pool(net: Draft, x: str, filters: int, stride: int, activation: str, first: bool, size: int) -> str:
    return matched(net, net.max_pool(x, size, stride), filters)


def _avg_pool(net: Draft, x: str, filters: int, stride: int, activation: str, first: bool, size: int) -> str:
    return matched(net, net.avg_pool(x, size, stride), filters)


def _skip(net: Draft, x: str, filters: int, stride: int, activation: str, first: bool) -> str:
    return matched(net, x, filters, stride)


def _none(net: Draft, x: str, filters: int, stride: int, activation: str, first: bool) -> str:
    return net.zero(x, stride, filters)


SKIP = "skip"
NONE = "none"

for _op in (
    *(Op(f"conv{size}x{size}", partial(_conv, kernel=size)) for size in (1, 3, 5, 7)),
    *(Op(f"sep{size}x{size}", partial(_separable, kernel=size)) for size in (3, 5, 7)),
    *(Op(f"dil{size}x{size}", partial(_separable, kernel=size, dilation=2)) for size in (3, 5)),
    *(
        Op(f"mb{expansion}_{size}x{size}", partial(_inverted, kernel=size, expansion=expansion))
        for expansion in (3, 6)
        for size in (3, 5)
    ),
    *(Op(f"maxpool{size}x{size}", partial(_max_pool, size=size)) for size in (2, 3)),
    *(Op(f"avgpool{size}x{size}", partial(_avg_pool, size=size)) for size in (2, 3)),
    Op("dense", project, spatial=False),
    Op(SKIP, _skip, spatial=False),
    Op(NONE, _none, spatial=False),
):
    OPS[_op.name] = _op
