"""Which role a task of a Slurm step has, and the batch script that is written for a search."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from kt_ext.execution.credentials import CREDENTIALS, Credentials, ensure
from kt_ext.execution.slurm import chief_port, expand, join, restarted, roles


def task(rank: int, nodes: str = "n1", **more: str) -> dict[str, str]:
    """What srun sets in one of three tasks."""
    return {
        "SLURM_PROCID": str(rank),
        "SLURM_NTASKS": "3",
        "SLURM_JOB_ID": "1234",
        "SLURM_STEP_ID": "2",
        "SLURM_NODELIST": "all[1-100]",
        "SLURM_STEP_NODELIST": nodes,
        **more,
    }


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ["n1"]),
        ("a,b", ["a", "b"]),
        ("n[1-3,7]", ["n1", "n2", "n3", "n7"]),
        ("a,b-[01-02],c", ["a", "b-01", "b-02", "c"]),
        ("gpu[098-101]", ["gpu098", "gpu099", "gpu100", "gpu101"]),
        ("rack[1-2]-n[5,7].example.org", [f"rack{r}-n{n}.example.org" for r in (1, 2) for n in (5, 7)]),
        ("127.0.0.[1-2]", ["127.0.0.1", "127.0.0.2"]),
    ],
)
def test_a_node_list_is_expanded(text: str, names: list[str]) -> None:
    assert expand(text) == names


@pytest.mark.parametrize("text", ["n[1-3", "n1]", "n[1-[2-3]]", "n[1-]", "n[a-b]", "n[]"])
def test_a_node_list_that_is_not_understood_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="node list ") as error:
        expand(text)
    assert repr(text) in str(error.value)


def test_on_one_node_all_stays_on_it() -> None:
    port = str(61000 + (7 * 1234 + 2) % 4500)
    for rank, name in enumerate(("chief", "worker-1", "worker-2")):
        assert roles(task(rank)) == {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": port,
        }


def test_on_several_nodes_the_chief_is_on_the_first() -> None:
    addresses = [roles(task(rank, "n[3-4]"))["KERASTUNER_ORACLE_IP"] for rank in range(3)]
    assert addresses == ["0.0.0.0", "n3", "n3"]


def test_without_a_step_list_the_list_of_the_job_counts() -> None:
    environment = task(1)
    del environment["SLURM_STEP_NODELIST"]
    assert roles(environment)["KERASTUNER_ORACLE_IP"] == "all1"


def test_ports_are_above_those_of_outgoing_connections_and_differ() -> None:
    ports = [chief_port(job, step) for job in range(100, 740) for step in range(7)]
    assert len(set(ports)) == 640 * 7
    assert min(ports) >= 61000 and max(ports) < 65536


@pytest.mark.parametrize("name", ["SLURM_PROCID", "SLURM_NTASKS", "SLURM_JOB_ID", "SLURM_STEP_ID"])
def test_a_variable_that_is_missing_or_no_number_is_named(name: str) -> None:
    environment = task(0)
    del environment[name]
    with pytest.raises(ValueError, match=f"^{name} is not in the environment: .* start the script with srun"):
        roles(environment)
    for wrong in ("", "-1", "one", "1.5"):
        with pytest.raises(ValueError, match=f"^{name}='{wrong}': must be an integer >= 0"):
            roles({**environment, name: wrong})


def test_a_chief_needs_a_worker() -> None:
    with pytest.raises(ValueError, match=r"^SLURM_NTASKS='1': must be >= 2"):
        roles({**task(0), "SLURM_NTASKS": "1"})


def test_restarted() -> None:
    assert not restarted({})
    assert not restarted({"SLURM_RESTART_COUNT": "0"})
    assert restarted({"SLURM_RESTART_COUNT": "1"})
    with pytest.raises(ValueError, match=r"^SLURM_RESTART_COUNT='': must be an integer"):
        restarted({"SLURM_RESTART_COUNT": ""})


def test_on_one_node_there_are_no_credentials(tmp_path: Path) -> None:
    environment = task(0)
    join(tmp_path / "search", environment)
    assert environment == {**task(0), **roles(task(0))}
    assert list(tmp_path.iterdir()) == []


def test_on_several_nodes_the_workers_get_the_credentials_of_the_chief(tmp_path: Path) -> None:
    chief, worker = task(0, "n[1-2]"), task(1, "n[1-2]")
    waiting = threading.Thread(target=join, args=(tmp_path / "search", worker, 60.0))
    waiting.start()
    join(tmp_path / "search", chief)
    waiting.join(60.0)
    assert chief[CREDENTIALS] == worker[CREDENTIALS] == str(tmp_path / "search-credentials" / "1234")
    assert (chief["KERASTUNER_TUNER_ID"], worker["KERASTUNER_TUNER_ID"]) == ("chief", "worker-1")
    token = Credentials(chief[CREDENTIALS]).token

    again = task(0, "n[5-6]", SLURM_RESTART_COUNT="1")
    join(tmp_path / "search", again)
    assert Credentials(again[CREDENTIALS]).token == token


@pytest.mark.parametrize("chosen", [{CREDENTIALS: "/of/the/user"}, {"KT_EXT_INSECURE": "1"}])
def test_what_the_user_has_chosen_stays(tmp_path: Path, chosen: dict[str, str]) -> None:
    for rank in (0, 1):
        environment = task(rank, "n[1-2]", **chosen)
        join(tmp_path / "search", environment)
        assert environment == {**task(rank, "n[1-2]", **chosen), **roles(task(rank, "n[1-2]"))}
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_shared_is_named(tmp_path: Path) -> None:
    environment = task(1, "n[1-2]")
    with pytest.raises(TimeoutError, match=r"did not appear there for 0\.1 seconds.* nodes of the job share") as error:
        join(tmp_path / "search", environment, 0.1)
    assert str(tmp_path / "search-credentials" / "1234") in str(error.value)
    assert environment == task(1, "n[1-2]")


def test_nothing_is_set_where_the_credentials_are_bad(tmp_path: Path) -> None:
    made = ensure(tmp_path / "search-credentials" / "1234").directory
    os.chmod(made, 0o755)
    environment = task(0, "n[1-2]")
    with pytest.raises(PermissionError, match="chmod 700"):
        join(tmp_path / "search", environment)
    assert environment == task(0, "n[1-2]")
