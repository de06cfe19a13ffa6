from __future__ import annotations

from pathlib import Path

import keras
import pytest

from two_devices import run_tests

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(keras.backend.backend() not in ("tensorflow", "jax"), reason="needs TensorFlow or JAX"),
]


def test_searches_on_two_devices() -> None:
    run_tests(Path(__file__).with_name("on_two_devices_search.py"))
