"""The HTTP door: bodies, limits, deadlines, and what happens at the end of a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from a3mailer.edge.http.door import BODY_RATE, BODY_SECONDS, HEAD_SECONDS, HttpDoor, Room, http_date
from a3mailer.edge.http.exchange import BadRequest, Request, Response
from a3mailer.edge.http.routes import Route, Routes
from a3mailer.identity.roles import UnknownAction
from a3mailer.testing.memory_connection import MemorySession, Stage

LIMIT = 100_000


async def echo(request: Request) -> Response:
    return Response(200, await request.read_body())


async def hello(request: Request) -> Response:
    return Response(200, f"{request.path} {dict(request.parameters)} {request.header(b'x-a')}".encode())


async def bug(_request: Request) -> Response:
    raise RuntimeError("a bug")


async def no(_request: Request) -> Response:
    raise BadRequest(409, "not now", (("Retry-After", "5"),))


ROUTES = Routes((
    Route(("POST",), "/echo", echo, body=LIMIT),
    Route(("GET",), "/hello", hello),
    Route(("GET",), "/named", hello, host="a.test"),
    Route(("GET", "DELETE"), "/items/{id}", hello),
    Route(("POST",), "/items/{id}/more", echo, body=10),
    Route(("GET",), "/bug", bug),
    Route(("GET",), "/no", no),
))  # fmt: skip


def request(line: str, fields: str = "", body: bytes = b"") -> bytes:
    return f"{line} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n".encode() + body


def post(body: bytes, fields: str = "", line: str = "POST /echo") -> bytes:
    return request(line, f"Content-Length: {len(body)}\r\n{fields}", body)


class Client:
    """One connection to the door, in memory."""

    def __init__(self) -> None:
        door = HttpDoor(ROUTES, lambda: 784111777.0)
        self.stage = Stage(lambda connection: door.serve(connection, ""))

    async def __aenter__(self) -> MemorySession:
        await self.stage.__aenter__()
        session = self.stage.open(1)
        await session.greeting()
        return session

    async def __aexit__(self, *exc: object) -> None:
        await self.stage.__aexit__(None, None, None)


async def ask(octets: bytes) -> tuple[int, bytes, bool]:
    """(status, body, the connection stays open)."""
    async with Client() as session:
        answer = await session.feed(octets)
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head[9:12]), body, b"\r\nConnection: close" not in head


async def test_a_body_by_length_and_in_chunks() -> None:
    assert await ask(post(b"hello")) == (200, b"hello", True)
    chunks = b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    assert await ask(request("POST /echo", "Transfer-Encoding: chunked\r\n", chunks)) == (200, b"hello", True)
    assert await ask(post(b"")) == (200, b"", True)


async def test_requests_one_after_another_cut_anywhere() -> None:
    octets = post(b"one") + request("GET /hello") + post(b"two") + request("HEAD /hello") + post(b"three")
    async with Client() as session:
        whole = await session.feed(octets)
    async with Client() as session:
        pieces = b"".join([await session.feed(octets[at : at + 1]) for at in range(len(octets))])
    assert whole == pieces and whole.count(b"HTTP/1.1 200 OK\r\n") == 5
    assert b"\r\n\r\none" in whole and whole.endswith(b"\r\n\r\nthree")
    assert whole.startswith(b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n")
    assert whole.count(b"/hello {} None") == 1  # the answer to HEAD has no body


@pytest.mark.parametrize(
    ("octets", "status", "stays"),
    [
        (request("GET /none"), 404, True),
        (request("GET /items/"), 404, True),
        (request("GET /items/a/b"), 404, True),
        (request("POST /hello"), 405, True),
        (request("GET /no"), 409, True),
        (request("GET /bug"), 500, True),
        (request("GET /hello", "X-A: 1\r\nX-A: 2\r\n"), 400, True),
        (request("GET /hello", "Connection: close\r\n"), 200, False),
        (request("GET /hello", "Expect: miracles\r\n"), 417, True),
        (b"GET /hello HTTP/1.0\r\n\r\n", 200, False),
        (request("GET /hello").replace(b"a.test", b""), 200, True),
        (request("GET /named"), 200, True),
        (request("GET /named").replace(b"a.test", b"A.TEST:443"), 200, True),
        (request("GET /named").replace(b"a.test", b"b.test"), 404, True),
        (request("POST /echo", f"Content-Length: {LIMIT + 1}\r\n"), 413, False),
        (post(b"x" * 11, line="POST /items/1/more"), 413, False),
        (post(b"x", line="POST /hello"), 405, False),
        (b"nonsense\r\n\r\n", 400, False),
    ],
)
async def test_answers(octets: bytes, status: int, stays: bool) -> None:
    assert (await ask(octets))[::2] == (status, stays)


async def test_placeholders_are_whole_segments() -> None:
    _, body, _ = await ask(request("GET /items/a%20b", "X-A: c\r\n"))
    assert body == b"/items/a b {'id': 'a b'} c"


async def test_an_error_is_a_problem_document() -> None:
    """RFC 9457."""
    async with Client() as session:
        answer = await session.feed(request("GET /no"))
        assert b"Retry-After: 5\r\n" in answer and b"Content-Type: application/problem+json\r\n" in answer
        assert answer.endswith(b'{"title":"Conflict","status":409,"detail":"not now"}')
        assert b"\r\nAllow: GET, DELETE\r\n" in await session.feed(request("PUT /items/1"))


async def test_a_chunked_body_has_the_limit_of_its_route() -> None:
    body = b"%x\r\n" % LIMIT + b"x" * LIMIT + b"\r\n1\r\nx\r\n0\r\n\r\n"
    status, _, stays = await ask(request("POST /echo", "Transfer-Encoding: chunked\r\n", body))
    assert status == 413 and not stays


async def test_bodies_have_one_room_for_all_connections() -> None:
    """Many large requests at once are put off instead of held in memory; the room is given back."""
    door = HttpDoor(ROUTES, room=Room(LIMIT + 10))
    stage = Stage(lambda connection: door.serve(connection, ""))
    async with stage:
        one, other = stage.open(1), stage.open(2)
        for session in (one, other):
            await session.greeting()
        await one.feed(request("POST /echo", f"Content-Length: {LIMIT}\r\n", b"x" * (LIMIT - 1)))
        assert door.room.left == 11
        refused = await other.feed(post(b"y" * 100))
        assert refused.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 5\r\n" in refused
        assert (await one.feed(b"x")).startswith(b"HTTP/1.1 200 ") and door.room.left == LIMIT + 10
        cut = stage.open(3)
        await cut.greeting()
        await cut.feed(post(b"z" * 100)[:-1])
        assert door.room.left == LIMIT + 10 - 99
        cut.connection.end()
        await cut.feed(b"")
    assert door.room.left == LIMIT + 10


async def test_100_is_said_when_the_body_is_wanted_and_not_before() -> None:
    """RFC 9110 section 10.1.1."""
    async with Client() as session:
        fields = "Content-Length: 2\r\nExpect: 100-continue\r\n"
        assert await session.feed(request("POST /echo", fields)) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await session.feed(b"hi")).endswith(b"\r\n\r\nhi")
        refused = await session.feed(request("POST /items/1/more", fields.replace("2", "11")))
        assert refused.startswith(b"HTTP/1.1 413 ")


async def test_a_body_cut_off_is_not_taken() -> None:
    async with Client() as session:
        await session.feed(post(b"hello")[:-1])
        session.connection.end()
        assert b"HTTP/1.1 400 " in await session.feed(b"")


async def test_octets_that_drip_in_buy_no_time() -> None:
    """Attack row 11: one deadline for a head, and one for a body by what came of it."""
    async with Client() as session:
        loop, connection = asyncio.get_running_loop(), session.connection
        begun = connection.deadline
        assert 0 < begun <= loop.time() + HEAD_SECONDS
        octets = request("POST /echo", "Content-Length: 1000\r\n")
        for octet in octets[:-1]:
            assert not await session.feed(bytes([octet]))
            assert connection.deadline == begun
        await session.feed(octets[-1:])
        in_body = connection.deadline
        assert in_body <= loop.time() + BODY_SECONDS
        for _ in range(999):
            await session.feed(b"x")
        assert connection.deadline <= in_body + 1000 / BODY_RATE
        assert (await session.feed(b"x")).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_is_told_no_may_finish_but_not_forever() -> None:
    async with Client() as session:
        octets = request("POST /echo", f"Content-Length: {LIMIT * 1000}\r\n")
        assert (await session.feed(octets)).startswith(b"HTTP/1.1 413 ")
        assert await session.feed(b"x" * 1000) == b"" and not session.closed
        await session.feed(b"x" * (1 << 20))
        assert session.closed


async def test_a_draining_worker_ends_idle_connections_and_finishes_busy_ones() -> None:
    async with Client() as session:
        await session.feed(post(b"hello")[:-1])
        assert not session.connection.idle
        session.connection.draining = True
        answer = await session.feed(b"o")
        assert b"\r\nConnection: close\r\n" in answer and answer.endswith(b"hello") and session.closed
    async with Client() as session:
        await session.feed(request("GET /hello"))
        assert session.connection.idle


async def test_what_no_route_fits_may_have_its_own_answer() -> None:
    async def elsewhere(asked: Request) -> Response:
        return Response(308, fields=(("Location", f"https://{asked.head.authority}{asked.path}"),))

    door = HttpDoor(ROUTES, otherwise=elsewhere)
    async with Stage(lambda connection: door.serve(connection, "")) as stage:
        session = stage.open(1)
        await session.greeting()
        assert b"\r\nLocation: https://a.test/x\r\n" in await session.feed(request("GET /x"))
        assert b"HTTP/1.1 405 " in await session.feed(request("PUT /hello"))


def test_a_route_without_a_rule_cannot_be_made() -> None:
    make: Callable[[], Route] = lambda: Route(("GET",), "/x", hello, action="no.such")  # noqa: E731
    with pytest.raises(UnknownAction):
        make()


def test_dates() -> None:
    assert http_date(951782400) == "Tue, 29 Feb 2000 00:00:00 GMT"
