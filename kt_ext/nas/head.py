"""What follows the searched part of a network: the output layer, the loss and the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kt_ext.nas.draft import Draft


@dataclass(frozen=True)
class Head:
    """Global average pooling (or flattening), dropout and a dense output layer.

    Attributes:
        units: outputs.
        activation: of the outputs; None is linear.
        loss, metrics: for ``compile``.
        dropout: before the output layer, in [0, 1).
        pool: "average" over all positions, or "flatten".
    """

    units: int
    activation: str | None
    loss: str
    metrics: tuple[str, ...]
    dropout: float = 0.0
    pool: Literal["average", "flatten"] = "average"

    def __post_init__(self) -> None:
        if isinstance(self.units, bool) or not isinstance(self.units, int) or self.units < 1:
            raise ValueError(f"units={self.units!r}: the head must have an integer >= 1 of outputs")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout!r}: must be in [0, 1)")
        if self.pool not in ("average", "flatten"):
            raise ValueError(f"pool={self.pool!r}: must be 'average' or 'flatten'")

    def lay(self, net: Draft, x: str) -> str:
        """Lay it on top of ``x``; returns the output."""
        with net.scope("head", block="head"):
            x = net.global_pool(x) if self.pool == "average" else net.flatten(x)
            return net.dense(net.dropout(x, self.dropout), self.units, self.activation)


def classifier(
    classes: int, dropout: float = 0.0, pool: Literal["average", "flatten"] = "average", from_one_hot: bool = False
) -> Head:
    """For ``classes`` >= 2 classes, labelled 0, 1, ...; ``from_one_hot`` for labels of shape (classes,).

    Raises ValueError for an argument that is out of range.
    """
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 2:
        raise ValueError(f"classes={classes!r}: must be an integer >= 2; use regressor() for one number")
    loss = "categorical_crossentropy" if from_one_hot else "sparse_categorical_crossentropy"
    return Head(classes, "softmax", loss, ("accuracy",), dropout, pool)


def regressor(outputs: int = 1, dropout: float = 0.0, pool: Literal["average", "flatten"] = "average") -> Head:
    """For ``outputs`` numbers. Raises ValueError for an argument that is out of range."""
    return Head(outputs, None, "mean_squared_error", ("mae",), dropout, pool)
