"""Random generators of a state that goes from one trial to another: each trial draws its own numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

#: The name that Keras gives the variable of a ``keras.random.SeedGenerator``.
GENERATOR = "seed_generator_state"


def reseeded(state: Mapping[str, np.ndarray], seed: int, epoch: int) -> dict[str, np.ndarray]:
    """A state of ``get_state`` whose random generators begin anew, as ``seed`` and ``epoch`` say.

    A trial that takes over another's weights would otherwise replay its dropout masks. What the generators hold follows
    from the arguments alone, so that the schedule of a search can be trained again.
    """
    names = [name for name in state if name.endswith(GENERATOR)]
    drawn = np.random.SeedSequence([seed, epoch]).generate_state(len(names)) if names else ()
    anew = {name: _begin(state[name], number) for name, number in zip(names, drawn, strict=True)}
    of_replicas = {f"{name}/replicas" for name in names}  # where they differ: all begin alike
    return {name: array for name, array in state.items() if name not in of_replicas} | anew


def _begin(generator: np.ndarray, number: int) -> np.ndarray:
    """Shape (2,): the seed and a counter that starts at 0; the seed fits the signed types of some backends."""
    return np.array([number & 0x7FFFFFFF, 0], generator.dtype)
