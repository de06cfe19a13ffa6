from __future__ import annotations

import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from execution import worker_targets
from kt_ext.core.durable import StorageError
from kt_ext.execution import payload

LARGE = 1 << 17  # float64: 1 MiB


def sent(directory: Path, **arguments: Any) -> dict[str, Any]:
    target, received = payload.read(payload.write(directory, worker_targets.report, **arguments))
    assert target is worker_targets.report
    return received


def array_files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.npy"))


def test_large_arrays_become_files_once_each_wherever_they_are(tmp_path: Path) -> None:
    x, weights = np.arange(LARGE, dtype="float64"), np.ones((2, LARGE), order="F")

    def build() -> float:
        return weights[0, 0]

    received = sent(tmp_path, x=x, validation_data=(x, {"deep": [weights]}), build=build, small=x[:-1])
    assert array_files(tmp_path) == ["array-0.npy", "array-1.npy"]
    assert type(received["x"]) is np.ndarray
    assert isinstance(received["x"].base, np.memmap)
    np.testing.assert_array_equal(received["x"], x)
    np.testing.assert_array_equal(received["small"], x[:-1])
    assert received["validation_data"][0] is received["x"]
    assert received["validation_data"][1]["deep"][0] is received["build"].__closure__[0].cell_contents
    assert received["build"]() == 1.0


def test_what_is_written_into_a_received_array_stays_in_this_process(tmp_path: Path) -> None:
    path = payload.write(tmp_path, print, x=np.zeros(LARGE))
    first, second = payload.read(path)[1]["x"], payload.read(path)[1]["x"]
    first[0] = 1
    assert second[0] == 0
    assert payload.read(path)[1]["x"][0] == 0


@pytest.mark.parametrize("dtype", ["bool", ">f4", "complex64", "U3", "S5", "datetime64[s]"])
def test_arrays_of_every_plain_type_are_mapped(tmp_path: Path, dtype: str) -> None:
    x = np.zeros(1 << 20, dtype)
    received = sent(tmp_path, x=x)["x"]
    assert array_files(tmp_path) == ["array-0.npy"]
    assert received.dtype == x.dtype
    np.testing.assert_array_equal(received, x)


@pytest.mark.parametrize("kind", ["objects", "structure", "bfloat16", "masked"])
def test_arrays_of_other_types_travel_in_the_pickle(tmp_path: Path, kind: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = {
        "objects": np.array(["a", None] * LARGE, dtype=object),
        "structure": np.ones(LARGE, dtype=[("a", "f8"), ("b", "i4")]),
        "bfloat16": np.ones(8 * LARGE, ml_dtypes.bfloat16),
        "masked": np.ma.masked_less(np.arange(LARGE), 5),
    }[kind]
    received = sent(tmp_path, x=x)["x"]
    assert type(received) is type(x)
    assert received.dtype == x.dtype
    np.testing.assert_array_equal(received, x)
    assert array_files(tmp_path) == []


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    path = payload.write(tmp_path, print, x=np.zeros(LARGE))
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (tmp_path, path, tmp_path / "array-0.npy")}
    assert modes == {tmp_path.name: 0o700, "payload.pkl": 0o600, "array-0.npy": 0o600}


def test_a_private_directory_lasts_as_long_as_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with payload.written(print, x=np.zeros(LARGE)) as path:
        assert path.parent.parent == tmp_path
        assert path.exists()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TypeError), payload.written(print, x=np.zeros(LARGE), lock=threading.Lock()):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_payload_is_not_overwritten(tmp_path: Path) -> None:
    path = payload.write(tmp_path, print, x=1)
    with pytest.raises(StorageError, match="File exists"):
        payload.write(tmp_path, print, x=2)
    assert payload.read(path) == (print, {"x": 1})


def test_discard_leaves_the_files_of_others(tmp_path: Path) -> None:
    directory = tmp_path / "payload"
    directory.mkdir()
    path = payload.write(directory, print, x=np.zeros(LARGE))
    (directory / "mine.npy").touch()
    payload.discard(path)
    assert [each.name for each in directory.iterdir()] == ["mine.npy"]
    (directory / "mine.npy").unlink()
    payload.discard(path)
    assert not directory.exists()


@pytest.fixture
def settings() -> Iterator[None]:
    yield
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)


@pytest.mark.usefixtures("settings")
def test_keras_settings_of_the_script_hold_in_the_worker(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.config.set_epsilon(1e-5)
    path = payload.write(tmp_path, print)
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float64")
    keras.config.set_epsilon(1e-7)
    payload.read(path)
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert (keras.config.floatx(), keras.config.epsilon()) == ("float32", 1e-5)


class Hypermodel:
    def __init__(self, resource: object) -> None:
        self.options = {"resource": resource}

    def build(self) -> None: ...


def numbers() -> Iterator[int]:
    yield 1


def closure(resource: object) -> Any:
    return lambda: resource


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"x": numbers()}, "x: cannot be sent to a worker process, it is of type generator "),
        ({"x": (1, numbers())}, "x, item 1: cannot be sent"),
        ({"x": numbers()}, "; give data_fn=, a function without arguments that makes the fit arguments in the worker"),
        ({"x": 1, "hypermodel": Hypermodel(threading.Lock())}, "hypermodel, attribute 'options', item 'resource': "),
        (
            {"x": 1, "hypermodel": Hypermodel(threading.Lock()).build},
            "hypermodel, the object of method build, attribute",
        ),
        ({"hypermodel": closure(threading.RLock())}, "hypermodel, variable 'resource' of closure.<locals>.<lambda>: "),
        (
            {"hypermodel": closure(threading.RLock())},
            "; make it inside the hypermodel's build, which runs in the worker",
        ),
        ({"callbacks": [sys.stdout]}, "callbacks, item 0: cannot be sent to a worker process, it is of type "),
        ({"x": sys._getframe()}, "; make it in the worker: inside the hypermodel's build, or in a function given as"),
    ],
)
def test_what_cannot_be_pickled_is_named(tmp_path: Path, arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TypeError) as error:
        payload.write(tmp_path, print, data=np.zeros(LARGE), **arguments)
    assert complaint in str(error.value)
    assert not tmp_path.exists()


def test_a_circle_with_something_that_cannot_be_pickled(tmp_path: Path) -> None:
    one: dict[str, Any] = {}
    one["self"] = [one]
    one["lock"] = threading.Lock()
    with pytest.raises(TypeError, match=r"^x, item 'lock': cannot be sent .* type _thread.lock "):
        payload.write(tmp_path, print, x=one)


@pytest.mark.tensorflow
def test_a_dataset_has_a_remedy_of_its_own(tmp_path: Path) -> None:
    import tensorflow as tf

    dataset = tf.data.Dataset.range(3).map(lambda number: number)
    with pytest.raises(
        TypeError, match=r"validation_data, item 'a': cannot be sent .*MapDataset.*data_fn=, a function"
    ):
        payload.write(tmp_path, print, validation_data={"a": dataset})


@pytest.mark.tensorflow
def test_a_strategy_has_a_remedy_of_its_own(tmp_path: Path) -> None:
    import tensorflow as tf

    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with pytest.raises(
        TypeError, match=r"^distribution_strategy: .*OneDeviceStrategy.*as a function without arguments"
    ):
        payload.write(tmp_path, print, distribution_strategy=strategy)
