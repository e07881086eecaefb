"""The HTTP/1.1 door (RFC 9110, RFC 9112): one request after another on a connection that the Acceptor gave.

Limits, PROXY, TLS and draining are those of every door (``edge/listener.py``); every wait has one deadline:
for a head, and for a body by its size, so that octets that drip in buy no time (attack row 11). Whoever
breaks a rule of the wire hears 400 and the connection ends (row 43).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from a3mailer.edge.connection import Connection, ConnectionLost
from a3mailer.edge.http.exchange import REASONS, BadRequest, Handler, Request, Response, path_of, problem
from a3mailer.edge.http.replies import reply_to
from a3mailer.edge.http.routes import Route, Routes
from a3mailer.edge.park import Parked
from a3mailer.identity.standing import Standing
from a3mailer.mail.errors import MailError
from a3mailer.runtime.supervise import contained
from a3mailer.telemetry.metrics import count
from a3mailer.wire.http.engine import Bad, Data, End, Event, Head, RequestEngine

HEAD_SECONDS: Final = 30.0
"""For a whole head, from the first wait for it; so it is also how long a connection may be idle."""
BODY_SECONDS: Final = 30.0
"""For a whole body ..."""
BODY_RATE: Final = 16 * 1024
"""... and a second more for so many octets of it."""
ANSWER_SECONDS: Final = 60.0
"""For the client to take an answer, and more by BODY_RATE."""
BODIES_OCTETS: Final = 256 << 20
"""Of all bodies that are read or worked on at once."""
LINGER_OCTETS: Final = 1 << 20
"""What is still taken, and thrown away, of a client that is being told no."""
LINGER_SECONDS: Final = 2.0
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Authorise = Callable[[Route, Request], Awaitable[Request]]
"""Runs before every handler. Errors: BadRequest, or a MailError for ``replies``."""


async def everybody(_route: Route, request: Request) -> Request:
    """The rule of a listener that only has routes for all."""
    return request


async def absent(_request: Request) -> Response:
    """Nothing is here."""
    return problem(404)


@dataclass(slots=True)
class Room:
    """Octets of bodies that one door holds in memory."""

    left: int = BODIES_OCTETS

    def take(self, octets: int) -> None:
        """Errors: BadRequest (503)."""
        if octets > self.left:
            raise BadRequest(503, "too many large requests at once", (("Retry-After", "5"),))
        self.left -= octets


@dataclass(frozen=True, slots=True)
class HttpDoor:
    """Serves a table of routes."""

    routes: Routes
    now: Callable[[], float] = time.time
    authorise: Authorise = everybody
    otherwise: Handler = absent
    """Asked where no route fits."""
    room: Room = field(default_factory=Room)

    async def serve(self, connection: Connection, _trace: str) -> Parked | None:
        """One connection, to its end or until it may be parked (``lasting.py``)."""
        stream = _Stream(connection, self.room)
        while (head := await stream.head()) is not None:
            if isinstance(head, Bad):
                await stream.answer(problem(head.status, head.text), "GET", self.now(), keep=False)
                break
            response = await self._respond(stream, head)
            if response.lasting is not None:
                stream.connection.write(encode(response, head.method, self.now(), keep=False))
                count("a3_http_requests_total", "2xx")
                return await response.lasting(connection, stream.engine.rest).run("begin")
            keep = head.keep_alive and stream.complete and not connection.draining
            await stream.answer(response, head.method, self.now(), keep=keep)
            count("a3_http_requests_total", f"{response.status // 100}xx")
            if not keep:
                break
        await stream.linger()
        return None

    async def _respond(self, stream: _Stream, head: Head) -> Response:
        found = self.routes.find(head.method, head.host, path_of(head.target))
        route = found.route
        if route is None:
            if found.allowed:
                return problem(405, "", (("Allow", ", ".join(found.allowed)),))
            route = Route((head.method,), head.target.decode("ascii"), self.otherwise)
        expected = [value.lower() for name, value in head.fields if name == b"expect"]
        if expected and expected != [b"100-continue"]:
            return problem(417)
        stream.limit = route.body
        stream.expects = bool(expected) and not head.http10
        request = Request(
            head,
            stream.connection.peer[0],
            stream.connection.secure,
            stream.body,
            parameters=found.parameters,
            standing=stream.standing,
        )
        if found.route is not None and head.length > route.body:
            return route.over or problem(413, f"at most {route.body} octets are taken here")
        try:
            answer = await contained(self._handle(route, request, stream), "http")
        finally:
            stream.release()
        if stream.lost is not None:
            raise stream.lost
        return problem(500) if answer is None else answer

    async def _handle(self, route: Route, request: Request, stream: _Stream) -> Response | None:
        try:
            return await route.handler(await self.authorise(route, request))
        except BadRequest as error:
            return problem(error.status, str(error), error.fields)
        except MailError as error:
            return reply_to(error)
        except ConnectionLost as error:  # no bug of ours, and nobody to answer
            stream.lost = error
            return None


@dataclass(slots=True)
class _Stream:
    """The connection and the engine, with the deadlines."""

    connection: Connection
    room: Room
    engine: RequestEngine = field(default_factory=RequestEngine)
    standing: Standing = field(default_factory=Standing)
    limit: int = 0
    """Octets of the body of the request in hand."""
    expects: bool = False
    """The client waits for 100 before it sends it."""
    held: int = 0
    """Octets taken of the room."""
    lost: ConnectionLost | None = None
    complete: bool = True
    """The request in hand came whole."""
    ended: bool = False

    async def head(self) -> Head | Bad | None:
        """The next request; None when the client has finished. Raises ConnectionLost."""
        self.connection.deadline = asyncio.get_running_loop().time() + HEAD_SECONDS
        event = await self._next(idle=True)
        while isinstance(event, Data | End):  # what is left of one whose body nobody wanted
            event = await self._next(idle=True)
        self.complete = False
        if isinstance(event, Head) and event.length == 0:
            while not isinstance(await self._next(), End | Bad | None):
                pass
        return event

    async def _next(self, *, idle: bool = False) -> Event | None:
        connection = self.connection
        while (event := self.engine.next_event()) is None:
            connection.idle = idle and self.complete
            octets = await connection.read()
            connection.idle = False
            if not octets:
                self.ended = True
                return None
            self.engine.receive(octets)
        if isinstance(event, End):
            self.complete = True
        return event

    async def body(self) -> bytes:
        """All of it. Errors: BadRequest, ConnectionLost."""
        begun = asyncio.get_running_loop().time()
        self.connection.deadline = begun + BODY_SECONDS
        if self.expects and not self.complete:
            self.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces, size = [], 0
        while not self.complete:
            event = await self._next()
            if isinstance(event, Data):
                size += len(event.octets)
                if size > self.limit:
                    raise BadRequest(413, f"at most {self.limit} octets are taken here")
                self.room.take(len(event.octets))
                self.held += len(event.octets)
                pieces.append(event.octets)
                self.connection.deadline = begun + BODY_SECONDS + size / BODY_RATE
            elif not isinstance(event, End):
                raise BadRequest(400, event.text if isinstance(event, Bad) else "the body was cut off")
        return b"".join(pieces)

    def release(self) -> None:
        """The body is not needed any more."""
        self.room.left += self.held
        self.held = 0

    async def answer(self, response: Response, method: str, now: float, *, keep: bool) -> None:
        """Send it. Raises ConnectionLost."""
        seconds = ANSWER_SECONDS + len(response.body) / BODY_RATE
        self.connection.deadline = asyncio.get_running_loop().time() + seconds
        self.connection.write(encode(response, method, now, keep=keep))
        await (self.connection.drain() if keep else self.connection.flushed())

    async def linger(self) -> None:
        """Take what is still on its way for a moment: a reset would rob the client of its answer."""
        self.connection.deadline = asyncio.get_running_loop().time() + LINGER_SECONDS
        taken = 0
        while not self.ended and not self.complete and taken < LINGER_OCTETS:
            octets = await self.connection.read()
            taken += len(octets)
            self.ended = not octets


def encode(response: Response, method: str, now: float, *, keep: bool) -> bytes:
    """The octets of an answer (RFC 9112 section 4)."""
    lines = [
        f"HTTP/1.1 {response.status} {REASONS[response.status]}",
        f"Date: {http_date(now)}",
        "X-Content-Type-Options: nosniff",
    ]
    if response.lasting is None and response.status != 304:
        lines.append(f"Content-Length: {len(response.body)}")
    if response.body or (response.lasting is not None and response.media):
        lines.append(f"Content-Type: {response.media}")
    if not keep and response.status != 101:
        lines.append("Connection: close")
    for name, value in response.fields:
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"{name}: a field value that cannot be sent")
        lines.append(f"{name}: {value}")
    head = "\r\n".join((*lines, "", "")).encode("ascii")
    return head if method == "HEAD" else head + response.body


def http_date(now: float) -> str:
    """IMF-fixdate (RFC 9110 section 5.6.7)."""
    t = time.gmtime(now)
    day, month = _DAYS[t.tm_wday], _MONTHS[t.tm_mon - 1]
    return f"{day}, {t.tm_mday:02} {month} {t.tm_year} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"
