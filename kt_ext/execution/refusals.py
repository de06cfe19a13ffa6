"""What a failed call to a chief means for a worker."""

from __future__ import annotations

import socket
import ssl

import grpc

from kt_ext.execution import wire
from kt_ext.execution.credentials import CREDENTIALS
from kt_ext.execution.errors import ChiefError, LostTrial

_PROBE_SECONDS = 2.0
_Code = grpc.StatusCode


class WorkerIdTaken(ChiefError):
    """Another session has the worker id.

    Attributes:
        lease_seconds: after which time a dead holder is missed.
    """

    def __init__(self, message: str, lease_seconds: float) -> None:
        super().__init__(message)
        self.lease_seconds = lease_seconds


def told(error: grpc.RpcError, address: str, worker_id: str, secure: bool) -> Exception | None:
    """What to raise for a failed call; None if trying again may help.

    Args:
        error: what gRPC raised.
        address: the chief's, ``host:port``.
        worker_id: this worker's.
        secure: whether this worker has credentials.
    """
    code, text = error.code(), error.details() or ""
    if code == _Code.FAILED_PRECONDITION:
        return LostTrial(text)
    if code == _Code.INVALID_ARGUMENT:
        return ValueError(text)
    if code == _Code.ALREADY_EXISTS:
        lease = float(dict(error.trailing_metadata() or ()).get(wire.LEASE_SECONDS, 0.0))
        return WorkerIdTaken(
            f"worker_id={worker_id!r}: {text}; give each worker a KERASTUNER_TUNER_ID of its own, or stop the other",
            lease,
        )
    if code == _Code.UNAUTHENTICATED:
        return ChiefError(f"the chief at {address} refuses this worker: {text}. Set {CREDENTIALS} to a copy of its own")
    if code == _Code.UNIMPLEMENTED:
        return ChiefError(
            f"at {address} is no chief of this kt_ext ({text}): chief and workers need a kt_ext tuner and one version"
        )
    if code in (_Code.UNAVAILABLE, _Code.DEADLINE_EXCEEDED, _Code.CANCELLED):
        return _of_connection(text, address, secure)
    return ChiefError(f"the chief at {address} could not answer ({code.name}): {text}")


def _of_connection(text: str, address: str, secure: bool) -> ChiefError | None:
    lower = text.lower()
    if "certificate_verify_failed" in lower or "certificate verify failed" in lower:
        return ChiefError(
            f"the chief at {address} does not prove to be the one whose credentials this worker has ({text}): set "
            f"{CREDENTIALS} to a copy of the chief's, and see that no other service has the address"
        )
    if "wrong_version_number" in lower or "wrong version number" in lower:
        return ChiefError(
            f"what listens at {address} speaks no TLS ({text}): start the chief with {CREDENTIALS}, too, or unset it "
            "for this worker"
        )
    # A server with TLS just hangs up on a worker without: as a chief does that is being restarted.
    if not secure and ("socket closed" in lower or "reset" in lower) and _speaks_tls(address):
        return ChiefError(
            f"the chief at {address} wants TLS and a token, and this worker has no credentials: set {CREDENTIALS} to a "
            "copy of the chief's"
        )
    return None


def _speaks_tls(address: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent, only the handshake counts
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), _PROBE_SECONDS) as connection,
            context.wrap_socket(connection),
        ):
            return True
    except OSError:
        return False
