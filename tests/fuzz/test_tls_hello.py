"""Fuzz target of the ClientHello that is looked at while a TLS-ALPN-01 challenge is there (RFC 8737)."""

from __future__ import annotations

from a3mailer.wire.tls_hello import parse_hello
from tests.fuzz import mutate
from tests.unit.wire.test_tls_hello import hello

HELLOS = (hello("mail.a.test", "acme-tls/1"), hello("a.test", "h2", "http/1.1"), hello(None))
TOKENS = (b"\x16\x03\x01", b"\0\0", b"\0\x10", b"\xff\xff", b"\x0aacme-tls/1", b"mail.a.test", b"\x01\0\0")


def target(octets: bytes) -> None:
    found = parse_hello(octets)
    if found is not None:
        assert found.name.isascii() and found.name == found.name.lower()
        assert sum(map(len, found.protocols)) <= len(octets)


@mutate.CASES
def test_any_octets_are_a_client_hello(count: int, seed: int) -> None:
    mutate.run(target, HELLOS, count=count, seed=seed, tokens=TOKENS)
