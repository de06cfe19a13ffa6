"""Who may talk to a chief: a directory with a certificate and a token, and which addresses need them.

It holds ``ca.pem`` (what workers trust), ``server.pem`` and ``server.key`` (who the chief is) and ``token`` (what
workers must say). ``python -m kt_ext credentials DIR`` makes it on one machine; the others share it, or get a copy by
``scp -rp`` or ``rsync -a``, which keep the modes: only the owner may read it.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import shlex
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from kt_ext.core.durable import FilePath, sync_directory

if TYPE_CHECKING:
    import grpc

CREDENTIALS = "KT_EXT_CREDENTIALS"
INSECURE = "KT_EXT_INSECURE"

_MODES = {"ca.pem": 0o644, "server.pem": 0o644, "server.key": 0o600, "token": 0o600}
_WORKERS = ("ca.pem", "token")
_TOKEN_BYTES = 32
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{43,}")  # 32 bytes or more in URL-safe base 64


class InsecureBind(UserWarning):
    """Whoever reaches the address of this chief can read and change its search, because KT_EXT_INSECURE=1 allows it."""


class Credentials:
    """The credentials in a directory, checked and held in memory.

    Neither ``repr`` nor an error nor a pickle holds a secret: unpickling reads the directory again.

    Args:
        directory: made by ``create``.

    Attributes:
        directory: its absolute path.
        ca: what a worker trusts, PEM.
        certificate: who the chief is, PEM; empty in the credentials of a worker, see ``write_client``.
        key: the private key of the certificate, PEM; empty likewise.
        token: what a worker must say: URL-safe text of 32 random bytes.
        expires: until when the certificates are valid, in UTC.

    Raises:
        FileNotFoundError: the directory or one of its files is missing.
        PermissionError: the directory or a private file is open to others than its owner, or belongs to someone else.
        ValueError: the certificates have expired, or a file does not hold what it should.
        ImportError: the package ``cryptography`` is not installed.
    """

    def __init__(self, directory: FilePath) -> None:
        self.directory = os.path.realpath(directory)
        with _missing_files_explained():
            _check_private(self.directory, os.stat(self.directory), 0o700)
            workers_only = not {"server.pem", "server.key"} & set(os.listdir(self.directory))
            names = _WORKERS if workers_only else tuple(_MODES)
            found = {name: self._read(name) for name in names}
        self.ca, token = found["ca.pem"], found["token"]
        self.certificate, self.key = found.get("server.pem", b""), found.get("server.key", b"")
        if not _TOKEN.fullmatch(token.strip()):
            raise ValueError(self._problem("token", "is not 43 or more letters, digits, - and _"))
        self.token = token.strip().decode("ascii")
        self.expires = min(self._expiry(name, found[name]) for name in names if name.endswith(".pem"))
        if self.expires <= datetime.now(timezone.utc):
            name = "ca.pem" if workers_only else "server.pem"
            raise ValueError(self._problem(name, f"expired on {self.expires:%Y-%m-%d %H:%M} UTC"))

    def server(self) -> grpc.ServerCredentials:
        """What a chief serves with. Workers are known by their token, not by certificates of their own.

        Raises:
            ValueError: these are the credentials of a worker, see ``write_client``.
        """
        import grpc

        if not self.key:
            raise ValueError(self._problem("server.key", "is missing: these are the credentials of a worker"))
        return grpc.ssl_server_credentials([(self.key, self.certificate)])

    def channel(self) -> grpc.ChannelCredentials:
        """What a worker connects with, together with ``channel_options``; the token is not part of it."""
        import grpc

        return grpc.ssl_channel_credentials(self.ca)

    def channel_options(self) -> list[tuple[str, str]]:
        """Options of a worker's channel, by which the chief may be reached under any name or address."""
        # A name tells apart the holders of certificates of one authority. Ours has signed a single certificate and its
        # key is gone, so whoever proves to hold that certificate is the chief, on whichever node the scheduler put it.
        return [("grpc.ssl_target_name_override", "localhost")]

    def __repr__(self) -> str:
        return f"Credentials({self.directory!r})"

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return type(self), (self.directory,)

    def _read(self, name: str) -> bytes:
        with open(os.path.join(self.directory, name), "rb") as file:
            if _MODES[name] == 0o600:
                _check_private(file.name, os.fstat(file.fileno()), 0o600)
            return file.read()

    def _expiry(self, name: str, certificate: bytes) -> datetime:
        from kt_ext.execution.certificates import expiry

        try:
            return expiry(certificate)
        except ValueError:
            raise ValueError(self._problem(name, "is not a certificate in PEM form")) from None

    def _problem(self, name: str, what: str) -> str:
        remedy = f"make credentials in a new directory: {command('DIR')}"
        return f"{os.path.join(self.directory, name)} {what}; {remedy}"


def create(directory: FilePath, hosts: Sequence[str] = ("localhost", "127.0.0.1"), days: int = 365) -> Credentials:
    """Make the credentials of a chief and its workers; the directory appears complete or not at all.

    Args:
        directory: where; it must be absent or empty. Its parents are made if need be.
        hosts: IP addresses and DNS names of the chief that the certificate is to name, beside localhost, 127.0.0.1 and
            ::1. Our own workers need none of them, see ``Credentials.channel_options``.
        days: how long the certificates are valid.

    Raises:
        FileExistsError: the directory holds something, be it made by another process just now.
        ValueError: ``hosts`` or ``days`` is not as said.
        ImportError: the package ``cryptography`` is not installed.
        OSError: the directory cannot be written.
    """
    from kt_ext.execution.certificates import issue

    path = os.path.realpath(directory)
    if os.path.exists(path) and not (os.path.isdir(path) and not os.listdir(path)):
        raise FileExistsError(_already_there(path))
    issued = issue(hosts, days)
    token = secrets.token_urlsafe(_TOKEN_BYTES).encode("ascii")
    parent, name = os.path.split(path)
    os.makedirs(parent, exist_ok=True)
    temporary = tempfile.mkdtemp(prefix=f".{name}-", dir=parent)  # mode 0700
    try:
        for (file, mode), content in zip(_MODES.items(), (*issued, token), strict=True):
            _write_new(os.path.join(temporary, file), content, mode)
        sync_directory(temporary)
        try:
            os.rename(temporary, path)
        except OSError:
            if os.path.isdir(path) and os.listdir(path):  # another process was faster
                raise FileExistsError(_already_there(path)) from None
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # gone already, unless something failed
    sync_directory(parent)
    return Credentials(path)


def write_client(directory: FilePath, ca: bytes, token: str) -> Credentials:
    """Write what a worker needs of a chief's credentials, for a worker that cannot see their directory.

    Args:
        directory: an empty one, of mode 0700.
        ca: as the chief's ``Credentials`` have it.
        token: likewise.

    Raises:
        FileExistsError: the directory has such files.
        OSError, ValueError: as ``Credentials``.
    """
    for name, content in (("ca.pem", ca), ("token", token.encode("ascii"))):
        _write_new(os.path.join(directory, name), content, _MODES[name])
    return Credentials(directory)


def ensure(directory: FilePath, hosts: Sequence[str] = ("localhost", "127.0.0.1"), days: int = 365) -> Credentials:
    """The credentials in ``directory``, made if there are none; many processes may do this at the same time.

    Credentials that are there are taken as they are, whatever their hosts. Raises what ``Credentials`` and ``create``
    raise.
    """
    if not os.path.exists(directory) or not os.listdir(directory):
        with suppress(FileExistsError):  # another process was faster
            return create(directory, hosts, days)
    return Credentials(directory)


def from_environment() -> Credentials | None:
    """The credentials in the directory that KT_EXT_CREDENTIALS names, None if it is unset or empty.

    Raises what ``Credentials`` raises.
    """
    directory = os.environ.get(CREDENTIALS)
    return Credentials(directory) if directory else None


def check_bind(host: str, credentials: Credentials | None) -> None:
    """Refuse to serve a search to other machines without credentials.

    Addresses of this machine only (127.0.0.0/8, ::1, localhost) need none. With KT_EXT_INSECURE=1 the others need none
    either, and each call warns with InsecureBind, whatever the filters of warnings are.

    Raises:
        ValueError: ``host`` can be reached from other machines and ``credentials`` is None.
    """
    if credentials is not None or _is_loopback(host):
        return
    if os.environ.get(INSECURE) != "1":
        raise ValueError(
            f"host={host!r}: a chief that other machines can reach needs credentials, or whoever reaches it can change "
            f"the search. Run `{command('DIR')}` and set {CREDENTIALS}=DIR for the chief and the workers, or use "
            f"host='127.0.0.1'; {INSECURE}=1 does without, for a network where everyone may"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("always", InsecureBind)
        message = f"the chief listens on {host!r} without credentials ({INSECURE}=1): whoever reaches it can change it"
        warnings.warn(message, InsecureBind, stacklevel=2)


def command(directory: str) -> str:
    """The command line that makes credentials in ``directory``."""
    return f"python -m kt_ext credentials {shlex.quote(directory)}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _write_new(path: str, content: bytes, mode: int) -> None:
    """Write a file that has its mode from the start: nobody can open it in between."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _check_private(path: str, status: os.stat_result, mode: int) -> None:
    user = os.geteuid()
    if status.st_uid != user:
        raise PermissionError(
            f"{path} belongs to user {status.st_uid} and this process to user {user}: credentials must be one's own; "
            f"run: sudo chown {user} {shlex.quote(path)}"
        )
    if status.st_mode & 0o077:
        raise PermissionError(
            f"{path} has mode {status.st_mode & 0o777:04o}: only its owner may have access; "
            f"run: chmod {mode:o} {shlex.quote(path)}, and make new credentials if others may have read these"
        )


@contextmanager
def _missing_files_explained() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error.filename} is missing: it is a part of the credentials of a chief and its workers; copy all of "
            f"them from where they were made, or make new ones in a new directory: {command('DIR')}"
        ) from None


def _already_there(path: str) -> str:
    return (
        f"{path} is there already: it is never overwritten. If it holds credentials, use them with "
        f"{CREDENTIALS}={shlex.quote(path)}, or delete them; else choose another directory"
    )
