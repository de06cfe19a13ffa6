"""The counters of Keras's own callbacks (how long one has waited), which a checkpoint saves and gives back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras


def give_back(callback: keras.callbacks.Callback, counters: Mapping[str, Any]) -> None:
    """Set the counters of a callback that has just reset itself."""
    vars(callback).update(counters)
    if isinstance(callback, keras.callbacks.EarlyStopping) and callback.monitor_op is None:
        # Before Keras 3.7 it resets `best` late, at the end of its first epoch, by this method.
        def set_monitor_op() -> None:
            del vars(callback)["_set_monitor_op"]
            callback._set_monitor_op()
            vars(callback).update(counters)

        vars(callback)["_set_monitor_op"] = set_monitor_op


def counters_of(callback: keras.callbacks.Callback, reset: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers, words and flags that changed since the training began; what is not JSON stays behind.

    What has not changed are the user's settings, which may be others when the training goes on. Nor is ``min_delta`` a
    counter, though it changes: Keras turns its sign when the callback, new or not, sees its first epoch.
    """
    counters = {}
    for name, value in vars(callback).items():
        plain, before = _plain(value), _plain(reset.get(name))
        if plain is not _NOT_PLAIN and before is not _NOT_PLAIN and plain != before and name != "min_delta":
            counters[name] = plain
    return counters


_NOT_PLAIN = object()


def _plain(value: Any) -> Any:
    scalar = value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value
    return scalar if scalar is None or isinstance(scalar, (bool, int, float, str)) else _NOT_PLAIN
