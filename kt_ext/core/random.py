"""One random stream for each event of a search, derived from the seed and the event's number."""

from __future__ import annotations

import numpy as np


class EventRandom:
    """Random streams indexed by event number: the same seed and number give the same draws, in any process.

    Philox is counter based, so a stream is reached by setting its key, not by drawing through those before it
    (Salmon et al., 2011). Setting the key costs 2 us, making a new Generator 16.

    Args:
        seed: integer >= 0; 0 is a seed like any other.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._bits = np.random.Philox(key=0)
        self._generator = np.random.Generator(self._bits)
        self._state = self._bits.state
        self._state["state"]["counter"][:] = 0
        self._state["buffer_pos"] = 4
        self._state["has_uint32"] = 0

    def at(self, number: int) -> np.random.Generator:
        """The stream of event ``number``. It is valid until the next call: draw from it now, do not keep it."""
        self._state["state"]["key"][:] = (self.seed, number)
        self._bits.state = self._state
        return self._generator
