"""Trace fields: names, protocols, TLS, and nothing that a client's words could add."""

import msgspec
import pytest
from msgspec import structs

from a3mailer.mail.address import NULL_PATH, Address
from a3mailer.mail.envelope import Envelope, Recipient
from a3mailer.mail.message import headers
from a3mailer.transfer.trace import Stamp, count_hops, with_protocol, without_return_path
from tests.unit.transfer.world import MX, World

EMPTY = Envelope(NULL_PATH)


@pytest.mark.parametrize(
    ("changes", "utf8", "name"),
    [
        ({"extended": False}, False, "SMTP"),
        ({}, False, "ESMTP"),
        ({"tls": "TLSv1.3 X"}, False, "ESMTPS"),
        ({"tls": "TLSv1.3 X", "account": 1, "protocol": "submission"}, False, "ESMTPSA"),
        ({"account": 1, "protocol": "submission"}, False, "ESMTPA"),
        ({"protocol": "LMTP"}, False, "LMTP"),
        ({}, True, "UTF8SMTP"),
        ({"tls": "TLSv1.3 X", "account": 1, "protocol": "submission"}, True, "UTF8SMTPSA"),
        ({"protocol": "LMTP"}, True, "UTF8LMTP"),
    ],
)
def test_the_with_clause_names_the_protocol(changes: dict[str, object], utf8: bool, name: str) -> None:
    client = structs.replace(MX, **changes)  # type: ignore[arg-type]
    assert with_protocol(client, msgspec.structs.replace(EMPTY, smtputf8=utf8)) == name


@pytest.mark.parametrize(
    "helo",
    ["", "a b", "x)\r\nX-Evil: yes", "x\0", "bücher.test", "a" * 256, "(comment", "x;y", "<x>"],
)
def test_a_name_that_is_none_is_not_repeated(helo: str) -> None:
    client = structs.replace(MX, helo=helo, ip="2001:db8::1")
    octets = Stamp("mail.a.test").header(client, EMPTY, "t", 0.0, final=False)
    assert octets.startswith(b"Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n\tby mail.a.test ")
    assert [name for name, _, _ in headers.fields(octets, 0, len(octets))] == [b"received"]


async def test_a_client_on_a_unix_socket_is_this_machine() -> None:
    world = World()
    await world.send(b"A: b\r\n\r\n", "alice@a.test", client=structs.replace(MX, ip="", protocol="LMTP"))
    assert b"Received: from mx.b.test (localhost)\r\n" in world.store.inbox(1)[0]


def test_tls_is_named_in_the_registered_clause_or_in_a_comment() -> None:
    def stamp(tls: str) -> bytes:
        return Stamp("h").header(structs.replace(MX, tls=tls), EMPTY, "t", 0.0, final=False)

    assert b" id t\r\n\ttls TLS_AES_256_GCM_SHA384;" in stamp("TLSv1.3 TLS_AES_256_GCM_SHA384")
    assert b" id t\r\n\t(TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384);" in stamp(
        "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384"
    )


def test_addresses_in_trace_are_quoted_where_they_must_be() -> None:
    envelope = msgspec.structs.replace(EMPTY, recipients=(Recipient(Address('a b"c', "a.test")),))
    octets = Stamp("h").header(MX, envelope, "t", 0.0, final=True)
    assert b'for <"a b\\"c"@a.test>;' in octets
    assert octets.startswith(b"Return-Path: <>\r\n")


@pytest.mark.parametrize(
    ("header", "hops"),
    [
        (b"", 0),
        (b"Received: x\r\n", 1),
        (b"RECEIVED: x\r\nreceived: y\r\nReceived : z\r\n", 3),
        (b"Received-SPF: pass\r\nX-Received: y\r\n", 0),
        (b"Received: a\r\n\treceived: folded\r\n", 1),
    ],
)
def test_hops_are_counted(header: bytes, hops: int) -> None:
    assert count_hops(header) == hops


async def test_what_is_relayed_has_no_return_path_of_ours() -> None:
    world = World()
    await world.send(b"Return-Path: <old@x>\r\nA: b\r\n\r\n", "alice@a.test", "away@a.test")
    (entry,) = world.store.entries
    relayed = without_return_path(world.store.content(entry))
    assert relayed.startswith(b"Received: ")
    assert relayed.endswith(b"\r\nReturn-Path: <old@x>\r\nA: b\r\n\r\n")
