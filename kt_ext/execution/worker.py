"""What a worker process runs: the call in its payload, while a thread watches over the process that started it."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import sys
import threading

from kt_ext.execution import payload

_LOOK_SECONDS = 1.0


def main() -> None:
    """Runs the payload that is named as the program's argument. Standard input is the pipe of the parent.

    Importing this module imports neither keras nor TensorFlow: the payload does, in the environment that it was given.
    """
    path = sys.argv[1]
    _watch_parent(path)
    faulthandler.enable()
    # What ``Slot.stop`` sends to a hung worker: its log then says where each thread hangs, and the process ends.
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=True)
    target, arguments = payload.read(path)
    target(**arguments)


def _watch_parent(path: str) -> None:
    """End this process, and all that it starts, when its parent is gone; the payload, now nobody's, goes too."""
    # A copy that the children of this process do not inherit; what asks for input finds the end of a file.
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    parent = os.getppid()

    def watch() -> None:
        # The parent never writes: readable means that its end is closed. A child that the parent forked may hold that
        # end open after the parent's death, so its id is looked at, too.
        while not select.select([pipe], [], [], _LOOK_SECONDS)[0] and os.getppid() == parent:
            pass
        payload.discard(path)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="kt_ext-watch-parent", daemon=True).start()
