"""Channel bindings a TLS connection has (RFC 5056): what SCRAM-SHA-256-PLUS ties the login to.

``tls-server-end-point`` (RFC 5929 section 4) is a hash of our certificate.  ``tls-exporter`` (RFC 9266), the
one of TLS 1.3, needs an exporter call that Python's ``ssl`` has from 3.15 on only: it is offered where the
call exists.  ``tls-unique`` is not for TLS 1.3 and not offered.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes

_WEAK: Final = (hashes.MD5, hashes.SHA1)


def server_end_point(certificate: bytes) -> bytes | None:
    """The hash of a DER certificate by its signature's hash; SHA-256 in place of MD5 and SHA-1 (RFC 5929
    section 4.1). None where the signature has no such hash (Ed25519): undefined there."""
    algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    if algorithm is None:
        return None
    digest = hashes.Hash(hashes.SHA256() if isinstance(algorithm, _WEAK) else algorithm)
    digest.update(certificate)
    return digest.finalize()


class TlsConnection(Protocol):
    """What an ``ssl.SSLSocket`` and an ``ssl.SSLObject`` have in common here."""

    def version(self) -> str | None: ...
    def get_channel_binding(self, cb_type: str = ...) -> bytes | None: ...


def bindings(
    connection: TlsConnection | None, end_point: bytes | None, kinds: Container[str]
) -> dict[str, bytes]:
    """By name, for a connection under TLS; none without.

    ``end_point`` is made once for a certificate; ``kinds`` is ``ssl.CHANNEL_BINDING_TYPES``."""
    if connection is None:
        return {}
    found: dict[str, bytes] = {}
    if end_point is not None:
        found["tls-server-end-point"] = end_point
    if "tls-exporter" in kinds and connection.version() == "TLSv1.3":
        exported = connection.get_channel_binding("tls-exporter")
        if exported:
            found["tls-exporter"] = exported
    return found
