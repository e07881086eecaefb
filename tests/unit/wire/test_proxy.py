"""PROXY headers by the letter, and nothing else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.proxy import SIGNATURE, ProxyHeader, parse_proxy


def v2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


V4 = bytes([1, 2, 3, 4, 5, 6, 7, 8]) + struct.pack("!HH", 1000, 25)
V6 = bytes(15) + b"\x01" + bytes(15) + b"\x02" + struct.pack("!HH", 1000, 25)
GOOD = [
    (b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 25\r\n", ("1.2.3.4", 1000)),
    (b"PROXY TCP6 2001:DB8::1 ::1 65535 25\r\n", ("2001:db8::1", 65535)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN anything at all\r\n", None),
    (v2(0x21, 0x11, V4), ("1.2.3.4", 1000)),
    (v2(0x21, 0x11, V4 + b"\x04\x00\x03abc"), ("1.2.3.4", 1000)),
    (v2(0x21, 0x21, V6), ("::1", 1000)),
    (v2(0x20, 0x00, b""), None),
    (v2(0x20, 0x11, V4), None),
    (v2(0x21, 0x31, bytes(216)), None),
]
BAD = [
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1000\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 25 1\r\n",
    b"PROXY TCP4 ::1 ::1 1000 25\r\n",
    b"PROXY TCP6 1.2.3.4 5.6.7.8 1000 25\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 25\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 25\r\n",
    b"PROXY TCP4 1.2.3.4 x 1 25\r\n",
    b"PROXY UDP4 1.2.3.4 5.6.7.8 1000 25\r\n",
    b"PROXY \r\n",
    b"PROXY TCP4 " + b"1" * 107,
    b"EHLO a\r\n",
    b"PROXYTCP4",
    v2(0x11, 0x11, V4),
    v2(0x22, 0x11, V4),
    v2(0x21, 0x11, V4[:-1]),
    v2(0x21, 0x21, V4),
    SIGNATURE + b"\x21\x11\xff\xff",
]


@pytest.mark.parametrize(("octets", "source"), GOOD)
def test_good(octets: bytes, source: tuple[str, int] | None) -> None:
    assert parse_proxy(octets + b"EHLO a\r\n") == ProxyHeader(len(octets), source)
    for end in range(len(octets)):
        assert parse_proxy(octets[:end]) is None


@pytest.mark.parametrize("octets", BAD)
def test_bad(octets: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_proxy(octets)


@given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE]), st.binary(max_size=60))
def test_nothing_else_is_raised(begin: bytes, octets: bytes) -> None:
    try:
        header = parse_proxy(begin + octets)
    except RemoteProtocolError:
        return
    assert header is None or header.length <= len(begin + octets)
