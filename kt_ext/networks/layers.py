"""Layers that Keras does not have."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kt_ext")
class Zeros(keras.layers.Layer):
    """Zeros of the shape that a convolution with "same" padding would have: the operation "none".

    Args:
        filters: channels of the output.
        stride: of all positions; an output has ceil(size / stride) of them. Of vectors it means nothing.
    """

    def __init__(self, filters: int, stride: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.stride = stride

    def call(self, inputs: Any) -> Any:
        """Zeros in the inputs' type."""
        positions = (slice(None, None, self.stride),) * (len(inputs.shape) - 2)
        one = keras.ops.zeros_like(inputs[(slice(None), *positions, slice(0, 1))])
        return keras.ops.repeat(one, self.filters, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """For saving."""
        return {**super().get_config(), "filters": self.filters, "stride": self.stride}
