"""TLS contexts: modern protocols only, one a certificate on the server's side."""

from __future__ import annotations

import ssl
from pathlib import Path
from time import monotonic
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.identity.sasl.channel import server_end_point

TICKET_SECONDS: Final = 7200.0
"""How long OpenSSL takes the ticket of a former session."""
PEM_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
PEM_END: Final = "-----END CERTIFICATE-----"


class ServerContext(ssl.SSLContext):
    """The context of one certificate, never changed once it is in use: a session keeps what it began with."""

    end_point: bytes | None = None
    """The certificate's hash for channel bindings (RFC 5929 section 4)."""
    since: float | None = None
    """When it took the place of another certificate (monotonic); None: it is the first."""


def bare_context() -> ServerContext:
    """A server-side context without a certificate (RFC 8996: TLS 1.2 and later only)."""
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 1
    return context


def server_context(certificate: Path, key: Path, authorities: Path | None = None) -> ServerContext:
    """One with the certificate of two PEM files, which may be one.

    ``authorities``: a PEM file of those that clients' certificates are verified against, where they are asked
    for one. Errors: OSError or ssl.SSLError, naming the file, when the files cannot be used.
    """
    for path in (certificate, key):
        if not path.is_file():
            raise FileNotFoundError(f"TLS file {path} does not exist")
    context = bare_context()
    context.load_cert_chain(certificate, key)
    if authorities is not None:
        context.load_verify_locations(authorities)
        # whether a client is asked is its listener's matter; here it lets what was verified be read
        context.verify_mode = ssl.CERT_OPTIONAL
    pem = certificate.read_text("ascii", "replace")
    begin, end = pem.find(PEM_BEGIN), pem.find(PEM_END)
    context.end_point = server_end_point(ssl.PEM_cert_to_DER_cert(pem[begin : end + len(PEM_END)]))
    return context


def ask_clients(context: ssl.SSLContext, *, asks: bool) -> None:
    """On the server's side: whether clients are asked for a certificate; who has none comes in without."""
    context.verify_mode = ssl.CERT_OPTIONAL if asks else ssl.CERT_NONE


def end_point_of(sock: ssl.SSLSocket | None) -> bytes | None:
    """The hash of the certificate that was shown on a connection; None where that is not certain.

    A session that was resumed saw the certificate of its first handshake, which may be the one before."""
    context = sock.context if sock is not None else None
    if sock is None or not isinstance(context, ServerContext):
        return None
    if context.since is not None and sock.session_reused and monotonic() < context.since + TICKET_SECONDS:
        return None
    return context.end_point


def verifying_context(directory: Path, settings: Settings) -> ssl.SSLContext:
    """A client-side context that verifies chain and name against the system's authorities and the setting's.

    Errors: OSError (ssl.SSLError is one) when the file of authorities cannot be used."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.web.authorities:
        context.load_verify_locations(directory / settings.web.authorities)
    return context


def opportunistic_context() -> ssl.SSLContext:
    """A client-side context that encrypts to whoever answers (RFC 7435): better than clear, not proof."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
