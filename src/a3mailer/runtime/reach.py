"""Which addresses the public Internet reaches, and which names are nobody's there (attack rows 6, 50)."""

from __future__ import annotations

import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_PROTOCOLS: Final = ipaddress.ip_network("192.0.0.0/24")
SPECIAL_NAMES: Final = frozenset(("localhost", "invalid", "onion"))
"""Last labels under which no mail domain lies (RFC 6761, RFC 7686)."""


def is_public(address: Address) -> bool:
    """Is it a unicast address of the public Internet, also where it hides an IPv4 address?"""
    if isinstance(address, ipaddress.IPv6Address):
        hidden = address.ipv4_mapped or address.sixtofour
        if hidden is None and address.teredo is not None:
            return False
        if hidden is None and address in _NAT64:
            hidden = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if hidden is not None:
            return is_public(hidden)
        if address.is_site_local:
            return False
    elif address in _PROTOCOLS:
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_loopback or address.is_link_local
    )


def is_public_domain(domain: str) -> bool:
    """May a mail domain or address literal be somebody of the public Internet's?

    A name whose last label is a number is an address without its brackets (RFC 1123 section 2.1; some
    libraries take ``0x7f.1`` for one, too), whatever a DNS says."""
    if domain.startswith("["):
        try:
            return is_public(ipaddress.ip_address(domain[1:-1].removeprefix("IPv6:")))
        except ValueError:
            return False
    last = domain.rstrip(".").rpartition(".")[2].lower()
    digits = last.removeprefix("0x")
    number = last.isdigit() or (digits != last and all(c in "0123456789abcdef" for c in digits))
    return bool(last) and not number and last not in SPECIAL_NAMES
