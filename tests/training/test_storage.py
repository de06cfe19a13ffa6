"""Checkpoints in object stores: the memory of this process, local files through fsspec, and stores that fail."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fsspec")

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from core_process import start
from kt_ext.core.durable import StorageError
from kt_ext.training.checkpoints import CheckpointDamaged, CheckpointStore
from kt_ext.training.recent import RecentFiles
from kt_ext.training.storage import LocalFiles, Objects, check_writable, joined, storage_at
from object_stores import Failing, HttpError

STATE = {"kernel": np.arange(50, dtype="f4").reshape(5, 10), "step": np.array(7)}


@pytest.fixture
def failing() -> Iterator[type[Failing]]:
    yield Failing
    Failing.reset()


@pytest.fixture(params=["memory", "file", "failing", "path"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place that is not there yet."""
    places = {"memory": "memory://bucket/run", "failing": "failing://bucket/run"}
    places |= {"file": f"file://{tmp_path}/made/on/demand", "path": str(tmp_path / "made" / "on" / "demand")}
    yield places[request.param]
    MemoryFileSystem.store.clear()
    Failing.reset()


def store_with(place: str, *epochs: int) -> CheckpointStore:
    store = CheckpointStore(place)
    for epoch in epochs:
        store.save(epoch, STATE, {"epoch": epoch})
    return store


def files_in(place: str) -> dict[str, bytes]:
    fs, root = fsspec.url_to_fs(place)
    return {path.rpartition("/")[2]: fs.cat_file(path) for path in fs.find(root)}


def put(place: str, name: str, content: bytes) -> None:
    fs, root = fsspec.url_to_fs(place)
    fs.pipe_file(f"{root}/{name}", content)


# Every place alike


def test_what_was_saved_comes_back_to_another_store(place: str) -> None:
    store_with(place, 3)
    checkpoint = CheckpointStore(place).load(3)
    assert (checkpoint.epoch, checkpoint.meta, list(checkpoint.state)) == (3, {"epoch": 3}, list(STATE))
    for name, array in STATE.items():
        got = checkpoint.state[name]
        assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert got.flags.writeable and got.flags.aligned


def test_epochs_latest_and_keep(place: str) -> None:
    store = CheckpointStore(place)
    assert (store.epochs(), store.latest()) == ([], None)
    store.keep([1])
    with pytest.raises(FileNotFoundError):
        store.load(1)
    store_with(place, 9, 2, 100_000)
    put(place, "notes.txt", b"mine")
    assert store.epochs() == [2, 9, 100_000]
    assert store.latest().epoch == 100_000
    assert store.latest(at_most=99_999).epoch == store.latest(at_most=9).epoch == 9
    assert store.latest(at_most=1) is None
    store.keep([9, 10])
    assert sorted(files_in(place)) == ["epoch-00009.ckpt", "notes.txt"]
    with pytest.raises(FileNotFoundError):
        store.load(2)


def test_saving_again_replaces(place: str) -> None:
    store = store_with(place, 1)
    assert store.load(1).meta == {"epoch": 1}
    store.save(1, {}, {"second": True})
    assert store.load(1).meta == {"second": True}
    assert list(files_in(place)) == ["epoch-00001.ckpt"]


def test_the_same_bytes_everywhere(place: str, tmp_path: Path) -> None:
    store_with(place, 1)
    store_with(str(tmp_path / "other"), 1)
    assert files_in(place) == files_in(str(tmp_path / "other"))


def test_a_partial_object_is_never_used(place: str, caplog: pytest.LogCaptureFixture) -> None:
    store = store_with(place, 1, 2)
    whole = files_in(place)["epoch-00002.ckpt"]
    for length in range(len(whole)):
        put(place, "epoch-00002.ckpt", whole[:length])
        with pytest.raises(CheckpointDamaged):
            store.load(2)
    with caplog.at_level(logging.WARNING, logger="kt_ext"):
        assert [store.latest().epoch for _ in range(2)] == [1, 1]
    (record,) = caplog.records
    assert f"{place}/epoch-00002.ckpt: damaged at byte " in record.getMessage()
    store.save(2, STATE, {"epoch": 2})
    assert store.latest().epoch == 2


def test_meta_that_is_not_json_is_refused_and_leaves_nothing(place: str) -> None:
    store = store_with(place, 1)
    with pytest.raises(TypeError, match="not JSON serializable"):
        store.save(2, STATE, {"score": np.float32(1)})
    assert list(files_in(place)) == ["epoch-00001.ckpt"]


def test_a_place_that_can_be_written_to_is_left_as_it_was(place: str) -> None:
    check_writable(storage_at(place))
    assert files_in(place) == {}


# What object stores do


def test_a_put_that_dies_half_way_leaves_the_older_checkpoint(failing: type[Failing]) -> None:
    store = store_with("failing://bucket/run", 1)
    failing.writes_half, failing.fails = True, HttpError("502")
    with pytest.raises(
        StorageError, match=r"cannot save failing://bucket/run/epoch-00002\.ckpt: HttpError: 502\. What"
    ):
        store.save(2, STATE, {"epoch": 2})
    failing.writes_half, failing.fails = False, None
    assert store.epochs() == [1, 2]
    assert CheckpointStore("failing://bucket/run").latest().epoch == 1
    store.save(2, STATE, {"epoch": 2})
    assert store.latest().epoch == 2


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        (HttpError("401 Unauthorized"), "HttpError: 401 Unauthorized"),
        (PermissionError(13, "Access Denied"), "Access Denied"),
        (ValueError("bad bucket"), "ValueError: bad bucket"),
        (TimeoutError(), "TimeoutError: "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_store_refuses_is_a_storage_error(failing: type[Failing], fails: Exception, words: str) -> None:
    """And no damage: an older checkpoint must not be taken because the network is down."""
    store = store_with("failing://bucket/run", 1, 2)
    failing.fails = fails
    refused = {
        rf"cannot save failing://bucket/run/epoch-00003\.ckpt: {words}": lambda: store.save(3, STATE, {}),
        rf"cannot read failing://bucket/run/epoch-00002\.ckpt: {words}": lambda: store.load(2),
        rf"cannot list failing://bucket/run: {words}": store.latest,
    }
    for message, call in refused.items():
        with pytest.raises(StorageError, match=message):
            call()
    failing.fails = None
    assert store.epochs() == [1, 2]


def test_what_cannot_be_removed_is_a_storage_error(failing: type[Failing], monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_with("failing://bucket/run", 1)

    def refuse(self: Failing, path: str) -> None:
        raise HttpError("403")

    monkeypatch.setattr(failing, "rm_file", refuse)
    with pytest.raises(StorageError, match=r"cannot remove failing://bucket/run/epoch-00001\.ckpt: HttpError: 403"):
        store.keep([])


class WithoutBuckets(fsspec.AbstractFileSystem):
    """A store of buckets, none of which is there."""

    protocol = "without-buckets"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        raise FileNotFoundError("the bucket does not exist")

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        raise AssertionError("a bucket was made")  # which the others would, were they asked


def test_a_bucket_is_not_made() -> None:
    fsspec.register_implementation("without-buckets", WithoutBuckets, clobber=True)
    with pytest.raises(StorageError, match=r"cannot save .*: FileNotFoundError: the bucket does not exist"):
        CheckpointStore("without-buckets://bucket/run").save(1, STATE, {})


def test_nothing_is_renamed(failing: type[Failing]) -> None:
    store_with("failing://bucket/run", 1, 2).keep([2])
    assert failing.renames == 0


def test_the_memory_never_stands_for_an_object(tmp_path: Path) -> None:
    place, recent = f"file://{tmp_path}", RecentFiles()
    store = CheckpointStore(place, recent)
    store.save(1, STATE, {"by": "me"})
    CheckpointStore(place).save(1, STATE, {"by": "it"})  # of the same size
    assert store.load(1).meta == {"by": "it"}
    assert store.load(1) is not store.load(1)


def test_what_another_process_puts_is_seen(tmp_path: Path) -> None:
    place = f"file://{tmp_path}"
    store = store_with(place, 1)
    assert store.epochs() == [1]
    script = """
import numpy as np
from kt_ext.training.checkpoints import CheckpointStore
CheckpointStore(sys.argv[1]).save(2, {"w": np.full(3, 2.0)}, {"by": "another"})
"""
    with start(script, place) as child:
        child.stdout.read()
        assert child.wait() == 0
    assert store.epochs() == [1, 2]
    assert store.latest().meta == {"by": "another"}


class Remembering(MemoryFileSystem):
    """Remembers what it listed, as s3fs and gcsfs do."""

    protocol = "remembering"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.listed: dict[str, list[Any]] = {}

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        if path not in self.listed:
            self.listed[path] = super().ls(path, detail)
        return self.listed[path]

    def invalidate_cache(self, path: str | None = None) -> None:
        self.listed.clear()


def test_a_listing_that_a_backend_remembers_is_not_believed() -> None:
    fsspec.register_implementation("remembering", Remembering, clobber=True)
    store = store_with("remembering://bucket/run", 1)
    assert store.epochs() == [1]
    whole = store._storage.read("epoch-00001.ckpt").tobytes()
    MemoryFileSystem().pipe_file(f"{store._storage._root}/epoch-00002.ckpt", whole)
    assert store.epochs() == [1, 2]
    MemoryFileSystem.store.clear()


# Addresses


@pytest.mark.parametrize(
    ("place", "names", "expected"),
    [
        ("gs://bucket/run", ("p", "trial_0"), "gs://bucket/run/p/trial_0"),
        ("gs://bucket/run/", ("p",), "gs://bucket/run/p"),
        ("memory://", ("p",), "memory://p"),
        ("file:///", ("p",), "file:///p"),
        ("runs", ("p", "trial_0"), "runs/p/trial_0"),
        (Path("/runs"), ("p",), "/runs/p"),
    ],
)
def test_joined(place: Any, names: tuple[str, ...], expected: str) -> None:
    assert joined(place, *names) == expected


def test_a_path_is_a_directory_and_an_address_is_not(tmp_path: Path) -> None:
    assert isinstance(storage_at(tmp_path), LocalFiles)
    assert isinstance(storage_at(f"file://{tmp_path}"), Objects)
    assert CheckpointStore(tmp_path).directory == tmp_path
    assert CheckpointStore("memory://a").directory == "memory://a"


def test_an_unknown_protocol() -> None:
    with pytest.raises(
        ValueError, match=r"^'gcs3://b': Protocol not known: gcs3; give a path, or an address that fsspec"
    ):
        CheckpointStore("gcs3://b")


def test_a_cache_before_the_store_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one address; a cache before the store would give old checkpoints"):
        CheckpointStore("simplecache::memory://b")


def test_a_missing_backend_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(ImportError, match=r"^'abfs://b': the package of this store is missing: .*adlfs"):
        CheckpointStore("abfs://b")


def test_without_fsspec_paths_work_and_addresses_say_what_to_install(tmp_path: Path) -> None:
    script = """
sys.modules["fsspec"] = None
from kt_ext.training.checkpoints import CheckpointStore
CheckpointStore(sys.argv[1]).save(1, {}, {})
try:
    CheckpointStore("gs://b")
except ImportError as error:
    print(error)
"""
    with start(script, tmp_path) as child:
        printed = child.stdout.read().decode()
    assert printed.startswith("'gs://b': an address needs fsspec, pip install 'kt_ext[object-stores]'")
    assert "gcsfs for gs://" in printed
    assert CheckpointStore(tmp_path).epochs() == [1]
