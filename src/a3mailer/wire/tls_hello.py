"""What a TLS client asks for before anything is encrypted: the name (RFC 6066) and protocols (RFC 7301).

Only a ClientHello in one record is understood, as every client sends it; of any other nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_HELLO: Final = 5 + (1 << 14)
"""Octets of one record (RFC 8446 section 5.1)."""
HEADER: Final = 5
HANDSHAKE: Final = 22
CLIENT_HELLO: Final = 1
SERVER_NAME: Final = 0
ALPN: Final = 16
HOST_NAME: Final = 0


@dataclass(frozen=True, slots=True)
class Hello:
    """``name`` is in lower case; empty: none was sent, or none that is ASCII."""

    name: str = ""
    protocols: tuple[bytes, ...] = ()


NOTHING: Final = Hello()


class _Short(Exception):
    """A length points behind the end."""


# TLSPlaintext = %d22 version length16 fragment           ; RFC 8446 section 5.1
# ClientHello  = %d1 length24 version random[32] session-id<8> cipher-suites<16> compression<8> extensions<16>
def parse_hello(octets: bytes) -> Hello | None:
    """What the record ``octets`` begin with says; None when more is needed; NOTHING for what is none."""
    if not octets:
        return None
    if octets[0] != HANDSHAKE:
        return NOTHING
    if len(octets) < HEADER:
        return None
    end = HEADER + int.from_bytes(octets[3:5], "big")
    if end > MAX_HELLO:
        return NOTHING
    if len(octets) < end:
        return None
    try:
        return _client_hello(octets[HEADER:end])
    except _Short:
        return NOTHING


def _client_hello(octets: bytes) -> Hello:
    if octets[:1] != bytes([CLIENT_HELLO]):
        return NOTHING
    body, _ = _vector(octets, 1, 3)
    at = 2 + 32
    for size in (1, 2, 1):  # session id, cipher suites, compression methods
        _, at = _vector(body, at, size)
    extensions, _ = _vector(body, at, 2)
    name, protocols = "", tuple[bytes, ...]()
    at = 0
    while at < len(extensions):
        kind = int.from_bytes(extensions[at : at + 2], "big")
        data, at = _vector(extensions, at + 2, 2)
        if kind == SERVER_NAME:
            name = _host_name(_vector(data, 0, 2)[0])
        elif kind == ALPN:
            protocols = tuple(_names(_vector(data, 0, 2)[0]))
    return Hello(name, protocols)


def _host_name(names: bytes) -> str:
    """The first of a ServerNameList (RFC 6066 section 3)."""
    name, _ = _vector(names, 1, 2)
    return name.decode("ascii").lower() if names[0] == HOST_NAME and name.isascii() else ""


def _names(octets: bytes) -> Iterator[bytes]:
    """Of a ProtocolNameList (RFC 7301 section 3.1)."""
    at = 0
    while at < len(octets):
        name, at = _vector(octets, at, 1)
        yield name


def _vector(octets: bytes, at: int, size: int) -> tuple[bytes, int]:
    """The contents of a vector whose length has ``size`` octets, and where it ends. Errors: _Short."""
    begin = at + size
    end = begin + int.from_bytes(octets[at:begin], "big")
    if begin > len(octets) or end > len(octets):
        raise _Short
    return octets[begin:end], end
