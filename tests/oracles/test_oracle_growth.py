"""A trial costs as much after thousands as at the beginning. Operations are counted, not seconds."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest

from kt_ext.oracles import SchedulerOracle
from kt_ext.oracles.project import ProjectFiles
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import LOSS, placed, small_space, without_waiting_for_the_disk

TRIALS = 2000


def run_one(oracle):
    trial = oracle.create_trial("tuner0")
    for epoch in (1, 2):
        oracle.update_trial(trial.trial_id, {"loss": 1.0 + 1.0 / (int(trial.trial_id) + epoch)}, step=epoch)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def calls_of(action):
    """How many functions, Python's and C's, an action calls."""
    calls = [0]

    def count(frame, event, argument):
        calls[0] += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls[0]


@pytest.fixture(scope="module")
def growth(tmp_path_factory):
    """For each trial the calls, journal lines and bytes it took, and whether everything was saved after it."""
    directory = tmp_path_factory.mktemp("growth")
    oracle = SchedulerOracle(FIFO(TRIALS, 2), "random", LOSS, seed=0, hyperparameters=small_space())
    placed(oracle, directory)
    writes = []
    rows = []
    with pytest.MonkeyPatch.context() as patch, without_waiting_for_the_disk(patch):
        write = ProjectFiles.write_oracle
        patch.setattr(ProjectFiles, "write_oracle", lambda self, state: (writes.append(1), write(self, state)))
        for _ in range(TRIALS):
            size, saved = oracle.files._journal.position if oracle.files.writing else (0, 0), len(writes)
            calls = calls_of(lambda: run_one(oracle))
            after = oracle.files._journal.position
            rows.append((calls, after[1] - size[1], after[0] - size[0], len(writes) > saved))
    oracle.finish()
    return rows


def test_lines_and_bytes_of_the_journal(growth):
    assert {lines for _, lines, _, _ in growth[1:]} == {3}  # one hand-out, two reports
    early, late = (sum(size for _, _, size, _ in rows) for rows in (growth[100:200], growth[1900:2000]))
    assert late < 1.1 * early


def test_whole_files_are_written_ever_more_seldom(growth):
    saved = [number for number, row in enumerate(growth) if row[3]]
    assert len(saved) <= 10  # 6000 lines at each doubling of 50
    assert all(later >= 1.9 * earlier for earlier, later in pairwise(saved[1:]))


def test_calls_of_a_trial_between_two_saves(growth):
    early = sorted(calls for calls, _, _, saved in growth[100:200] if not saved)
    late = sorted(calls for calls, _, _, saved in growth[1900:2000] if not saved)
    assert late[len(late) // 2] <= 1.05 * early[len(early) // 2]
    assert late[-1] <= 1.2 * early[-1]
