"""What a TLS client asks for, read from the first octets of real clients."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.wire.tls_hello import MAX_HELLO, NOTHING, Hello, parse_hello


def hello(name: str | None, *protocols: str, version: ssl.TLSVersion | None = None) -> bytes:
    """What Python's client sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version is not None:
        context.maximum_version = version
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("version", [None, ssl.TLSVersion.TLSv1_2])
@pytest.mark.parametrize(
    ("name", "protocols"),
    [("Mail.A.test", ("acme-tls/1",)), ("a.test", ("h2", "http/1.1")), (None, ()), ("b.test", ())],
)
def test_real_clients(name: str | None, protocols: tuple[str, ...], version: ssl.TLSVersion | None) -> None:
    octets = hello(name, *protocols, version=version)
    wanted = Hello((name or "").lower(), tuple(p.encode() for p in protocols))
    assert parse_hello(octets) == wanted == parse_hello(octets + b"more")
    assert {parse_hello(octets[:cut]) for cut in range(len(octets))} == {None}


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x80\x2e\x01\x03\x01",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x00\x01\x02",
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
        b"\x15\x03\x01\x00\x02\x02\x28",
    ],
)
def test_what_is_none(octets: bytes) -> None:
    assert parse_hello(octets) == NOTHING


@given(st.binary(max_size=600))
def test_any_octets_in_a_record(octets: bytes) -> None:
    found = parse_hello(b"\x16\x03\x01" + len(octets).to_bytes(2, "big") + octets)
    assert found is not None and len(found.name) <= MAX_HELLO
