"""JMAP over WebSocket (RFC 8887): requests and their answers, and StateChange objects, on one connection.

    client: {"@type": "Request", "id"?, using, methodCalls, createdIds?}
          / {"@type": "WebSocketPushEnable", "dataTypes"?, "pushState"?} / {"@type": "WebSocketPushDisable"}
    server: Response / RequestError (both with "requestId") / StateChange (with "pushState")

Requests are answered in their order, one at a time, by the dispatcher of HTTP and under its limits.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from a3mailer.edge.connection import Connection
from a3mailer.edge.http.exchange import BadRequest, Request, Response
from a3mailer.edge.http.jmap.dispatch import LARGE, Dispatcher
from a3mailer.edge.http.jmap.events import ANYBODY, GAP, MAX_TYPES, sent, waited
from a3mailer.edge.http.jmap.limits import MAX_SIZE_REQUEST
from a3mailer.edge.http.jmap.news import Ear, Following, Hub, packed, state_change, unpacked
from a3mailer.edge.http.jmap.session import WEBSOCKET
from a3mailer.edge.http.lasting import Lasting
from a3mailer.edge.http.routes import Route
from a3mailer.edge.park import WHOLE, Topic
from a3mailer.identity.principal import Principal
from a3mailer.mail.envelope import Client
from a3mailer.mail.errors import MailError
from a3mailer.mail.ids import AccountId
from a3mailer.telemetry.metrics import count
from a3mailer.wire.jmap.errors import ERROR, RequestError
from a3mailer.wire.jmap.ijson import decode
from a3mailer.wire.jmap.request import request_of
from a3mailer.wire.websocket import engine as ws

PROTOCOL: Final = "jmap"
PING_SECONDS: Final = 240.0
"""Quiet for so long, a client is asked whether it is there; quiet again, it is gone."""
MESSAGE_SECONDS: Final = 60.0
"""For a message that has begun to arrive."""
MAX_REQUEST_ID: Final = 255


class Enable(msgspec.Struct, frozen=True, rename="camel"):
    """WebSocketPushEnable (section 4.3.5.2)."""

    data_types: tuple[str, ...] | None = None
    push_state: str | None = None


@dataclass(frozen=True, slots=True)
class WebSockets:
    """The handler."""

    dispatcher: Dispatcher
    hub: Hub

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        return (Route(("GET",), WEBSOCKET, self._begin, ANYBODY, gives={101: ""},
                      about="JMAP over a WebSocket (RFC 8887)."),)  # fmt: skip

    async def _begin(self, request: Request) -> Response:
        """The opening handshake (RFC 6455 section 4.2). Errors: BadRequest (400, 426)."""
        words = _words(request, b"connection"), _words(request, b"upgrade")
        if "upgrade" not in words[0] or "websocket" not in words[1]:
            raise BadRequest(426, "a WebSocket", (("Upgrade", "websocket"),))
        if request.header(b"sec-websocket-version") != "13":
            raise BadRequest(426, "version 13", (("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket")))
        accepted = ws.accept(request.header(b"sec-websocket-key") or "")
        if accepted is None or PROTOCOL not in _words(request, b"sec-websocket-protocol"):
            raise BadRequest(400, f"a WebSocket of the subprotocol {PROTOCOL}")
        who = request.principal

        def begin(connection: Connection, rest: bytes) -> Lasting:
            return Socket(connection, self.dispatcher, self.hub, who, request.submitter, rest)

        fields = (
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accepted),
            ("Sec-WebSocket-Protocol", PROTOCOL),
        )
        return Response(101, media="", fields=fields, lasting=begin)


def _words(request: Request, name: bytes) -> set[str]:
    """The words of a list field, in lower case."""
    values = [value.decode("latin-1") for each, value in request.head.fields if each == name]
    return {word.strip().lower() for value in values for word in value.split(",")}


@dataclass(slots=True)
class Socket:
    """One connection."""

    connection: Connection
    dispatcher: Dispatcher
    hub: Hub
    principal: Principal
    client: Client
    rest: bytes = b""
    engine: ws.WebSocketEngine = field(default_factory=lambda: ws.WebSocketEngine(MAX_SIZE_REQUEST))
    following: Following | None = None
    """What the client wants pushed."""
    asked: bool = False
    """A ping of ours waits for any answer."""
    due: float = 0.0

    @property
    def topics(self) -> tuple[Topic, ...]:
        return tuple((account, WHOLE) for account in sorted(self.accounts))

    @property
    def accounts(self) -> frozenset[AccountId]:
        """Whose changes wake it."""
        return frozenset((self.principal.account,)) if self.following is None else self.following.accounts

    async def run(self, reason: str) -> Lasting | None:
        """``Lasting``."""
        ear = Ear(self.connection.nudge)
        if reason == "begin":
            self._later()
            count("a3_jmap_listeners")
            self.engine.receive(self.rest)
            self.rest = b""
        self.hub.listen(self.accounts, ear)
        ended = True
        try:
            ended = not await self._serve(reason, ear)
        finally:
            self.hub.leave(ear)
            if ended:
                count("a3_jmap_listeners", by=-1)
        if ended:
            await sent(self.connection, whole=True)
        return None if ended else self

    async def _serve(self, reason: str, ear: Ear) -> bool:
        """Whether it may be parked; False at its end."""
        connection = self.connection
        while reason != "stop":
            if reason == "input" and not await self._read():
                return False
            if reason == "time" and not self._ask():
                return False
            if not await self._answer() or not await self._push(ear):
                return False
            self.hub.listen(self.accounts, ear)
            if ear.stale and self.following is not None:
                reason = "change"
                continue
            connection.deadline = self.due
            connection.idle = self.engine.idle
            if self.engine.idle and connection.parkable and not connection.draining:
                return True
            reason = await waited(connection, self.due)
            connection.idle = False
        connection.write(ws.close(ws.GOING_AWAY))
        return False

    def _later(self) -> None:
        wait = PING_SECONDS if self.engine.idle else MESSAGE_SECONDS
        self.due = asyncio.get_running_loop().time() + wait

    async def _read(self) -> bool:
        began = not self.engine.idle
        octets = await self.connection.read()
        self.engine.receive(octets)
        self.asked = False
        if not began or self.engine.idle:  # a message that drips in gets no more time
            self._later()
        return bool(octets)

    def _ask(self) -> bool:
        """The client was quiet for long; False where it is gone."""
        if self.asked or not self.engine.idle:
            return False
        self.asked = True
        self.connection.write(ws.ping())
        self._later()
        return True

    # --- what the client says ----------------------------------------------------------------------------

    async def _answer(self) -> bool:
        """Answer what came; False at the end."""
        while (event := self.engine.next_event()) is not None:
            if isinstance(event, ws.Text):
                await self._message(event.octets)
                await sent(self.connection)
            elif isinstance(event, ws.Ping):
                self.connection.write(ws.pong(event.octets))
            elif isinstance(event, ws.Close):
                self.connection.write(ws.close(event.code))
                return False
            elif isinstance(event, ws.Broken):
                self.connection.write(ws.close(event.code, event.text))
                return False
        return True

    async def _message(self, octets: bytes) -> None:
        request_id: str | None = None
        try:
            value = decode(octets) if len(octets) < LARGE else await asyncio.to_thread(decode, octets)
            request_id = _id_of(value)
            await self._object(value, request_id)
        except RequestError as error:
            self._say(_told(error, request_id))

    async def _object(self, value: Any, request_id: str | None) -> None:
        """Errors: RequestError."""
        kind = value.get("@type")
        if kind == "Request":
            response = await self.dispatcher.admitted(self.principal, self.client, request_of(value))
            told = {"@type": "Response", **msgspec.to_builtins(response, builtin_types=(bytes,))}
            if request_id is not None:
                told["requestId"] = request_id
            self._say(told)
        elif kind == "WebSocketPushEnable":
            await self._enable(value)
        elif kind == "WebSocketPushDisable":
            self.following = None
        else:
            raise RequestError("notRequest", "@type is none that is known")

    async def _enable(self, value: dict[str, Any]) -> None:
        try:
            wanted = msgspec.convert(value, Enable)
        except msgspec.ValidationError as error:
            raise RequestError("notRequest", str(error)[:200]) from error
        if wanted.data_types is not None and len(wanted.data_types) > MAX_TYPES:
            raise RequestError("notRequest", f"at most {MAX_TYPES} types")
        types = None if wanted.data_types is None else frozenset(wanted.data_types)
        following = Following(self.hub, self.principal, self.hub.names(types))
        try:
            if not wanted.push_state:
                await following.news()
            else:
                following.told = unpacked(wanted.push_state) or {}
        except MailError as error:
            raise RequestError(
                "limit", "try again later", limit="maxConcurrentRequests", status=503
            ) from error
        self.following = following

    def _say(self, told: dict[str, Any]) -> None:
        self.connection.write(ws.text(msgspec.json.encode(told)))

    # --- what happened -----------------------------------------------------------------------------------

    async def _push(self, ear: Ear) -> bool:
        """Tell what changed; False when the credentials are no longer good."""
        if not ear.stale and self.following is None:
            return True
        ear.stale = False
        if not await self.hub.stands(self.principal):
            self.connection.write(ws.close(ws.POLICY, "the credentials are no longer valid"))
            return False
        following = self.following
        if following is None:
            return True
        try:
            found = await following.news()
        except MailError:
            following.told = {}
            return True
        if found:
            self.connection.write(ws.text(state_change(found, packed(following.told))))
            await sent(self.connection)
            await asyncio.sleep(GAP)
        return True


def _id_of(value: object) -> str | None:
    """The id of a request. Errors: RequestError where it is no object or its id no string."""
    if not isinstance(value, dict):
        raise RequestError("notRequest", "an object is expected")
    found = value.get("id")
    if found is None or (isinstance(found, str) and len(found) <= MAX_REQUEST_ID):
        return found
    raise RequestError("notRequest", f"id is a string of at most {MAX_REQUEST_ID} characters")


def _told(error: RequestError, request_id: str | None) -> dict[str, Any]:
    """A RequestError object (section 4.3.4)."""
    told: dict[str, Any] = {
        "@type": "RequestError",
        "requestId": request_id,
        "type": ERROR + error.type,
        "status": error.status,
        "detail": error.detail,
    }
    return {**told, "limit": error.limit} if error.limit else told
