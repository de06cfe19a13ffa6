"""A process that saves in a loop is killed at any moment; what it acknowledged must be there, whole."""

from __future__ import annotations

import os
import random
import time

import numpy as np
import pytest

from core_process import start
from kt_ext.training.checkpoints import CheckpointStore

# The arrays are a function of the epoch, so that a mixture of two saves cannot pass for one.
SAVE_IN_A_LOOP = """
import numpy as np
from kt_ext.training.checkpoints import CheckpointStore

store = CheckpointStore(sys.argv[1])
newest = store.latest()
epoch = 0 if newest is None else newest.epoch
while True:
    epoch += 1
    state = {f"w{i}": np.full(20_000 * (i + 1), epoch * 10 + i, "f4") for i in range(8)}
    store.save(epoch, state, {"epoch": epoch})
    store.keep([epoch - 1, epoch])
    print(epoch, flush=True)
"""
KILLS = 10


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_latest_is_complete_and_no_older_than_the_last_acknowledged(tmp_path):
    rng = random.Random(0)
    acknowledged, leftovers_seen = 0, 0
    for _ in range(KILLS):
        with start(SAVE_IN_A_LOOP, tmp_path) as child:
            first = child.stdout.readline()
            time.sleep(rng.uniform(0, 0.1))
            child.kill()
            rest = child.stdout.read()
        acknowledged = int((first + rest).rpartition(b"\n")[0].split()[-1])
        leftovers_seen += any(name.endswith(".tmp") for name in os.listdir(tmp_path))

        store = CheckpointStore(tmp_path)
        for epoch in store.epochs():
            store.load(epoch)  # what has the name of a checkpoint is one: `latest` had no need to fall back
        checkpoint = store.latest()
        assert checkpoint.epoch >= acknowledged
        assert checkpoint.meta == {"epoch": checkpoint.epoch}
        assert list(checkpoint.state) == [f"w{i}" for i in range(8)]
        for i, array in enumerate(checkpoint.state.values()):
            assert np.array_equal(array, np.full(20_000 * (i + 1), checkpoint.epoch * 10 + i, "f4"))

    assert acknowledged >= KILLS  # each child went on from where the last was killed
    assert leftovers_seen > 0, "no kill struck during a save: this test has shown nothing"
    CheckpointStore(tmp_path).keep([acknowledged])
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
