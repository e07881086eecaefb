"""TLS contexts for the listeners: modern protocols only, the certificate swapped without a restart."""

from __future__ import annotations

import ssl
from pathlib import Path

from a3mailer.config.tree import Settings


def server_context(directory: Path, settings: Settings) -> ssl.SSLContext:
    """A server-side context from the configured PEM files (RFC 8996: TLS 1.2 and later only).

    Errors: OSError or ssl.SSLError, naming the file, when the files cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 1
    load_certificate(context, directory, settings)
    return context


def load_certificate(context: ssl.SSLContext, directory: Path, settings: Settings) -> None:
    """(Re)load the certificate into a context in use: new handshakes take it, open sessions keep theirs."""
    certificate, key = directory / settings.tls.certificate, directory / settings.tls.key
    for path in (certificate, key):
        if not path.is_file():
            raise FileNotFoundError(f"TLS file {path} does not exist")
    context.load_cert_chain(certificate, key)


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
