"""A connection as SASL sees it: may passwords be shown, what ties a login to it, whom a certificate names."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

from a3mailer.edge.connection import Connection
from a3mailer.edge.exporter import exported
from a3mailer.edge.tls import end_point_of
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.sasl.channel import bindings
from a3mailer.identity.sasl.exchange import Context

REMEMBERED: Final = 64
"""Addresses of our own that were looked at."""


def confidential(connection: Connection, *, plaintext: bool) -> bool:
    """TLS, or a loopback listener where the operator allows passwords in clear (``auth.plaintext``)."""
    return connection.secure or (plaintext and _is_loopback(connection.local[0]))


@lru_cache(REMEMBERED)
def _is_loopback(ip: str) -> bool:
    address = ip_address(ip.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def context_of(connection: Connection, authenticator: Authenticator, ip: str, *, plaintext: bool) -> Context:
    """For exchanges on this connection, until TLS is started on it."""
    sock = connection.tls_socket
    bound = bindings(end_point_of(sock), exported(sock))
    open_to_passwords = confidential(connection, plaintext=plaintext)
    return Context(authenticator, ip, open_to_passwords, bound, connection.certified)
