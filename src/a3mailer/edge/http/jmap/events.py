"""The event source (RFC 8620 section 7.3): StateChange objects as they happen, and pings between them.

    event = "event: " ("state" / "ping") LF ["id: " id LF] "data: " json LF LF

Ids hold the whole state the client knows, so one that comes back is told at once what it missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from a3mailer.edge.connection import Connection
from a3mailer.edge.http.exchange import BadRequest, Request, Response
from a3mailer.edge.http.jmap.news import Ear, Following, Hub, packed, state_change, unpacked
from a3mailer.edge.http.jmap.session import EVENTS
from a3mailer.edge.http.lasting import Lasting
from a3mailer.edge.http.routes import Route
from a3mailer.edge.park import WHOLE, Topic
from a3mailer.identity.principal import Principal
from a3mailer.mail.errors import MailError
from a3mailer.telemetry.metrics import count

ANYBODY: Final = "session.login"
MIN_PING: Final = 30
MAX_PING: Final = 3600
"""Seconds; the RFC wants these limits to be at most 30 and at least 300."""
SEND_SECONDS: Final = 60.0
"""For the client to take what is told."""
QUIET: Final = 86_400.0
"""Seconds after which a connection without pings is looked at."""
GAP: Final = 0.5
"""Seconds between two states: what happens meanwhile is told together."""
LATER: Final = 5.0
"""Seconds until a store that could not be read is asked again."""
MAX_TYPES: Final = 100
MAX_NOISE: Final = 64 * 1024
"""Octets a client may send on a connection that is not for sending."""
MEDIA: Final = "text/event-stream"
FIELDS: Final = (("Cache-Control", "no-store"), ("X-Accel-Buffering", "no"))


class EventsQuery(msgspec.Struct, frozen=True):
    """What follows the path."""

    types: str
    closeafter: str
    ping: int


@dataclass(frozen=True, slots=True)
class Events:
    """The handler."""

    hub: Hub

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        return (
            Route(("GET",), EVENTS, self._begin, ANYBODY, query=EventsQuery, gives={200: "text/event-stream"},
                  about="Changes as they happen, as an event source (RFC 8620 section 7.3)."),
        )  # fmt: skip

    async def _begin(self, request: Request) -> Response:
        types, once, ping = wanted(request.query)
        who = request.principal
        following = Following(self.hub, who, self.hub.names(types))
        text = request.header(b"last-event-id")
        if not text:
            await following.news()
        else:  # who was told more than fits into an id hears all of it
            following.told = unpacked(text) or {}
        if request.head.method == "HEAD":
            return Response(200, media=MEDIA, fields=FIELDS)

        def begin(connection: Connection, _rest: bytes) -> Lasting:
            return EventSource(connection, following, once, ping)

        return Response(200, media=MEDIA, fields=FIELDS, lasting=begin)


def wanted(query: Mapping[str, str]) -> tuple[frozenset[str] | None, bool, int]:
    """Types (None: all), whether to end after a state, seconds between pings (0: none).

    Errors: BadRequest."""
    types, after, ping = (query.get(name, "") for name in ("types", "closeafter", "ping"))
    names = frozenset(types.split(",")) if types != "*" else None
    if not types or (names is not None and (len(names) > MAX_TYPES or "" in names)):
        raise BadRequest(400, "types: names with commas between them, or *")
    if after not in ("state", "no"):
        raise BadRequest(400, "closeafter: state or no")
    if not (ping.isascii() and ping.isdigit()) or len(ping) > 9:
        raise BadRequest(400, "ping: seconds")
    seconds = int(ping)
    return names, after == "state", min(max(seconds, MIN_PING), MAX_PING) if seconds else 0


@dataclass(slots=True)
class EventSource:
    """One connection that listens."""

    connection: Connection
    following: Following
    once: bool
    ping: int
    noise: int = 0
    due: float = 0.0
    """When the next ping is, by the loop's clock."""
    ear: Ear | None = field(default=None, repr=False)

    @property
    def principal(self) -> Principal:
        return self.following.principal

    @property
    def topics(self) -> tuple[Topic, ...]:
        return tuple((account, WHOLE) for account in sorted(self.following.accounts))

    async def run(self, reason: str) -> Lasting | None:
        """``Lasting``."""
        hub = self.following.hub
        ear = self.ear = Ear(self.connection.nudge)
        if reason == "begin":
            self._later()
            count("a3_jmap_listeners")
        hub.listen(self.following.accounts, ear)
        ended = True
        try:
            ended = not await self._serve(reason, ear)
        finally:
            hub.leave(ear)
            self.ear = None
            if ended:
                count("a3_jmap_listeners", by=-1)
        if ended:
            await sent(self.connection, whole=True)
        return None if ended else self

    async def _serve(self, reason: str, ear: Ear) -> bool:
        """Whether it may be parked; False at its end."""
        connection, loop = self.connection, asyncio.get_running_loop()
        while reason != "stop":
            if reason == "input" and not await self._ignore():
                return False
            if ear.stale:
                ear.stale = False
                if not await self._tell():
                    return False
                self.following.hub.listen(self.following.accounts, ear)
            if self.ping and loop.time() >= self.due:
                self._write(b'event: ping\ndata: {"interval":%d}\n\n' % self.ping)
            if ear.stale:
                reason = "change"
                continue
            connection.deadline = self.due
            connection.idle = True
            if connection.parkable and not connection.draining:
                return True
            reason = await waited(connection, self.due)
            connection.idle = False
        return False

    async def _ignore(self) -> bool:
        """Whether the client is still there and quiet."""
        octets = await self.connection.read()
        self.noise += len(octets)
        return bool(octets) and self.noise <= MAX_NOISE

    async def _tell(self) -> bool:
        """Tell what changed; False when nothing is to be told any more."""
        following = self.following
        if not await following.hub.stands(following.principal):
            return False
        try:
            found = await following.news()
        except MailError:
            self.due = asyncio.get_running_loop().time() + LATER
            following.told = {}
            return True
        if not found:
            return True
        self._write(
            b"event: state\nid: %b\ndata: %b\n\n" % (packed(following.told).encode(), state_change(found))
        )
        if self.once:
            return False
        await sent(self.connection)
        await asyncio.sleep(GAP)
        return True

    def _write(self, octets: bytes) -> None:
        self.connection.write(octets)
        self._later()

    def _later(self) -> None:
        self.due = asyncio.get_running_loop().time() + (self.ping or QUIET)


async def sent(connection: Connection, *, whole: bool = False) -> None:
    """Wait until the client took most of what was written, or all of it. Errors: ConnectionLost, also when it
    takes too long over it."""
    connection.deadline = asyncio.get_running_loop().time() + SEND_SECONDS
    await (connection.flushed() if whole else connection.drain())


async def waited(connection: Connection, until: float) -> str:
    """Wait for input, a nudge or the time: why it ended. Errors: ConnectionLost."""
    connection.deadline = 0.0
    try:
        async with asyncio.timeout_at(until):
            return "input" if await connection.readable() else "change"
    except TimeoutError:
        return "time"
