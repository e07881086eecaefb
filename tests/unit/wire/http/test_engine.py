"""HTTP/1.1 requests: what is one, and what is refused (attack row 43)."""

from __future__ import annotations

import pytest

from a3mailer.wire.http.engine import MAX_FIELDS, MAX_HEAD, PIECE, Bad, Data, End, Event, Head, RequestEngine


def play(octets: bytes, step: int = 1 << 20) -> list[Event]:
    """All events, with neighbouring pieces of a body put together."""
    engine = RequestEngine()
    found: list[Event] = []
    for at in range(0, len(octets), step):
        engine.receive(octets[at : at + step])
        while (event := engine.next_event()) is not None:
            if isinstance(event, Data) and found and isinstance(found[-1], Data):
                found[-1] = Data(found[-1].octets + event.octets)
            else:
                found.append(event)
    return found


def post(fields: bytes, body: bytes = b"", line: bytes = b"POST /a HTTP/1.1\r\n") -> bytes:
    return line + fields + b"\r\n" + body


HOST = b"Host: a.test\r\n"
CHUNKED = HOST + b"Transfer-Encoding: chunked\r\n"
SMUGGLED = b"GET /admin HTTP/1.1\r\nHost: a.test\r\n\r\n"


@pytest.mark.parametrize("step", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize(
    ("octets", "body"),
    [
        (post(HOST + b"Content-Length: 5\r\n", b"hello"), b"hello"),
        (post(HOST + b"content-length:5\r\n", b"hello"), b"hello"),
        (post(CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"), b"hello"),
        (post(CHUNKED, b"2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: y\r\n\r\n"), b"hello"),
        (b"\r\n" + post(HOST + b"Content-Length: 5\r\n", b"hello"), b"hello"),
    ],
)
def test_a_request_with_a_body(octets: bytes, body: bytes, step: int) -> None:
    head, data, end, *more = play(octets + SMUGGLED, step)
    assert isinstance(head, Head) and head.method == "POST" and head.target == b"/a" and head.host == "a.test"
    assert head.keep_alive and not head.http10
    assert data == Data(body) and end == End()
    assert [type(each) for each in more] == [Head, End]  # the next one on the same connection
    assert all(name != b"x-trailer" for name, _ in head.fields)


@pytest.mark.parametrize(
    ("line", "host", "target"),
    [
        (b"GET http://B.test:81/x?y HTTP/1.1", "b.test", b"/x?y"),
        (b"GET https://b.test HTTP/1.1", "b.test", b"/"),
        (b"OPTIONS * HTTP/1.1", "a.test", b"*"),
        (b"PROPFIND /dav/ HTTP/1.1", "a.test", b"/dav/"),
    ],
)
def test_forms_of_targets(line: bytes, host: str, target: bytes) -> None:
    head = play(post(HOST, line=line + b"\r\n"))[0]
    assert isinstance(head, Head) and (head.host, head.target) == (host, target)


def test_hosts_without_their_ports() -> None:
    for field, host in ((b"[::1]:80", "[::1]"), (b"A.test:20443", "a.test"), (b"", "")):
        head = play(post(b"Host: " + field + b"\r\n"))[0]
        assert isinstance(head, Head) and head.host == host


@pytest.mark.parametrize("step", [1, 1 << 20])
@pytest.mark.parametrize(
    ("octets", "status"),
    [
        # two lengths, or one that is none
        (post(CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n"), 400),
        (post(HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
        (post(HOST + b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), 400),
        (post(HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"), 400),
        (post(HOST + b"Content-Length: 5, 5\r\n", b"hello"), 400),
        (post(HOST + b"Content-Length: +5\r\n", b"hello"), 400),
        (post(HOST + b"Content-Length: 0x5\r\n", b"hello"), 400),
        (post(HOST + b"Content-Length: -1\r\n"), 400),
        (post(HOST + b"Content-Length: 99999999999999999999999\r\n"), 400),
        # codings
        (post(HOST + b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501),
        (post(HOST + b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 501),
        (post(HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
        (post(HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n"), 400),
        (post(HOST + b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), 400),
        (post(HOST + b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), 400),
        (post(HOST + b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"), 400),
        (post(CHUNKED, b"0\r\n\r\n", b"POST /a HTTP/1.0\r\n"), 400),
        # chunks
        (post(CHUNKED, b"1\na\n0\n\n"), 400),
        (post(CHUNKED, b"0x1\r\na\r\n0\r\n\r\n"), 400),
        (post(CHUNKED, b"1 \r\na\r\n0\r\n\r\n"), 400),
        (post(CHUNKED, b"1\r\naX\r\n0\r\n\r\n"), 400),
        (post(CHUNKED, b"1;a=\nb\r\na\r\n0\r\n\r\n"), 400),
        (post(CHUNKED, b"-1\r\na\r\n0\r\n\r\n"), 400),
        (post(CHUNKED, b"fffffffffffffffff\r\na\r\n0\r\n\r\n"), 400),
        (post(CHUNKED, b"1\r\na\r\n0\r\nContent-Length: 5\r\n\r\n"), 400),
        # lines
        (b"POST /a HTTP/1.1\nHost: a.test\nContent-Length: 0\n\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: a.test\nContent-Length: 0\r\n\r\n", 400),
        (post(HOST + b"X: a\r\n b\r\n"), 400),
        (post(b" " + HOST + HOST), 400),
        (post(HOST + b"X: a\0b\r\n"), 400),
        (post(HOST + b"X: a\rb\r\n"), 400),
        (post(HOST + b": b\r\n"), 400),
        (post(HOST + b"X y: b\r\n"), 400),
        (post(HOST, line=b"GET\t/a\tHTTP/1.1\r\n"), 400),
        # versions, hosts, targets
        (b"GET /a\r\n\r\n", 505),
        (post(HOST, line=b"GET /a HTTP/2.0\r\n"), 505),
        (post(b""), 400),
        (post(HOST + HOST), 400),
        (post(b"Host: a.test, b.test\r\n"), 400),
        (post(b"Host: a.test/../b\r\n"), 400),
        (post(b"Host: \xc3\xa4.test\r\n"), 400),
        (post(HOST, line=b"GET ftp://b.test/x HTTP/1.1\r\n"), 400),
        (post(HOST, line=b"GET /a#b HTTP/1.1\r\n"), 400),
        (post(HOST, line=b"CONNECT b.test:25 HTTP/1.1\r\n"), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)
def test_no_request_two_servers_could_read_differently(octets: bytes, status: int, step: int) -> None:
    """What follows is never taken for a second request."""
    events = play(octets + SMUGGLED, step)
    assert isinstance(events[-1], Bad) and events[-1].status == status
    assert [event for event in events if isinstance(event, Head) and event.target == b"/admin"] == []


def test_an_upgrade_is_not_made_and_ends_the_connection() -> None:
    """RFC 9110 section 7.8; the downgrade to HTTP/2 in clear that some smuggling needs is not there."""
    head, end = play(post(HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n") + SMUGGLED)
    assert isinstance(head, Head) and not head.keep_alive and end == End()


def test_a_head_has_a_size() -> None:
    for octets in (
        post(HOST + b"X: " + b"x" * MAX_HEAD + b"\r\n"),
        post(HOST + b"X: y\r\n" * MAX_FIELDS),
        post(HOST, line=b"GET /" + b"x" * MAX_HEAD + b" HTTP/1.1\r\n"),
        b"GET /" + b"x" * (2 * PIECE + MAX_HEAD),
        b"\r\n" * (2 * PIECE + MAX_HEAD),
    ):
        found = play(octets)
        assert len(found) == 1 and isinstance(found[0], Bad) and found[0].status == 431
    assert [type(each) for each in play(post(HOST + b"X: y\r\n" * (MAX_FIELDS - 2)))] == [Head, End]


def test_framing_has_a_size() -> None:
    """A flood of chunk extensions or of trailers is no body."""
    for octets in (
        post(CHUNKED, b"1;" + b"x" * 100_000 + b"\r\na\r\n0\r\n\r\n"),
        post(CHUNKED, b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n"),
    ):
        events = play(octets)
        assert isinstance(events[-1], Bad) and End() not in events
    small = play(post(CHUNKED, b"1\r\na\r\n" * 50_000 + b"0\r\n\r\n"))
    assert [type(each) for each in small] == [Head, Data, End]
