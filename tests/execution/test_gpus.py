from __future__ import annotations

from pathlib import Path

import pytest

from kt_ext.execution.gpus import slots, visible_gpus


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0,1", ["0", "1"]),
        (" 2 , 5 ", ["2", "5"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
        ("GPU-8932f937,MIG-GPU-1/7/0", ["GPU-8932f937", "MIG-GPU-1/7/0"]),
    ],
)
def test_the_variable_names_the_gpus(monkeypatch: pytest.MonkeyPatch, value: str, expected: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('echo "$@" >"$0.arguments"; echo 0; echo 1', ["0", "1"]),
        ("echo 0; exit 9", []),
        ("echo 'No devices'; exit 6", []),
    ],
)
def test_without_it_nvidia_smi_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, expected: list[str]
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert visible_gpus() == expected
    if expected:
        assert (tmp_path / "nvidia-smi.arguments").read_text() == "--query-gpu=index --format=csv,noheader\n"


def test_a_machine_without_nvidia_smi_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []


@pytest.mark.parametrize(
    ("workers", "gpus_per_worker", "gpus", "expected"),
    [
        ("gpus", None, "ab", [("a",), ("b",)]),
        ("gpus", 2, "abcd", [("a", "b"), ("c", "d")]),
        ("gpus", 2, "abc", [("a", "b")]),
        ("gpus", 2.0, "ab", [("a", "b")]),
        ("gpus", 0.5, "ab", [("a",), ("b",), ("a",), ("b",)]),
        ("gpus", 0.4, "a", [("a",), ("a",)]),
        ("gpus", 0.3, "a", [("a",)] * 3),
        ("gpus", 1 / 49, "a", [("a",)] * 49),
        ("gpus", 0.7, "ab", [("a",), ("b",)]),
        (2, None, "abc", [("a",), ("b",)]),
        (3, 0.5, "ab", [("a",), ("b",), ("a",)]),
        (1, 3, "abc", [("a", "b", "c")]),
        (3, None, "", [(), (), ()]),
        (2, 0, "", [(), ()]),
        (2, 0, "ab", [(), ()]),
    ],
)
def test_each_worker_gets_its_gpus(
    workers: int | str, gpus_per_worker: float | None, gpus: str, expected: list[tuple[str, ...]]
) -> None:
    assert slots(workers, gpus_per_worker, list(gpus)) == expected


@pytest.mark.parametrize(
    ("workers", "gpus_per_worker", "gpus", "complaint"),
    [
        (0, None, "", "workers=0: must be an integer >= 1, or 'gpus'"),
        (True, None, "", "workers=True: must be"),
        (2.0, None, "", "workers=2.0: must be"),
        ("cpus", None, "", "workers='cpus': must be"),
        (1, 1.5, "ab", "gpus_per_worker=1.5: must be 0, an integer >= 1, or a fraction below 1"),
        (1, -1, "ab", "gpus_per_worker=-1: must be"),
        (1, float("nan"), "ab", "gpus_per_worker=nan: must be"),
        (1, "all", "ab", "gpus_per_worker='all': must be"),
        ("gpus", None, "", "workers='gpus': no GPU is visible; give workers= as a number"),
        ("gpus", 0, "ab", "workers='gpus': gpus_per_worker=0 hides the GPUs"),
        (3, None, "ab", "workers=3, gpus_per_worker=1: the 2 visible GPUs have room for 2 workers; give workers=2"),
        (5, 0.5, "ab", "have room for 4 workers; give workers=4"),
        (1, 3, "ab", "have room for 0 workers; give a smaller gpus_per_worker="),
        ("gpus", 3, "ab", "have room for 0 workers; give a smaller gpus_per_worker="),
        (1, 1, "", "the 0 visible GPUs have room for 0 workers"),
    ],
)
def test_what_cannot_be_given_is_refused(
    workers: int | str, gpus_per_worker: float | None, gpus: str, complaint: str
) -> None:
    with pytest.raises(ValueError) as error:
        slots(workers, gpus_per_worker, list(gpus))
    assert complaint in str(error.value)
