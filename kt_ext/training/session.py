"""Forgetting old models without forgetting what the user has set."""

from __future__ import annotations

import keras


def clear_session() -> None:
    """As ``keras.utils.clear_session``, but the user's settings stay.

    Keras also forgets ``set_dtype_policy`` and ``set_distribution``, so that after it models train in single precision
    or on one device without a word, and how it is to show tracebacks and progress.
    """
    policy, distribution = keras.config.dtype_policy(), keras.distribution.distribution()
    filters_tracebacks = keras.config.is_traceback_filtering_enabled()
    is_interactive = keras.config.is_interactive_logging_enabled()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)
    if distribution is not None:
        keras.distribution.set_distribution(distribution)
    if not filters_tracebacks:
        keras.config.disable_traceback_filtering()
    if not is_interactive:
        keras.config.disable_interactive_logging()
