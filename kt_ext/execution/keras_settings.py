"""Keras's global settings, which a script makes once at its top and a worker process must share.

A worker does not run the user's script, so ``keras.config.set_dtype_policy("mixed_float16")`` there would be lost,
silently, and the worker would train in another precision.
"""

from __future__ import annotations

import sys


def capture() -> dict[str, str | float]:
    """The settings of this process by name; empty while keras is not imported, as all is at its default then."""
    if "keras" not in sys.modules:
        return {}
    import keras

    return {
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "image_data_format": keras.config.image_data_format(),
        "dtype_policy": keras.config.dtype_policy().name,
    }


def apply(settings: dict[str, str | float]) -> None:
    """Make the settings those of this process. Imports keras, unless there are none."""
    if not settings:
        return
    import keras

    keras.config.set_floatx(settings["floatx"])
    keras.config.set_epsilon(settings["epsilon"])
    keras.config.set_image_data_format(settings["image_data_format"])
    keras.config.set_dtype_policy(settings["dtype_policy"])
