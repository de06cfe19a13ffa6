"""What stays on disk of each trial, and what a full disk does."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from bad_disks import file_size_limit, tiny_disk
from kt_ext.core.durable import StorageError
from kt_ext.tuners.segment import store_of
from tuners.searches import data, epochs_of, learning_rates, small_model
from tuners.test_keras_tuner_features import asha, evaluated, fifo, searched


def kept(tuner, trial_id="0", execution=0):
    return store_of(tuner, trial_id, execution).epochs()


@pytest.mark.slow
def test_finished_trials_keep_their_best_epoch_only(project):
    tuner = searched(asha(max_epochs=9, min_epochs=3, searcher=learning_rates(0.02, 1e-3, 1e-6), **project))
    where = tuner.oracle.search.where
    assert where == {0: "done", 1: "paused", 2: "paused"}
    assert kept(tuner) == [tuner.oracle.trials["0"].best_step]
    for trial_id in ("1", "2"):  # the last two, for they may go on, and the best
        assert kept(tuner, trial_id) == sorted({2, 3, tuner.oracle.trials[trial_id].best_step})
    assert not [path for path in Path(tuner.project_dir).rglob("*.tmp")]


def test_one_checkpoint_for_several_executions(project):
    tuner = searched(fifo(epochs=2, executions_per_trial=2, **project))
    assert sorted([len(kept(tuner, execution=0)), len(kept(tuner, execution=1))]) == [0, 1]
    assert len(tuner.get_best_models()) == 1


def test_best_epoch_is_kept_over_a_worse_end(project):
    """The loss falls for two epochs and rises by a wild learning rate; the trial pauses in between."""

    def build_wild(hp):
        hp.Fixed("nothing", 0)
        return small_model(learning_rate=keras.optimizers.schedules.PiecewiseConstantDecay([14], [0.01, 3.0]))

    tuner = searched(fifo(build_wild, epochs=5, max_total_epochs=4, **project))
    assert kept(tuner) == [2, 3, 4]
    tuner = searched(fifo(build_wild, epochs=5, **project))
    assert kept(tuner) == [2]
    assert evaluated(tuner.get_best_models()[0])["loss"] == pytest.approx(min(epochs_of(tuner)["val_loss"]), rel=1e-5)


def test_what_a_killed_process_left_is_removed_at_the_end(project):
    tuner = searched(asha(max_total_epochs=5, **project))
    done = next(number for number, where in tuner.oracle.search.where.items() if where == "done")
    store = store_of(tuner, str(done), 0)
    (best,) = store.epochs()
    checkpoint = store.load(best)
    store.save(best + 1, checkpoint.state, {**checkpoint.meta, "logs": [*checkpoint.meta["logs"], {"val_loss": 99.0}]})
    searched(asha(**project))
    assert store.epochs() == [best]


def test_checkpoint_does_not_fit(project):
    """A search that cannot save ends with one error, blames no trial, and goes on when there is space."""
    tuner = asha(**project)
    with file_size_limit(6_000), pytest.raises(StorageError, match=r"cannot save .*epoch-0000\d\.ckpt"):
        searched(tuner)
    assert "FAILED" not in {trial.status for trial in tuner.oracle.trials.values()}
    searched(tuner)
    assert tuner.oracle.stop_reason == "all 3 trials are done (max_trials=3)"
    assert [row.reached for row in tuner.rung_table()] == [3, 1]


@pytest.mark.slow
def test_full_disk(tmp_path):
    """The checkpoints of the first trial fill it; journal and lock are as full as all the rest."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with tiny_disk(disk, "64k"):
        tuner = asha(directory=str(disk), project_name="p", max_epochs=9, min_epochs=9)
        with pytest.raises(StorageError, match="cannot "):
            tuner.search(**data(), verbose=0)
        assert "FAILED" not in {trial.status for trial in tuner.oracle.trials.values()}
