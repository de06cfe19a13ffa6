"""Chief and workers with credentials: a whole search over TLS, and who is turned away."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from distributed.test_chief_and_workers import DEADLINE_SECONDS, SCRIPT, free_port, listens
from kt_ext.core.journal import Journal
from kt_ext.execution import Chief, ChiefClient, ChiefError, wire
from kt_ext.execution.credentials import Credentials, InsecureBind, create
from kt_ext.oracles import SchedulerOracle
from kt_ext.schedulers import FIFO
from oracles.oracle_driving import LOSS, journal, placed, small_space


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Credentials, Credentials]:
    """The chief's credentials, and some of another chief."""
    where = tmp_path_factory.mktemp("credentials")
    return create(where / "ours"), create(where / "theirs")


@pytest.fixture
def oracle(tmp_path: Path) -> Iterator[SchedulerOracle]:
    made = SchedulerOracle(FIFO(3, 4), objective=LOSS, seed=3, hyperparameters=small_space())
    yield placed(made, tmp_path, "search")
    made.finish()


@pytest.fixture
def refusal(
    oracle: SchedulerOracle, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch
) -> Callable[..., str]:
    """How a worker that asks for a trial is turned away, and not as one whose chief may yet come."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("KT_EXT_CHIEF_PATIENCE", "60")

    def of(chief: Chief, *secrets: str, credentials: Credentials | None = None) -> str:
        client = ChiefClient(oracle, "a", f"127.0.0.1:{chief.port}", credentials)
        with pytest.raises(ChiefError) as refused:
            client.create_trial("a")
        said = str(refused.value)
        written = said + repr(refused.value.__cause__) + caplog.text + "".join(capfd.readouterr())
        assert all(secret not in written for secret in secrets)
        assert len(chief.leases) == 0
        assert oracle.trials == {}
        return said

    return of


def with_token(credentials: Credentials, token: str) -> Credentials:
    """The same authority with another token."""
    changed = Credentials(credentials.directory)
    changed.token = token
    return changed


# Who is turned away


def test_a_wrong_token(oracle, sets, refusal) -> None:
    ours, theirs = sets
    with Chief(oracle, credentials=ours) as chief:
        said = refusal(chief, ours.token, theirs.token, credentials=with_token(ours, theirs.token))
    assert "the token is missing or is not this chief's; give the worker its credentials" in said


def test_no_token(oracle, sets, refusal) -> None:
    ours, _ = sets
    with Chief(oracle, credentials=ours) as chief:
        said = refusal(chief, ours.token, credentials=with_token(ours, ""))
    assert "the token is missing or is not this chief's; give the worker its credentials" in said


def test_another_chiefs_credentials(oracle, sets, refusal) -> None:
    ours, theirs = sets
    with Chief(oracle, credentials=ours) as chief:
        said = refusal(chief, ours.token, theirs.token, credentials=theirs)
        assert f"the chief at 127.0.0.1:{chief.port} does not prove to be the one whose credentials" in said
    assert "set KT_EXT_CREDENTIALS to a copy of the chief's" in said


def test_no_credentials(oracle, sets, refusal, monkeypatch) -> None:
    ours, _ = sets
    monkeypatch.delenv("KT_EXT_CREDENTIALS", raising=False)
    with Chief(oracle, credentials=ours) as chief:
        said = refusal(chief, ours.token)
    assert "wants TLS and a token, and this worker has no credentials: set KT_EXT_CREDENTIALS" in said


def test_credentials_for_a_chief_without(oracle, sets, refusal, monkeypatch) -> None:
    ours, _ = sets
    monkeypatch.setenv("KT_EXT_CREDENTIALS", ours.directory)
    with Chief(oracle) as chief:
        said = refusal(chief, ours.token)
    assert "speaks no TLS" in said
    assert "start the chief with KT_EXT_CREDENTIALS, too, or unset it for this worker" in said


def test_the_chief_tells_strangers_and_its_log_no_secret(oracle, sets, caplog) -> None:
    ours, theirs = sets
    caplog.set_level(logging.DEBUG)
    with Chief(oracle, credentials=ours) as chief:
        channel = grpc.secure_channel(f"127.0.0.1:{chief.port}", ours.channel(), ours.channel_options())
        with channel, pytest.raises(grpc.RpcError) as failed:
            said = [(wire.AUTHORIZATION, f"Bearer {theirs.token}")]
            channel.unary_unary("/keras_tuner.Oracle/GetSpace")(b"", timeout=10, metadata=said)
    heard = f"{failed.value.details()} {failed.value.trailing_metadata()} {failed.value.initial_metadata()} {chief!r}"
    assert failed.value.code() == grpc.StatusCode.UNAUTHENTICATED
    for token in (ours.token, theirs.token):
        assert token not in heard + caplog.text
    assert ours.key.decode() not in heard + caplog.text


class Touch:
    """Leaves a file behind if it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
def test_a_pickle_is_not_loaded(oracle, sets, tmp_path, protocol) -> None:
    """Not even one from a worker with the token: the chief reads JSON."""
    ours, _ = sets
    sent = pickle.dumps(Touch(tmp_path / "touched"), protocol)
    metadata = [(wire.AUTHORIZATION, f"Bearer {ours.token}"), (wire.WORKER, "a"), (wire.SESSION, "s")]
    with Chief(oracle, credentials=ours) as chief:
        channel = grpc.secure_channel(f"127.0.0.1:{chief.port}", ours.channel(), ours.channel_options())
        with channel, pytest.raises(grpc.RpcError) as failed:
            channel.unary_unary(f"/{wire.SERVICE}/{wire.METHOD}")(sent, timeout=10, metadata=metadata)
        assert len(chief.leases) == 0
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert not (tmp_path / "touched").exists()
    pickle.loads(sent)
    assert (tmp_path / "touched").exists()  # it would have


# Addresses that other machines reach


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "login.cluster"])
def test_without_credentials_other_machines_are_not_served(oracle, tmp_path, monkeypatch, host) -> None:
    monkeypatch.delenv("KT_EXT_INSECURE", raising=False)
    with pytest.raises(ValueError, match=r"needs credentials.*python -m kt_ext credentials.*KT_EXT_CREDENTIALS=DIR"):
        Chief(oracle, host)
    assert not (tmp_path / "search").exists()


def test_with_credentials_they_are(oracle, sets) -> None:
    ours, _ = sets
    with Chief(oracle, "0.0.0.0", credentials=ours) as chief:
        client = ChiefClient(oracle, "a", f"127.0.0.1:{chief.port}", ours)
        assert client.create_trial("a").trial_id == "0"
        client.close()


def test_insecure_is_allowed_and_said_each_time(oracle, monkeypatch) -> None:
    monkeypatch.setenv("KT_EXT_INSECURE", "1")
    monkeypatch.delenv("KT_EXT_CREDENTIALS", raising=False)
    for _ in range(2):
        with pytest.warns(InsecureBind, match="the chief listens on '0.0.0.0' without credentials"):
            chief = Chief(oracle, "0.0.0.0")
    with chief:
        client = ChiefClient(oracle, "a", f"127.0.0.1:{chief.port}")
        assert client.create_trial("a").trial_id == "0"
        client.close()


# A user's script


def start(directory: Path, name: str, host: str, port: int, credentials: str | None) -> subprocess.Popen[bytes]:
    """The script as chief or worker; what it prints is in ``NAME.txt``."""
    env = os.environ | {
        "KERASTUNER_TUNER_ID": name,
        "KERASTUNER_ORACLE_IP": host,
        "KERASTUNER_ORACLE_PORT": str(port),
    }
    env.pop("KT_EXT_INSECURE", None)
    env.pop("KT_EXT_CREDENTIALS", None)
    if credentials is not None:
        env["KT_EXT_CREDENTIALS"] = credentials
    with open(directory / f"{name}.txt", "wb") as output:
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), str(directory), "asha"], stdout=output, stderr=subprocess.STDOUT, env=env
        )


@pytest.mark.slow
def test_a_search_on_an_address_that_other_machines_reach(tmp_path, sets, oracle, monkeypatch) -> None:
    ours, _ = sets
    monkeypatch.delenv("KT_EXT_CREDENTIALS", raising=False)
    (tmp_path / "resumed").touch()  # the script's worker0 would wait for a worker1
    port = free_port()
    processes = {"chief": start(tmp_path, "chief", "0.0.0.0", port, ours.directory)}
    deadline = time.monotonic() + DEADLINE_SECONDS
    try:
        while not listens(port) and processes["chief"].poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        with pytest.raises(ChiefError, match="wants TLS and a token"):
            ChiefClient(oracle, "stranger", f"127.0.0.1:{port}").create_trial("stranger")
        processes["worker0"] = start(tmp_path, "worker0", "127.0.0.1", port, ours.directory)
        codes = {name: process.wait(deadline - time.monotonic()) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    output = {name: (tmp_path / f"{name}.txt").read_text() for name in processes}
    assert codes == {"chief": 0, "worker0": 0}, output
    assert "Search ended: all 9 trials are done" in output["chief"]
    events = journal(tmp_path / "search")
    assert {event["worker"] for event in events if event["e"] in ("ask", "again")} == {"worker0"}
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert ours.token.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_a_chief_without_credentials_does_not_begin(tmp_path) -> None:
    process = start(tmp_path, "chief", "0.0.0.0", free_port(), None)
    try:
        assert process.wait(DEADLINE_SECONDS) == 1
    finally:
        process.kill()
        process.wait()
    assert (
        "ValueError: host='0.0.0.0': a chief that other machines can reach needs credentials"
        in (tmp_path / "chief.txt").read_text()
    )
    assert list(Journal.read(tmp_path / "search" / "journal.jsonl")) == []
