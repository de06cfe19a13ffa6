"""A certificate authority for one certificate. Needs ``cryptography``: import this module only where it is used."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError as error:
    raise ImportError(
        f'credentials need the package cryptography ({error}). Run: pip install "kt_ext[cluster]"'
    ) from error

_ALWAYS = ("localhost", "127.0.0.1", "::1")
_DNS_NAME = re.compile(r"(\*\.)?(?!-)[A-Za-z0-9_-]{1,63}(\.(?!-)[A-Za-z0-9_-]{1,63})*")
# The clock of a worker may be behind that of the machine that made the certificate.
_BACKDATED = timedelta(days=1)


class Issued(NamedTuple):
    """PEM: the authority's certificate, and the server's certificate with its private key (PKCS 8, not encrypted)."""

    ca: bytes
    certificate: bytes
    key: bytes


def issue(hosts: Sequence[str], days: int) -> Issued:
    """A new authority (EC P-256) and the one server certificate that it signs; the authority's key is thrown away.

    Args:
        hosts: IP addresses and DNS names that the certificate is good for, beside localhost, 127.0.0.1 and ::1.
        days: how long both certificates are valid, from now on.

    Raises:
        ImportError: ``cryptography`` is not installed.
        ValueError: ``hosts`` or ``days`` is not as said.
    """
    if isinstance(hosts, str):
        raise ValueError(f"hosts={hosts!r}: must be a sequence of names, not one string; write [{hosts!r}]")
    if type(days) is not int or not 1 <= days <= 36500:
        raise ValueError(f"days={days!r}: must be an integer from 1 to 36500; 365 is the default")
    names = x509.SubjectAlternativeName([_general_name(host) for host in dict.fromkeys((*hosts, *_ALWAYS))])
    now = datetime.now(timezone.utc)
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_id = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())

    def signed(subject: str, key: ec.EllipticCurvePublicKey, *extensions: tuple[x509.ExtensionType, bool]) -> bytes:
        builder = (
            x509.CertificateBuilder(subject_name=_name(subject), issuer_name=_name("kt_ext authority"))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + timedelta(days=days))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca = signed(
        "kt_ext authority",
        ca_key.public_key(),
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (_key_usage("key_cert_sign"), True),
        (ca_id, False),
    )
    certificate = signed(
        "kt_ext chief",
        server_key.public_key(),
        (names, False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage("digital_signature"), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_id), False),
        (x509.SubjectKeyIdentifier.from_public_key(server_key.public_key()), False),
    )
    key = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Issued(ca, certificate, key)


def expiry(certificate: bytes) -> datetime:
    """Until when a PEM certificate is valid, in UTC. Raises ValueError if it is none, ImportError as ``issue`` does."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not _DNS_NAME.fullmatch(host):
            raise ValueError(
                f"host={host!r}: must be an IP address or a DNS name, without scheme or port; "
                "give the name by which workers reach the chief, e.g. node7.cluster.local"
            ) from None
    return x509.DNSName(host)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(only: str) -> x509.KeyUsage:
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")
    uses = dict.fromkeys((*others, "encipher_only", "decipher_only", "digital_signature", "key_cert_sign"), False)
    return x509.KeyUsage(**{**uses, only: True})
