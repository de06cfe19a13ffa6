from __future__ import annotations

from collections.abc import Iterator

import keras
import pytest

from kt_ext.training.session import clear_session


@pytest.fixture
def settings() -> Iterator[None]:
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)
    keras.config.enable_traceback_filtering()
    keras.config.enable_interactive_logging()
    if keras.backend.backend() == "jax":
        keras.distribution.set_distribution(None)


def test_what_the_user_set_is_kept(settings: None) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.config.disable_traceback_filtering()
    keras.config.disable_interactive_logging()
    distribution = None
    if keras.backend.backend() == "jax":
        distribution = keras.distribution.DataParallel(devices=["cpu:0"])
        keras.distribution.set_distribution(distribution)
    keras.layers.Dense(1)
    first = keras.layers.Dense(1).name
    clear_session()
    assert keras.layers.Dense(1).name == "dense" != first  # it did clear
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert not keras.config.is_traceback_filtering_enabled()
    assert not keras.config.is_interactive_logging_enabled()
    assert keras.distribution.distribution() is distribution


def test_what_nobody_set_is_the_default(settings: None) -> None:
    clear_session()
    assert keras.config.dtype_policy().name == "float32"
    assert keras.config.is_traceback_filtering_enabled()
    assert keras.config.is_interactive_logging_enabled()
    assert keras.distribution.distribution() is None
