"""What was written last is in memory, as long as the files are what was written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kt_ext.training.checkpoints import CheckpointDamaged, CheckpointStore
from kt_ext.training.recent import RecentFiles


def written(directory: Path, name: str) -> Path:
    path = directory / name
    path.write_text(name)
    return path


def test_kept_as_the_object_that_was_written(tmp_path):
    recent, path, content = RecentFiles(), written(tmp_path, "a"), object()
    recent.put(path, content, nbytes=10)
    assert recent.get(path) is content
    assert recent.get(tmp_path / "b") is None


def test_a_file_that_was_replaced_is_not_known(tmp_path):
    recent, path = RecentFiles(), written(tmp_path, "a")
    recent.put(path, "old", nbytes=10)
    os.replace(written(tmp_path, "b"), path)  # same size: another file all the same
    assert recent.get(path) is None


def test_a_file_that_was_changed_or_removed_is_not_known(tmp_path):
    recent, changed, removed = RecentFiles(), written(tmp_path, "a"), written(tmp_path, "b")
    for path in (changed, removed):
        recent.put(path, "old", nbytes=10)
    changed.write_text("longer than before")
    removed.unlink()
    assert recent.get(changed) is None
    assert recent.get(removed) is None


def test_the_least_recently_used_goes_first(tmp_path):
    recent = RecentFiles(max_bytes=25)
    a, b, c = (written(tmp_path, name) for name in "abc")
    recent.put(a, "A", nbytes=10)
    recent.put(b, "B", nbytes=10)
    assert recent.get(a) == "A"
    recent.put(c, "C", nbytes=10)
    assert [recent.get(path) for path in (a, b, c)] == ["A", None, "C"]


def test_what_is_too_large_is_not_kept_and_pushes_nothing_out(tmp_path):
    recent, a, b = RecentFiles(max_bytes=25), written(tmp_path, "a"), written(tmp_path, "b")
    recent.put(a, "A", nbytes=20)
    recent.put(b, "B", nbytes=26)
    assert [recent.get(path) for path in (a, b)] == ["A", None]


def test_writing_again_counts_once(tmp_path):
    recent, a, b = RecentFiles(max_bytes=25), written(tmp_path, "a"), written(tmp_path, "b")
    for content in ("one", "two", "three"):
        recent.put(a, content, nbytes=15)
    recent.put(b, "B", nbytes=10)
    assert [recent.get(path) for path in (a, b)] == ["three", "B"]


def test_dropped(tmp_path):
    recent, a, b = RecentFiles(max_bytes=10), written(tmp_path, "a"), written(tmp_path, "b")
    recent.put(a, "A", nbytes=10)
    recent.drop(a)
    recent.drop(a)
    assert recent.get(a) is None
    recent.put(b, "B", nbytes=10)
    assert recent.get(b) == "B"


def test_nothing_is_kept_at_zero(tmp_path):
    recent, path = RecentFiles(max_bytes=0), written(tmp_path, "a")
    recent.put(path, "A", nbytes=1)
    assert recent.get(path) is None


def test_negative_bytes():
    with pytest.raises(ValueError, match="max_bytes=-1: must be >= 0"):
        RecentFiles(max_bytes=-1)


def test_a_store_reads_no_file_that_it_has_just_written(tmp_path):
    recent = RecentFiles()
    store, another = CheckpointStore(tmp_path, recent), CheckpointStore(tmp_path, recent)
    store.save(1, {"w": np.ones(3)}, {"score": 1.5})
    assert another.load(1) is another.load(1)
    assert CheckpointStore(tmp_path).load(1) is not another.load(1)


def test_a_store_sees_damage_done_since(tmp_path):
    store = CheckpointStore(tmp_path, RecentFiles())
    store.save(1, {"w": np.ones(3)}, {})
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointDamaged):
        store.load(1)


def test_a_store_forgets_what_it_removes(tmp_path):
    recent = RecentFiles()
    store = CheckpointStore(tmp_path, recent)
    store.save(1, {"w": np.ones(3)}, {})
    store.save(2, {"w": np.ones(3)}, {})
    store.keep([2])
    with pytest.raises(FileNotFoundError):
        store.load(1)
    assert recent._bytes == 24
