from __future__ import annotations

from pathlib import Path

import keras
import pytest

from two_devices import run_tests

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() not in ("tensorflow", "jax"), reason="needs TensorFlow or JAX"),
]


def test_state_live_values_and_callback_on_two_devices() -> None:
    run_tests(Path(__file__).with_name("on_two_devices_state.py"))
