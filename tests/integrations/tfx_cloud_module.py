"""The example's ``tuner_fn`` for a test, in which no machine trains on before each of two has begun to."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import keras
import module  # examples/tfx/module.py

MACHINES = 2


class Meeting(keras.callbacks.Callback):
    """Waits at the beginning of a training for the other machine's."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place

    def on_train_begin(self, logs: Any = None) -> None:
        place = Path(self.place)
        place.mkdir(exist_ok=True)
        (place / os.environ["KERASTUNER_TUNER_ID"]).touch()
        deadline = time.monotonic() + 300
        while len(list(place.iterdir())) < MACHINES:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the other machine has not begun: {list(place.iterdir())}")
            time.sleep(0.1)


def tuner_fn(fn_args: Any) -> Any:
    """For the Tuner component."""
    result = module.tuner_fn(fn_args)
    result.fit_kwargs["callbacks"] = [Meeting(fn_args.custom_config["meeting"])]
    return result
