"""Where trials run: what the arguments and the environment say, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from kt_ext.tuners.placement import EXECUTORS, LAUNCHED, Placement

CHIEF = {"KERASTUNER_ORACLE_IP": "10.0.0.1", "KERASTUNER_ORACLE_PORT": "8000", "KERASTUNER_TUNER_ID": "chief"}
SLURM = {"SLURM_NTASKS": "3", "SLURM_PROCID": "0"}
RAY = {"RAY_ADDRESS": "auto"}


def no_gpus() -> list[str]:
    return []


def never_asked() -> list[str]:
    raise AssertionError("the GPUs do not matter here")


def test_all_executors_are_known() -> None:
    assert EXECUTORS == ("auto", "serial", "process", "grpc", "ray", "slurm")


@pytest.mark.parametrize("executor", ["serial", "process", "ray", "slurm"])
@pytest.mark.parametrize("environment", [{}, RAY, SLURM])
def test_a_named_executor_is_taken(executor: str, environment: dict[str, str]) -> None:
    assert Placement(executor).chosen(environment, never_asked) == executor


@pytest.mark.parametrize(
    ("arguments", "environment", "gpus", "expected"),
    [
        ({}, {}, [], "serial"),
        ({}, {}, ["0"], "serial"),
        ({}, {}, ["0", "1"], "process"),
        ({"workers": 1}, {}, [], "process"),
        ({"workers": "gpus"}, {}, [], "process"),
        ({"gpus_per_worker": 0.5}, {}, ["0"], "process"),
        ({}, RAY, ["0", "1"], "ray"),
        ({"workers": 2}, RAY, [], "ray"),
        ({}, {"RAY_ADDRESS": ""}, [], "serial"),
        ({}, SLURM, [], "slurm"),
        ({}, SLURM | RAY, [], "slurm"),
        ({}, SLURM | {"SLURM_NTASKS": "1"}, [], "serial"),
        ({}, {"SLURM_NTASKS": "3"}, [], "serial"),  # a batch script: no task of a step
        ({}, CHIEF, [], "grpc"),
        ({"workers": 2}, CHIEF | SLURM | RAY, ["0", "1"], "grpc"),
    ],
)
def test_what_auto_means(
    arguments: dict[str, Any], environment: dict[str, str], gpus: list[str], expected: str
) -> None:
    assert Placement(**arguments).chosen(environment, lambda: gpus) == expected


@pytest.mark.parametrize("executor", ["auto", "grpc", "slurm"])
def test_keras_tuners_variables_make_a_chief_or_a_worker(executor: str) -> None:
    assert Placement(executor).chosen(CHIEF, never_asked) == "grpc"


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_worker_that_an_executor_has_started_is_one_whatever_it_says(executor: str) -> None:
    assert Placement(executor).chosen(CHIEF | {LAUNCHED: "1"}, never_asked) == "grpc"


@pytest.mark.parametrize("executor", ["serial", "process", "ray"])
def test_keras_tuners_variables_and_another_executor_contradict_each_other(executor: str) -> None:
    with pytest.raises(ValueError) as error:
        Placement(executor).chosen(CHIEF, no_gpus)
    assert str(error.value) == (
        f"executor='{executor}': KERASTUNER_ORACLE_IP='10.0.0.1' makes this process a chief or a worker of a cluster; "
        "use executor='auto', or unset the KERASTUNER_ variables"
    )


def test_grpc_needs_keras_tuners_variables() -> None:
    with pytest.raises(ValueError) as error:
        Placement("grpc").chosen({}, no_gpus)
    assert str(error.value) == (
        "executor='grpc': set KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP, KERASTUNER_ORACLE_PORT in the chief (whose id "
        "contains 'chief') and in each worker, as Keras Tuner's guide to distributed tuning says; or use "
        "executor='process'"
    )


WORKERS = "must be an integer >= 1, or 'gpus' for one on each GPU"
SHARE = "must be a number >= 0: 1, 2, ..., a share such as 0.5, or 0 for none"
SECONDS = "must be a number of seconds > 0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *(
            (
                {"executor": wrong},
                f"executor={wrong!r}: must be one of 'auto', 'serial', 'process', 'grpc', 'ray', 'slurm'",
            )
            for wrong in ("threads", "", None, 3)
        ),
        *(({"workers": wrong}, f"workers={wrong!r}: {WORKERS}") for wrong in (0, -1, 1.5, True, "all", "2")),
        *(
            ({"gpus_per_worker": wrong}, f"gpus_per_worker={wrong!r}: {SHARE}")
            for wrong in (-1, float("nan"), float("inf"), "1", True)
        ),
        *(
            ({name: wrong}, f"{name}={wrong!r}: {SECONDS}")
            for name in ("lease_seconds", "heartbeat_seconds", "trial_timeout")
            for wrong in (0, 0.0, -1, float("nan"), float("inf"), "30", True)
        ),
        *(({name: None}, f"{name}=None: {SECONDS}") for name in ("lease_seconds", "heartbeat_seconds")),
        (
            {"lease_seconds": 8.0},
            "heartbeat_seconds=5.0: must be at most half of lease_seconds=8.0, so that one lost heartbeat does not "
            "cost a worker its trial",
        ),
        (
            {"executor": "serial", "workers": 2},
            "executor='serial', workers=2, gpus_per_worker=None: all trials run in this process; use "
            "executor='process' for workers",
        ),
        (
            {"executor": "serial", "gpus_per_worker": 1},
            "executor='serial', workers=None, gpus_per_worker=1: all trials run in this process; use "
            "executor='process' for workers",
        ),
        (
            {"executor": "serial", "workers": "gpus"},
            "executor='serial', workers='gpus', gpus_per_worker=None: all trials run in this process; use "
            "executor='process' for workers",
        ),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        Placement(**arguments)
    assert str(error.value) == message


def test_what_is_allowed_just_so() -> None:
    Placement("serial", workers=1)
    Placement(workers="gpus", gpus_per_worker=0)
    Placement(lease_seconds=10, heartbeat_seconds=5, trial_timeout=None)
    Placement(trial_timeout=0.5)


def test_several_gpus_for_each_model_are_no_several_workers() -> None:
    assert Placement().chosen({}, lambda: ["0", "1"], has_strategy=True) == "serial"
    assert Placement(workers=2).chosen({}, lambda: ["0", "1"], has_strategy=True) == "process"


@pytest.mark.parametrize("executor", ["grpc", "slurm"])
def test_who_starts_the_workers_says_how_many(executor: str) -> None:
    with pytest.raises(ValueError, match=f"executor='{executor}', workers=8, gpus_per_worker=None: as many train as"):
        Placement(executor, workers=8)


def test_one_process_cannot_stop_its_own_trial() -> None:
    with pytest.raises(ValueError, match=r"trial_timeout=9\.0: a process cannot stop its own trial"):
        Placement("serial", trial_timeout=9.0)
