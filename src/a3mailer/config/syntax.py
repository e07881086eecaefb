"""What domain names, addresses and ports look like; every failure says what was expected."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from a3mailer.config.fields import BadValue

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
MAX_NAME: Final = 253
"""Characters of a domain name (RFC 1035 section 2.3.4, without the root)."""


def domain_name(value: str) -> None:
    """Letters, digits and hyphens in labels: A-labels for international names. Errors: BadValue."""
    if len(value) > MAX_NAME or not _NAME.match(value) or value.replace(".", "").isdigit():
        raise BadValue(f"{value!r} is not a domain name (international ones as A-labels, xn--...)")


def host_port(value: str) -> tuple[str, int]:
    """``HOST:PORT``, ``ADDRESS:PORT`` or ``[IPv6]:PORT``. Errors: BadValue."""
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise BadValue(f"{value!r} is not HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        address(host[1:-1])
        return host[1:-1], int(port)
    if ":" in host:
        raise BadValue(f"{value!r}: an IPv6 address goes into brackets, [::1]:{port}")
    if not host.replace(".", "").isdigit():
        domain_name(host)
    else:
        address(host)
    return host, int(port)


def address(value: str) -> None:
    """IPv4 or IPv6, without brackets. Errors: BadValue."""
    try:
        ipaddress.ip_address(value)
    except ValueError as error:
        raise BadValue(f"{value!r} is not an IPv4 or IPv6 address") from error
