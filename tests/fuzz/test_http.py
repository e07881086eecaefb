"""Fuzz target of the HTTP door's engine: any octets are requests or a refusal, however they are cut."""

from __future__ import annotations

import random
import zlib

from a3mailer.edge.http.api.json import decode
from a3mailer.edge.http.api.sending import Send
from a3mailer.edge.http.exchange import BadRequest
from a3mailer.wire.http.engine import MAX_FIELDS, Bad, Data, End, Event, Head, RequestEngine
from tests.fuzz import mutate

SEEDS = (
    b"POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX:\r\n\r\n",
    b"GET http://a.test:80/x?y=%20 HTTP/1.1\r\nHost: [::1]:443\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n",
)
TOKENS = (
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":",
    b"\0", b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Host: a\r\n", b"HTTP/1.1", b"0\r\n\r\n", b"5\r\n", b"Upgrade: x\r\nConnection: upgrade\r\n",
    b"CONNECT ",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\xff",
)  # fmt: skip


def events(octets: bytes, rng: random.Random | None) -> list[Event]:
    engine, at, found = RequestEngine(), 0, []
    while at < len(octets):
        step = rng.choice((1, 3, 50)) if rng else len(octets)
        engine.receive(octets[at : at + step])
        at += step
        while (event := engine.next_event()) is not None:
            if isinstance(event, Data) and found and isinstance(found[-1], Data):
                found[-1] = Data(found[-1].octets + event.octets)
            else:
                found.append(event)
    return found


def requests_of(octets: bytes) -> None:
    whole = events(octets, None)
    assert [type(each) for each in whole if isinstance(each, Bad)] in ([], [Bad])
    order = "".join({Head: "h", Data: "d", End: "e", Bad: "b"}[type(each)] for each in whole)
    assert "dd" not in order and "b" not in order[:-1]
    assert all(part in ("h", "hd", "hb", "hdb", "b", "") for part in order.split("e"))
    for each in whole:
        if isinstance(each, Head):
            assert len(each.fields) <= MAX_FIELDS and each.target and each.length >= -1
    cut = events(octets, random.Random(zlib.crc32(octets)))
    heads = [each for each in whole if isinstance(each, Head | Data | End)]
    assert [each for each in cut if isinstance(each, Head | Data | End)] == heads


@mutate.CASES
def test_any_octets_are_requests_or_refused(count: int, seed: int) -> None:
    mutate.run(requests_of, SEEDS, count=count, seed=seed, tokens=TOKENS)


DOCUMENTS = (
    b'{"to": ["Bob <bob@a.test>"], "from": "a@b.test", "subject": "h\\u00e9", "text": "x", "tags": ["a"]}',
    b'{"to": [], "headers": {"X-A": "b"}, "attachments": [{"name": "a", "content": "AAAA"}], "html": null}',
    b'{"template": "t", "variables": {"a": "1", "b": "2"}}',
)
PIECES = (
    b'"to":', b"[", b"]", b"{", b"}", b",", b'"', b"\\ud800", b"\\udc00", b"1e999", b"-0", b"null", b"true",
    b'"subject": "x",', b"\xff", b"\xed\xa0\x80", b"9" * 400,
)  # fmt: skip


def document_of(octets: bytes) -> None:
    made = decode(octets, Send)
    for text in (made.subject, made.text or "", *made.to, *made.headers.values()):
        text.encode()


@mutate.CASES
def test_any_octets_are_a_letter_or_refused(count: int, seed: int) -> None:
    mutate.run(document_of, DOCUMENTS, count=count, seed=seed, tokens=PIECES, allowed=(BadRequest,))
