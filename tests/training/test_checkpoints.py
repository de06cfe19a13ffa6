from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from bad_disks import file_size_limit, read_only, tiny_disk
from core_process import start
from kt_ext.core.durable import StorageError
from kt_ext.training import checkpoints, storage
from kt_ext.training.checkpoints import CheckpointDamaged, CheckpointStore

NATIVE = [
    np.array([True, False, True]),
    *(np.arange(6, dtype=kind).reshape(2, 3) for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")),
    *(np.linspace(-1, 1, 5).astype(kind) for kind in ("f2", "f4", "f8", "c8", "c16")),
]


def small_state() -> dict[str, np.ndarray]:
    return {"kernel": np.arange(50, dtype="f4").reshape(5, 10), "step": np.array(7), "bias": np.ones(3, "f8")}


def store_with(directory: Path, *epochs: int) -> CheckpointStore:
    store = CheckpointStore(directory)
    for epoch in epochs:
        store.save(epoch, small_state(), {"epoch": epoch})
    return store


@pytest.fixture
def warnings_of_kt_ext(caplog):
    with caplog.at_level(logging.WARNING, logger="kt_ext"):
        yield lambda: [record.getMessage() for record in caplog.records if record.name == "kt_ext"]


def assert_same(got: np.ndarray, expected: np.ndarray) -> None:
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("array", NATIVE, ids=lambda array: array.dtype.name)
def test_every_numpy_type_comes_back(tmp_path, array):
    CheckpointStore(tmp_path).save(0, {"a": array}, {})
    assert_same(CheckpointStore(tmp_path).load(0).state["a"], array)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"])
def test_ml_dtypes_come_back(tmp_path, name):
    array = np.arange(6).reshape(3, 2).astype(getattr(pytest.importorskip("ml_dtypes"), name))
    CheckpointStore(tmp_path).save(0, {"a": array, "0-d": array[0, 0]}, {})
    state = CheckpointStore(tmp_path).load(0).state
    assert_same(state["a"], array)
    assert_same(state["0-d"], array[0, 0])


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array(2.5), np.array(2.5)),
        (np.float32(2.5), np.array(2.5, "f4")),
        (np.empty((0, 3), "f4"), np.empty((0, 3), "f4")),
        (np.arange(12).reshape(3, 4).T, np.arange(12).reshape(3, 4).T.copy()),
        (np.arange(12)[::-3], np.array([11, 8, 5, 2])),
        (np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(6).reshape(2, 3)),
        (np.arange(4, dtype=">f4"), np.arange(4, dtype="f4")),
        (np.array(5, dtype=">i8"), np.array(5)),
        (np.frombuffer(b"\0" + np.arange(3.0).tobytes(), np.uint8)[1:].view("f8"), np.arange(3.0)),
    ],
    ids=["0-d", "scalar", "empty", "transposed", "stepped", "fortran", "big-endian", "big-endian 0-d", "unaligned"],
)
def test_every_layout_comes_back_in_c_order(tmp_path, array, expected):
    CheckpointStore(tmp_path).save(0, {"a": array}, {})
    got = CheckpointStore(tmp_path).load(0).state["a"]
    assert_same(got, expected)
    assert got.flags.writeable and got.flags.aligned


def test_order_names_and_meta_come_back(tmp_path):
    state = {"b/ä": np.ones(2), "a": np.zeros(1), "": np.array(1)}
    meta = {"values": {"lr": 0.1, "act": "relü"}, "history": [1, None, True], "worst": float("inf")}
    store = CheckpointStore(tmp_path / "made" / "on demand")
    store.save(np.int64(3), state, meta)
    checkpoint = store.load(3)
    assert (checkpoint.epoch, checkpoint.meta, list(checkpoint.state)) == (3, meta, list(state))
    assert os.listdir(store.directory) == ["epoch-00003.ckpt"]


def test_an_empty_state_comes_back(tmp_path):
    CheckpointStore(tmp_path).save(0, {}, {})
    assert CheckpointStore(tmp_path).load(0) == checkpoints.Checkpoint(0, {}, {})


@pytest.mark.parametrize("epoch", [-1, 1.0, True, "3", None])
def test_epoch_is_an_integer_from_zero(tmp_path, epoch):
    store = CheckpointStore(tmp_path)
    for call in (lambda: store.save(epoch, {}, {}), lambda: store.load(epoch), lambda: store.keep([epoch])):
        with pytest.raises(ValueError, match="must be an integer >= 0"):
            call()


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([{}], object), np.array([1], "M8[s]")])
def test_text_and_objects_are_refused(tmp_path, array):
    with pytest.raises(TypeError, match=r"state\['a'\]: dtype .* cannot be saved"):
        CheckpointStore(tmp_path).save(0, {"a": array}, {})
    assert os.listdir(tmp_path) == []


def test_meta_that_is_not_json_is_refused_and_leaves_nothing(tmp_path):
    store = store_with(tmp_path, 1)
    with pytest.raises(TypeError, match="not JSON serializable"):
        store.save(1, small_state(), {"score": np.float32(1)})
    assert os.listdir(tmp_path) == ["epoch-00001.ckpt"]
    assert store.load(1).meta == {"epoch": 1}


def test_latest_and_epochs(tmp_path):
    store = CheckpointStore(tmp_path / "trial")
    assert (store.latest(), store.epochs()) == (None, [])
    store = store_with(tmp_path / "trial", 9, 2, 100_000)
    assert store.epochs() == [2, 9, 100_000]
    assert store.latest().epoch == 100_000
    assert store.latest(at_most=99_999).epoch == store.latest(at_most=9).epoch == 9
    assert store.latest(at_most=1) is None
    with pytest.raises(FileNotFoundError):
        store.load(3)


def test_each_flipped_byte_is_found_and_latest_falls_back(tmp_path):
    store = store_with(tmp_path, 1, 2)
    path = tmp_path / "epoch-00002.ckpt"
    good = path.read_bytes()
    rows = json.loads(good[24 : good.index(b"}]}") + 3])["arrays"]
    data_start = len(good) - 256 - 64 - 64  # 200, 8 and 24 bytes, each filled up to a multiple of 64
    assert data_start > 24 and data_start % 64 == 0
    found: dict[str | None, set[int]] = {}
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        with pytest.raises(CheckpointDamaged) as damage:
            store.load(2)
        assert damage.value.path == str(path) and str(path) in str(damage.value)
        assert f"byte {damage.value.offset}" in str(damage.value)
        assert damage.value.offset <= at
        expected = None
        if at >= data_start:
            expected = [row["name"] for row in rows if data_start + row["offset"] <= at][-1]
        assert damage.value.array == expected
        found.setdefault(expected, set()).add(damage.value.offset)
        assert store.latest().epoch == 1
    assert found == {
        None: {0, 8, 12},
        **{row["name"]: {data_start + row["offset"]} for row in rows},
    }


def test_a_truncated_file_is_damaged_wherever_it_ends(tmp_path):
    store = store_with(tmp_path, 1, 2)
    path = tmp_path / "epoch-00002.ckpt"
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(CheckpointDamaged) as damage:
            store.load(2)
        assert damage.value.offset <= length
    path.write_bytes(good + b"\0")
    with pytest.raises(CheckpointDamaged, match="1 bytes too many"):
        store.load(2)


def test_damage_is_reported_once_by_name_and_offset(tmp_path, warnings_of_kt_ext):
    store = store_with(tmp_path, 1, 2, 3)
    (tmp_path / "epoch-00003.ckpt").write_bytes(b"")
    content = bytearray((tmp_path / "epoch-00002.ckpt").read_bytes())
    content[-1] ^= 1
    (tmp_path / "epoch-00002.ckpt").write_bytes(content)
    assert [store.latest().epoch for _ in range(3)] == [1, 1, 1]
    empty, flipped = warnings_of_kt_ext()
    assert "epoch-00003.ckpt: damaged at byte 0, in the header: the file ends after 0 bytes" in empty
    assert f"epoch-00002.ckpt: damaged at byte {len(content) - 64}, in array 'bias'" in flipped
    store.save(3, small_state(), {})
    assert store.latest().epoch == 3
    assert len(warnings_of_kt_ext()) == 2
    (tmp_path / "epoch-00003.ckpt").write_bytes(b"")
    assert store.latest().epoch == 1
    assert len(warnings_of_kt_ext()) == 3


def test_no_good_checkpoint_is_none(tmp_path, warnings_of_kt_ext):
    store = store_with(tmp_path, 1)
    (tmp_path / "epoch-00001.ckpt").write_bytes(b"")
    assert store.latest() is None
    assert len(warnings_of_kt_ext()) == 1


def test_an_unknown_version_says_so(tmp_path):
    store = store_with(tmp_path, 1)
    path = tmp_path / "epoch-00001.ckpt"
    content = path.read_bytes()
    path.write_bytes(content[:8] + (2).to_bytes(4, "little") + content[12:])
    with pytest.raises(CheckpointDamaged, match="version 2; this kt_ext reads version 1") as damage:
        store.load(1)
    assert damage.value.offset == 8


def test_a_file_under_another_epochs_name_is_refused(tmp_path):
    store = store_with(tmp_path, 1)
    os.rename(tmp_path / "epoch-00001.ckpt", tmp_path / "epoch-00002.ckpt")
    with pytest.raises(CheckpointDamaged, match="this is the checkpoint of epoch 1"):
        store.load(2)


class Bomb:
    def __reduce__(self):
        return (os._exit, (86,))


@pytest.mark.parametrize("prefix", [b"", b"kt_ext\r\n", b"kt_ext\r\n\1\0\0\0"])
def test_a_pickle_is_refused_and_not_run(tmp_path, prefix):
    (tmp_path / "epoch-00001.ckpt").write_bytes(prefix + pickle.dumps(Bomb()) + bytes(64))
    with pytest.raises(CheckpointDamaged):
        CheckpointStore(tmp_path).load(1)


def test_a_keras_archive_with_a_lambda_layer_is_refused_and_not_run(tmp_path):
    import keras

    touched = str(tmp_path / "touched")
    touch = keras.layers.Lambda(lambda x: (__import__("pathlib").Path(touched).touch(), x)[1])
    keras.Sequential([keras.layers.Input((1,)), touch]).save(tmp_path / "model.keras")
    os.unlink(touched)
    shutil.copy(tmp_path / "model.keras", tmp_path / "epoch-00001.ckpt")
    with pytest.raises(CheckpointDamaged):
        CheckpointStore(tmp_path).load(1)
    assert not os.path.exists(touched)
    keras.saving.load_model(tmp_path / "model.keras", safe_mode=False)
    assert os.path.exists(touched)  # it would have run


def forged(directory: Path, header: object, data: bytes = b"") -> CheckpointStore:
    """A checkpoint of epoch 1 with a sound checksum over any header."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    encoded = encoded.ljust(-(-(24 + len(encoded)) // 64) * 64 - 24)
    length = len(encoded).to_bytes(8, "little")
    crc = zlib.crc32(encoded, zlib.crc32(length)).to_bytes(4, "little")
    (directory / "epoch-00001.ckpt").write_bytes(b"kt_ext\r\n\1\0\0\0" + length + crc + encoded + data)
    return CheckpointStore(directory)


def test_the_format_is_what_the_docstring_says(tmp_path):
    row = {"name": "a", "dtype": "float32", "shape": [2], "offset": 0, "nbytes": 8}
    data = np.array([1, 2], "<f4").tobytes().ljust(64, b"\0")
    header = {"epoch": 1, "meta": {"by": "hand"}, "arrays": [{**row, "crc32": f"{zlib.crc32(data):08x}"}]}
    checkpoint = forged(tmp_path, header, data).load(1)
    assert checkpoint.meta == {"by": "hand"}
    assert_same(checkpoint.state["a"], np.array([1, 2], "f4"))


GOOD_ROW = {
    "name": "a",
    "dtype": "int8",
    "shape": [1],
    "offset": 0,
    "nbytes": 1,
    "crc32": f"{zlib.crc32(bytes(64)):08x}",
}


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1 << 60], "nbytes": 1 << 60},
        {"shape": [1 << 40, 1 << 40], "nbytes": 1 << 80},
        {"shape": [0, 1 << 80], "nbytes": 0},
        {"shape": [-1], "nbytes": -1},
        {"shape": [2]},
        {"shape": None},
        {"shape": ["1"]},
        {"nbytes": "1"},
        {"dtype": "object"},
        {"dtype": "float9_e4m3"},
        {"dtype": "finfo"},
        {"dtype": None},
        {"offset": 64},
        {"offset": -64},
        {"name": []},
        {"crc32": 0},
    ],
    ids=str,
)
def test_a_header_that_lies_is_damage_and_allocates_nothing(tmp_path, change):
    header = {"epoch": 1, "meta": {}, "arrays": [GOOD_ROW]}
    assert forged(tmp_path, header, bytes(64)).load(1).state["a"] == 0
    with pytest.raises(CheckpointDamaged):
        forged(tmp_path, {**header, "arrays": [{**GOOD_ROW, **change}]}, bytes(64)).load(1)


@pytest.mark.parametrize(
    "header",
    [[], {}, {"epoch": 1}, {"epoch": 1, "meta": {}, "arrays": [3]}, b"not JSON", b"\xff", b"[" * 100_000],
    ids=["list", "empty", "no arrays", "no row", "no JSON", "no UTF-8", "deep"],
)
def test_a_header_that_is_not_ours_is_damage(tmp_path, header):
    with pytest.raises(CheckpointDamaged):
        forged(tmp_path, header).load(1)


def test_two_arrays_of_one_name_are_damage(tmp_path):
    header = {"epoch": 1, "meta": {}, "arrays": [GOOD_ROW, {**GOOD_ROW, "offset": 64}]}
    with pytest.raises(CheckpointDamaged, match="array 'a'"):
        forged(tmp_path, header, bytes(128)).load(1)


def test_two_arrays_in_one_place_are_damage(tmp_path):
    header = {"epoch": 1, "meta": {}, "arrays": [GOOD_ROW, {**GOOD_ROW, "name": "b"}]}
    with pytest.raises(CheckpointDamaged, match="array 'b'"):
        forged(tmp_path, header, bytes(64)).load(1)


def test_damage_travels_between_processes(tmp_path):
    damage = CheckpointDamaged("some/file", 24, "kernel", "flipped")
    copy = pickle.loads(pickle.dumps(damage))
    assert str(copy) == str(damage) == "some/file: damaged at byte 24, in array 'kernel': flipped"
    assert (copy.path, copy.offset, copy.array, copy.reason) == ("some/file", 24, "kernel", "flipped")


def test_keep_removes_the_others_and_what_dead_writers_left(tmp_path):
    store = store_with(tmp_path, 1, 2, 3, 4)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host, token = storage._HOST, storage._TOKEN

    def leftover(host: str, pid: int, token: str, age_seconds: int = 0) -> str:
        path = tmp_path / f".epoch-00009.ckpt.{host}.{pid}.{token}.tmp"
        path.write_bytes(b"half")
        os.utime(path, (path.stat().st_mtime - age_seconds,) * 2)
        return path.name

    leftover(host, dead.pid, token)
    leftover(host, os.getpid(), "00000000")  # of a container before it was restarted
    leftover("elsewhere", 1, "00000000", age_seconds=25 * 3600)
    alive = {
        leftover(host, os.getpid(), token),
        leftover(host, os.getppid(), "00000000"),
        leftover("elsewhere", 1, "00000001"),
    }
    (tmp_path / "notes.txt").write_text("mine")

    assert (store.epochs(), store.latest().epoch) == ([1, 2, 3, 4], 4)
    store.keep([2, 4, 7])
    assert set(os.listdir(tmp_path)) == {"epoch-00002.ckpt", "epoch-00004.ckpt", "notes.txt"} | alive
    store.keep([])
    assert store.epochs() == []
    CheckpointStore(tmp_path / "absent").keep([1])


def test_a_full_disk_is_a_storage_error_and_leaves_the_old_one(tmp_path):
    with tiny_disk(tmp_path, "256k"):
        store = store_with(tmp_path, 1)
        with pytest.raises(StorageError, match=r"cannot save .*epoch-00002\.ckpt: No space left on device"):
            store.save(2, {"a": np.zeros(100_000)}, {})
        assert os.listdir(tmp_path) == ["epoch-00001.ckpt"]
        assert store.latest().meta == {"epoch": 1}
        store.save(2, small_state(), {})
        assert store.epochs() == [1, 2]


def test_a_write_that_fails_half_way_is_a_storage_error_and_leaves_the_old_one(tmp_path):
    store = store_with(tmp_path, 1)
    with file_size_limit(50_000):
        for epoch in (1, 2):
            with pytest.raises(StorageError, match=rf"cannot save .*epoch-0000{epoch}\.ckpt: File too large"):
                store.save(epoch, {"a": np.zeros(100_000)}, {})
    assert os.listdir(tmp_path) == ["epoch-00001.ckpt"]
    assert store.latest().meta == {"epoch": 1}


def test_a_read_only_disk_is_a_storage_error_and_can_be_read(tmp_path):
    store = store_with(tmp_path, 1)
    with read_only(tmp_path):
        with pytest.raises(StorageError, match=r"cannot save .*epoch-00002\.ckpt"):
            store.save(2, small_state(), {})
        with pytest.raises(StorageError, match=r"cannot remove .*epoch-00001\.ckpt"):
            store.keep([])
        assert store.latest().epoch == 1


def test_a_directory_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot save .*Not a directory"):
        CheckpointStore(tmp_path / "file" / "trial").save(1, {}, {})


def test_an_interrupted_save_leaves_the_old_one(tmp_path, monkeypatch):
    store = store_with(tmp_path, 1)

    def interrupt(descriptor: int) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(os, "fsync", interrupt)
    # A shell starts what runs in the background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            store.save(1, {}, {})
    finally:
        signal.signal(signal.SIGINT, before)
    assert os.listdir(tmp_path) == ["epoch-00001.ckpt"]
    assert store.load(1).meta == {"epoch": 1}


def test_the_module_loads_no_keras():
    with start(
        "import kt_ext.training.checkpoints; print('keras' in sys.modules, 'ml_dtypes' in sys.modules)"
    ) as child:
        assert child.stdout.read().split() == [b"False", b"False"]
