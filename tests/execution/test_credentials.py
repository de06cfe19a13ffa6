"""Credentials: who gets in over real gRPC, what is refused when loading, races, and that no secret is shown."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent import futures
from datetime import datetime, timedelta, timezone
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from imports import ROOT
from kt_ext.execution.credentials import Credentials, InsecureBind, check_bind, create, ensure, from_environment

FILES = ["ca.pem", "server.key", "server.pem", "token"]
DEADLINE_SECONDS = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    """Read only: tests that change files make their own."""
    return create(tmp_path_factory.mktemp("made") / "credentials")


@pytest.fixture
def own(tmp_path: Path) -> Credentials:
    return create(tmp_path / "credentials")


# --- over gRPC


@pytest.fixture(scope="module")
def chief(made: Credentials) -> Iterator[int]:
    """The port, on 127.0.0.1 and 127.0.0.2, of a server that answers /kt_ext.Chief/Call with what it got, reversed."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    answer = grpc.unary_unary_rpc_method_handler(lambda request, context: request[::-1])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("kt_ext.Chief", {"Call": answer}),))
    port = server.add_secure_port("127.0.0.1:0", made.server())
    server.add_secure_port(f"127.0.0.2:{port}", made.server())
    server.start()
    yield port
    server.stop(None).wait()


def call(channel: grpc.Channel) -> bytes:
    with channel:
        return channel.unary_unary("/kt_ext.Chief/Call")(b"abc", timeout=DEADLINE_SECONDS)


def refusal(channel: grpc.Channel) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as refused:
        call(channel)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    return refused.value


# 127.0.0.2 is not in the certificate: it stands for a node whose name nobody knew beforehand
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_a_worker_with_the_authority_gets_in_under_any_address(made: Credentials, chief: int, host: str) -> None:
    channel = grpc.secure_channel(f"{host}:{chief}", made.channel(), options=made.channel_options())
    assert call(channel) == b"cba"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_certificate_names_the_loopback_addresses(made: Credentials, chief: int, host: str) -> None:
    assert call(grpc.secure_channel(f"{host}:{chief}", made.channel())) == b"cba"


def test_without_our_options_an_address_outside_the_certificate_is_refused(made: Credentials, chief: int) -> None:
    refusal(grpc.secure_channel(f"127.0.0.2:{chief}", made.channel()))


def test_an_address_given_as_host_is_in_the_certificate(tmp_path: Path) -> None:
    other = create(tmp_path / "credentials", hosts=["127.0.0.2", "node7.cluster.local", "fd00::7"])
    names = x509.load_pem_x509_certificate(other.certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert [str(name.value) for name in names.value] == [
        "127.0.0.2",
        "node7.cluster.local",
        "fd00::7",
        "localhost",
        "127.0.0.1",
        "::1",
    ]


def test_a_worker_with_another_authority_is_refused(own: Credentials, chief: int) -> None:
    error = refusal(grpc.secure_channel(f"127.0.0.1:{chief}", own.channel(), options=own.channel_options()))
    assert "certificate verify failed" in error.details().lower().replace("_", " ")


def test_a_worker_without_tls_is_refused(chief: int) -> None:
    refusal(grpc.insecure_channel(f"127.0.0.1:{chief}"))


# --- what is made


def test_files_and_directory_are_private_from_the_start_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a" / "b").iterdir()}
    assert modes == {"ca.pem": 0o644, "server.key": 0o600, "server.pem": 0o644, "token": 0o600}
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_an_empty_directory_that_others_can_read_becomes_private(tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir(mode=0o755)
    create(tmp_path / "credentials")
    assert stat.S_IMODE((tmp_path / "credentials").stat().st_mode) == 0o700


def test_each_set_has_secrets_of_its_own(made: Credentials, own: Credentials) -> None:
    assert len(made.token) == 43
    assert made.token != own.token
    assert made.key != own.key
    assert made.ca != own.ca


def test_the_key_of_the_authority_is_not_kept(made: Credentials) -> None:
    kept = serialization.load_pem_private_key(made.key, None).public_key()
    assert kept == x509.load_pem_x509_certificate(made.certificate).public_key()
    assert kept != x509.load_pem_x509_certificate(made.ca).public_key()
    assert (
        sum(b"PRIVATE KEY-----\n" in line for line in _contents(made).splitlines(keepends=True)) == 2
    )  # begin and end


def _contents(made: Credentials) -> bytes:
    return b"".join((Path(made.directory) / name).read_bytes() for name in FILES)


def test_both_certificates_are_valid_for_the_days_asked(tmp_path: Path) -> None:
    before = datetime.now(timezone.utc).replace(microsecond=0)
    made = create(tmp_path / "credentials", days=7)
    for certificate in (made.ca, made.certificate):
        until = x509.load_pem_x509_certificate(certificate).not_valid_after_utc
        assert before + timedelta(days=7) <= until <= datetime.now(timezone.utc) + timedelta(days=7)
        assert until == made.expires


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hosts": "node7"}, "hosts='node7': must be a sequence of names, not one string; write ['node7']"),
        ({"hosts": ["http://node7"]}, "host='http://node7': must be an IP address or a DNS name"),
        ({"hosts": ["node7:8000"]}, "host='node7:8000': must be an IP address or a DNS name"),
        ({"hosts": [""]}, "host='': must be an IP address or a DNS name"),
        ({"days": 0}, "days=0: must be an integer from 1 to 36500"),
        ({"days": 1.5}, "days=1.5: must be an integer from 1 to 36500"),
    ],
)
def test_wrong_arguments_make_nothing(tmp_path: Path, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        create(tmp_path / "credentials", **arguments)
    assert str(refused.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(own: Credentials) -> None:
    before = _contents(own)
    with pytest.raises(FileExistsError, match=rf"{own.directory} is there already.*KT_EXT_CREDENTIALS={own.directory}"):
        create(own.directory)
    assert _contents(own) == before


def test_a_directory_with_other_things_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    for path in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(FileExistsError, match="choose another directory"):
            create(path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_ensure_makes_once_and_then_loads(tmp_path: Path) -> None:
    first = ensure(tmp_path / "credentials")
    assert ensure(tmp_path / "credentials", hosts=["elsewhere"]).token == first.token
    (tmp_path / "empty").mkdir()
    assert ensure(tmp_path / "empty").token != first.token


# --- races

RACER = """
import hashlib, sys
from kt_ext.execution.credentials import create, ensure
import kt_ext.execution.certificates
print("ready", flush=True)
for directory in map(str.strip, sys.stdin):
    try:
        print(hashlib.sha256({function}(directory).token.encode()).hexdigest(), flush=True)
    except FileExistsError:
        print("lost", flush=True)
"""


def race(function: str, directories: list[Path]) -> list[list[str]]:
    """What each of three processes printed for each directory; they are let go at the same time for each."""
    command = [sys.executable, "-c", RACER.format(function=function)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": _environment()}
    racers = [subprocess.Popen(command, **pipes) for _ in range(3)]
    try:
        assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 3
        printed = []
        for directory in directories:
            for racer in racers:
                racer.stdin.write(f"{directory}\n")
                racer.stdin.flush()
            printed.append([racer.stdout.readline().strip() for racer in racers])
        return printed
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_of_several_processes_exactly_one_creates(tmp_path: Path) -> None:
    directories = [tmp_path / str(number) for number in range(20)]
    for directory, printed in zip(directories, race("create", directories), strict=True):
        winner = hashlib.sha256(Credentials(directory).token.encode()).hexdigest()
        assert sorted(printed) == sorted([winner, "lost", "lost"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in directories)


def test_of_several_processes_that_ensure_all_get_the_same_and_an_incomplete_set_is_never_seen(tmp_path: Path) -> None:
    directories = [tmp_path / str(number) for number in range(20)]
    seen: set[tuple[str, ...]] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.update(tuple(sorted(os.listdir(directory))) for directory in directories if directory.exists())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        printed = race("ensure", directories)
    finally:
        over.set()
        watcher.join()
    digests = [hashlib.sha256(Credentials(directory).token.encode()).hexdigest() for directory in directories]
    assert printed == [[digest] * 3 for digest in digests]
    assert seen == {tuple(FILES)}


# --- what is refused when loading


def test_a_missing_directory_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refused:
        Credentials(tmp_path / "none")
    assert str(refused.value).startswith(f"{tmp_path / 'none'} is missing: ")
    assert str(refused.value).endswith("python -m kt_ext credentials DIR")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named_also_by_ensure_which_mends_nothing(own: Credentials, name: str) -> None:
    (Path(own.directory) / name).unlink()
    for load in (Credentials, ensure):
        with pytest.raises(FileNotFoundError, match=rf"^{own.directory}/{name} is missing: .*kt_ext credentials DIR$"):
            load(own.directory)


@pytest.mark.parametrize(
    ("name", "mode", "command"),
    [
        ("", 0o750, "chmod 700 {}"),
        ("", 0o701, "chmod 700 {}"),
        ("token", 0o640, "chmod 600 {}/token"),
        ("token", 0o602, "chmod 600 {}/token"),
        ("server.key", 0o604, "chmod 600 {}/server.key"),
    ],
)
def test_what_others_may_open_is_refused_until_the_command_was_run(
    own: Credentials, name: str, mode: int, command: str
) -> None:
    path = Path(own.directory) / name
    path.chmod(mode)
    with pytest.raises(PermissionError) as refused:
        Credentials(own.directory)
    assert str(refused.value).startswith(f"{path} has mode {mode:04o}: only its owner may have access; ")
    assert command.format(own.directory) in str(refused.value)
    subprocess.run(command.format(own.directory).split(), check=True)
    assert Credentials(own.directory).token == own.token


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", ["", "token", "server.key"])
def test_what_belongs_to_someone_else_is_refused(own: Credentials, name: str) -> None:
    path = Path(own.directory) / name
    os.chown(path, 12345, -1)
    with pytest.raises(PermissionError) as refused:
        Credentials(own.directory)
    assert str(refused.value).startswith(f"{path} belongs to user 12345 and this process to user 0: ")
    assert f"sudo chown 0 {path}" in str(refused.value)


def test_an_expired_certificate_is_refused(own: Credentials) -> None:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    expired = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2019, 1, 1))
        .not_valid_after(datetime(2020, 1, 2, 3, 4))
        .sign(key, hashes.SHA256())
    )
    for file in ("server.pem", "ca.pem"):
        path = Path(own.directory) / file
        good = path.read_bytes()
        path.write_bytes(expired.public_bytes(serialization.Encoding.PEM))
        with pytest.raises(ValueError, match=r"expired on 2020-01-02 03:04 UTC; .*kt_ext credentials DIR$"):
            Credentials(own.directory)
        path.write_bytes(good)
    Credentials(own.directory)


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "token"])
def test_a_spoilt_file_is_named_and_not_shown(own: Credentials, name: str) -> None:
    (Path(own.directory) / name).write_bytes(b"half of a secret")
    with pytest.raises(ValueError) as refused:
        Credentials(own.directory)
    assert str(refused.value).startswith(f"{own.directory}/{name} is not ")
    assert "half" not in str(refused.value)


def test_a_newline_that_an_editor_added_is_no_part_of_the_token(own: Credentials) -> None:
    with open(Path(own.directory) / "token", "ab") as file:
        file.write(b"\n")
    assert Credentials(own.directory).token == own.token


# --- no secret is shown


def _is_shown(made: Credentials, text: str) -> bool:
    key_lines = made.key.decode().splitlines()[1:-1]
    return any(secret in text for secret in (made.token, *key_lines))


def test_no_text_or_pickle_holds_a_secret(own: Credentials) -> None:
    assert _is_shown(own, own.key.decode())
    assert _is_shown(own, own.token)
    assert repr(own) == str(own) == f"Credentials({own.directory!r})"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert not _is_shown(own, pickle.dumps(own, protocol).decode("latin-1"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("token", lambda path: path.chmod(0o644)),
        ("server.key", lambda path: path.chmod(0o644)),
        ("server.pem", lambda path: path.unlink()),
        ("server.pem", lambda path: path.write_bytes(b"")),
        ("token", lambda path: path.write_text("é " + path.read_text())),
    ],
)
def test_no_error_holds_a_secret(own: Credentials, name: str, change: Callable[[Path], object]) -> None:
    change(Path(own.directory) / name)
    script = f"from kt_ext.execution.credentials import Credentials; Credentials({own.directory!r})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=_environment())
    assert f"Error: {own.directory}/{name} " in done.stderr
    assert not _is_shown(own, done.stdout + done.stderr)


def test_a_copy_and_a_pickle_read_the_directory_again(own: Credentials) -> None:
    for again in (pickle.loads(pickle.dumps(own)), copy.deepcopy(own)):
        assert (again.token, again.key, again.ca) == (own.token, own.key, own.ca)
    (Path(own.directory) / "token").unlink()
    with pytest.raises(FileNotFoundError):
        copy.deepcopy(own)


# --- which addresses need credentials


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost", "LocalHost"])
def test_addresses_of_this_machine_need_no_credentials(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.delenv("KT_EXT_INSECURE", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_bind(host, None)


OPEN = [
    "0.0.0.0",
    "::",
    "[::]",
    "",
    "10.0.0.7",
    "node7",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "128.0.0.1",
]


@pytest.mark.parametrize("host", OPEN)
@pytest.mark.parametrize("insecure", [None, "", "0"])
def test_others_need_them(monkeypatch: pytest.MonkeyPatch, made: Credentials, host: str, insecure: str | None) -> None:
    monkeypatch.delenv("KT_EXT_INSECURE", raising=False)
    if insecure is not None:
        monkeypatch.setenv("KT_EXT_INSECURE", insecure)
    check_bind(host, made)
    with pytest.raises(ValueError) as refused:
        check_bind(host, None)
    for part in (f"host={host!r}: ", "python -m kt_ext credentials DIR", "KT_EXT_CREDENTIALS=DIR", "KT_EXT_INSECURE=1"):
        assert part in str(refused.value)


def test_an_insecure_bind_warns_each_time_even_if_warnings_are_ignored(
    monkeypatch: pytest.MonkeyPatch, made: Credentials
) -> None:
    monkeypatch.setenv("KT_EXT_INSECURE", "1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        for _ in range(3):
            check_bind("0.0.0.0", None)
        check_bind("0.0.0.0", made)
        check_bind("127.0.0.1", None)
    assert [(one.category, one.filename) for one in caught] == [(InsecureBind, __file__)] * 3
    assert "'0.0.0.0' without credentials (KT_EXT_INSECURE=1)" in str(caught[0].message)


def test_the_environment_names_the_directory(monkeypatch: pytest.MonkeyPatch, made: Credentials) -> None:
    monkeypatch.setenv("KT_EXT_CREDENTIALS", made.directory)
    found = from_environment()
    assert found is not None
    assert found.token == made.token
    monkeypatch.setenv("KT_EXT_CREDENTIALS", made.directory + "-none")
    with pytest.raises(FileNotFoundError, match=f"{made.directory}-none is missing"):
        from_environment()
    monkeypatch.setenv("KT_EXT_CREDENTIALS", "")
    assert from_environment() is None
    monkeypatch.delenv("KT_EXT_CREDENTIALS")
    assert from_environment() is None


# --- what is imported


def test_a_missing_cryptography_is_named_with_the_remedy(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['cryptography'] = None; from kt_ext.execution import credentials\n"
        f"credentials.create({str(tmp_path / 'credentials')!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=_environment())
    assert done.stderr.splitlines()[-1].startswith("ImportError: credentials need the package cryptography (")
    assert done.stderr.splitlines()[-1].endswith('Run: pip install "kt_ext[cluster]"')
    assert list(tmp_path.iterdir()) == []
