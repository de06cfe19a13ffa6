"""The size of a trial's model as a metric, for constraints and objectives on it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras

from kt_ext.oracles.constraints import PARAMS


def size_of(model: keras.Model) -> dict[str, float]:
    """``{"params": model.count_params()}``; empty for a model that has no input shape, and so no weights yet."""
    return {PARAMS: float(model.count_params())} if model.built else {}


class ModelSize(keras.callbacks.Callback):
    """Puts the size of the model into each epoch's logs, where the callbacks after it find it."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add it, unless the user's own metric has its name."""
        if logs is not None:
            logs.update({**size_of(self.model), **logs})


def size_callbacks(wanted: Collection[str]) -> list[keras.callbacks.Callback]:
    """What a training needs to report the size, if that is among the metrics ``wanted``."""
    return [ModelSize()] if PARAMS in wanted else []
