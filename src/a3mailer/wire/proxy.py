"""The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): who the client really is."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

from a3mailer.wire.errors import RemoteProtocolError

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
MAX_V1: Final = 107
"""Octets of a version 1 header with its CRLF."""
MAX_V2: Final = 16 + 2048
"""Octets of a version 2 header with its TLVs that we read."""
_FAMILIES: Final = {0x11: (4, "!4s4sHH"), 0x21: (6, "!16s16sHH")}
"""Family and protocol octet -> IP version, layout; TCP only."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A parsed header. ``source`` is None where the proxy speaks for itself (LOCAL, UNKNOWN)."""

    length: int
    source: tuple[str, int] | None


def parse_proxy(octets: bytes) -> ProxyHeader | None:
    """The header ``octets`` begins with; None when more is needed. Raises RemoteProtocolError."""
    if octets.startswith(SIGNATURE):
        return _version_2(octets)
    if octets.startswith(b"PROXY "):
        return _version_1(octets)
    if SIGNATURE.startswith(octets) or b"PROXY ".startswith(octets):
        return None
    raise RemoteProtocolError("no PROXY header")


# "PROXY" SP ("TCP4" / "TCP6") SP source SP destination SP source-port SP destination-port CRLF
# "PROXY" SP "UNKNOWN" *OCTET CRLF
def _version_1(octets: bytes) -> ProxyHeader | None:
    end = octets.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(octets) >= MAX_V1:
            raise RemoteProtocolError("PROXY header too long")
        return None
    words = octets[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return ProxyHeader(end + 2, None)
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise RemoteProtocolError("bad PROXY header")
    try:
        address = ipaddress.ip_address(words[2].decode("ascii"))
        ipaddress.ip_address(words[3].decode("ascii"))
    except ValueError:
        raise RemoteProtocolError("bad address in PROXY header") from None
    port, other = words[4], words[5]
    if (
        not (port.isdigit() and other.isdigit())
        or int(port[:6]) > 65535
        or f"TCP{address.version}" != (words[1].decode("ascii"))
    ):
        raise RemoteProtocolError("bad PROXY header")
    return ProxyHeader(end + 2, (str(address), int(port)))


def _version_2(octets: bytes) -> ProxyHeader | None:
    if len(octets) < 16:
        return None
    version_command, family, size = struct.unpack_from("!BBH", octets, 12)
    length = 16 + size
    if version_command >> 4 != 2 or version_command & 15 > 1 or length > MAX_V2:
        raise RemoteProtocolError("bad PROXY header")
    if len(octets) < length:
        return None
    if version_command & 15 == 0 or family not in _FAMILIES:  # LOCAL, or nothing we could use
        return ProxyHeader(length, None)
    version, layout = _FAMILIES[family]
    if size < struct.calcsize(layout):
        raise RemoteProtocolError("PROXY header too short")
    source, _, port, _ = struct.unpack_from(layout, octets, 16)
    address = ipaddress.IPv4Address(source) if version == 4 else ipaddress.IPv6Address(source)
    return ProxyHeader(length, (str(address), port))
