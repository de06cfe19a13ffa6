"""Which hyperparameters can be live, and which values each may take: the table."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Range:
    """The values that a hyperparameter may take: ``holds`` for them, and ``rule`` says so in words.

    ``below`` is a bound that Keras may compare with while it traces: all values are under it.
    """

    holds: Callable[[float], bool]
    rule: str
    below: float


NOT_NEGATIVE = Range(lambda v: 0 <= v < math.inf, "a finite number >= 0", math.inf)
POSITIVE = Range(lambda v: 0 < v < math.inf, "a finite number > 0", math.inf)
FINITE = Range(math.isfinite, "a finite number", math.inf)
FRACTION = Range(lambda v: 0 <= v < 1, "in [0, 1)", 1.0)
POSITIVE_FRACTION = Range(lambda v: 0 < v < 1, "in (0, 1)", 1.0)
DEVIATION = Range(lambda v: 0 <= v <= 1, "in [0, 1]", math.inf)


@dataclass(frozen=True)
class Slot:
    """A kind of hyperparameter that can be live: ``attribute`` of an instance of one of ``owners`` (exactly).

    If ``zero_is_structural``, Keras builds another step for 0 (no random generator, no momentum), so an attribute that
    is 0 when the model is built is no slot; once live, it may become 0.

    ``dtypes`` are those of the tensors that the number meets for which it gives the same result as a Python float; None
    for all of them. A backend's own list (``LiveFloat.dtypes``) stands for ``"backend"``.
    """

    attribute: str
    owners: tuple[type, ...]
    range: Range
    zero_is_structural: bool = False
    dtypes: frozenset[str] | str | None = frozenset({"float32"})


def _classes(module: Any, names: str) -> tuple[type, ...]:
    """Those of the named classes that this version of Keras has."""
    return tuple(getattr(module, name) for name in names.split() if hasattr(module, name))


#: Optimizers whose step is Keras's own and whose slots start as constants. Not Muon (a weight decay of its own for some
#: variables) and not ScheduleFreeAdamW (its slots start as the weights).
OPTIMIZERS = _classes(keras.optimizers, "SGD RMSprop Adam AdamW Adadelta Adagrad Adamax Adafactor Nadam Lion Lamb")

_ADAMS = _classes(keras.optimizers, "Adam AdamW Adamax Nadam Lamb")
_LION = _classes(keras.optimizers, "Lion")
_WITH_EPSILON = (*_ADAMS, *_classes(keras.optimizers, "RMSprop Adadelta Adagrad"))

#: The cells whose dropout is live, inside LSTM, GRU, SimpleRNN and RNN.
CELLS = _classes(keras.layers, "LSTMCell GRUCell SimpleRNNCell")

#: The regularizers whose factors are live, of weights and of activities.
REGULARIZERS = _classes(keras.regularizers, "L1 L2 L1L2")

#: The losses with label smoothing.
LOSSES = _classes(
    keras.losses,
    "CategoricalCrossentropy BinaryCrossentropy CategoricalFocalCrossentropy BinaryFocalCrossentropy",
)

LIVE = (
    Slot("learning_rate", OPTIMIZERS, NOT_NEGATIVE),
    Slot("weight_decay", OPTIMIZERS, NOT_NEGATIVE, dtypes=None),
    Slot("momentum", _classes(keras.optimizers, "SGD RMSprop"), FRACTION, zero_is_structural=True),
    Slot("rho", _classes(keras.optimizers, "RMSprop Adadelta"), FRACTION),
    Slot("beta_1", _ADAMS, FRACTION),
    Slot("beta_1", _LION, POSITIVE_FRACTION),
    Slot("beta_2", (*_ADAMS, *_LION), FRACTION),
    Slot("epsilon", _WITH_EPSILON, NOT_NEGATIVE),
    Slot("clipnorm", OPTIMIZERS, POSITIVE),
    Slot("global_clipnorm", OPTIMIZERS, POSITIVE),
    Slot(
        "rate",
        _classes(keras.layers, "Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D"),
        FRACTION,
        zero_is_structural=True,
        dtypes="backend",
    ),
    Slot("stddev", _classes(keras.layers, "GaussianNoise"), DEVIATION, zero_is_structural=True, dtypes="backend"),
    Slot("dropout", CELLS, FRACTION, zero_is_structural=True, dtypes="backend"),
    Slot("recurrent_dropout", CELLS, FRACTION, zero_is_structural=True, dtypes="backend"),
    Slot("l1", _classes(keras.regularizers, "L1"), NOT_NEGATIVE),
    Slot("l2", _classes(keras.regularizers, "L2"), NOT_NEGATIVE),
    Slot("l1", _classes(keras.regularizers, "L1L2"), NOT_NEGATIVE, zero_is_structural=True),
    Slot("l2", _classes(keras.regularizers, "L1L2"), NOT_NEGATIVE, zero_is_structural=True),
    Slot("label_smoothing", LOSSES, FRACTION, zero_is_structural=True),
)

#: The rows of the table by the class of the owner.
SLOTS_OF: dict[type, tuple[Slot, ...]] = {
    owner: tuple(slot for slot in LIVE if owner in slot.owners) for slot in LIVE for owner in slot.owners
}
