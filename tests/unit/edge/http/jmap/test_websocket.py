"""JMAP over WebSocket: the handshake, requests and answers, pushes, and the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from a3mailer.edge.http.jmap import events, limits, websocket
from a3mailer.edge.http.jmap.capabilities import CORE
from a3mailer.edge.http.jmap.news import unpacked
from a3mailer.store import operations as op
from a3mailer.store.ports import Transaction
from a3mailer.testing.memory_connection import MemoryConnection, MemorySession, Stage
from tests.transcripts.jmap_world import JmapWorld
from tests.unit.edge.http.jmap.test_events import MAIL, EventWorld
from tests.unit.wire.websocket.test_frames import frame

HANDSHAKE = (
    "Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: other, jmap",
)  # fmt: skip


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EventWorld]:
    monkeypatch.setattr(websocket, "GAP", 0.0)
    monkeypatch.setattr(events, "GAP", 0.0)
    made = EventWorld()
    await made.fill()
    yield made
    made.close()


def hello(*fields: str) -> bytes:
    lines = ["GET /jmap/ws HTTP/1.1", "Host: a", f"Authorization: {JmapWorld.basic('alice')}", *fields]
    return "\r\n".join((*lines, "", "")).encode()


def messages(octets: bytes) -> list[Any]:
    """Texts of ours as JSON; (opcode, payload) of other frames."""
    found: list[Any] = []
    while octets:
        opcode, size, at = octets[0] & 0x0F, octets[1], 2
        assert octets[0] & 0x80 and size < 128, "whole, and without a mask"
        if size > 125:
            at = 4 if size == 126 else 10
            size = int.from_bytes(octets[2:at], "big")
        payload, octets = octets[at : at + size], octets[at + size :]
        found.append(json.loads(payload) if opcode == 1 else (opcode, payload))
    return found


async def opened(session: MemorySession, rest: bytes = b"") -> list[Any]:
    head, _, said = (await session.feed(hello(*HANDSHAKE) + rest)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert b"\r\nSec-WebSocket-Protocol: jmap" in head and b"\r\nConnection: Upgrade" in head
    assert b"Content-Length" not in head and b"Extensions" not in head and head.count(b"Connection:") == 1
    return messages(said)


async def say(session: MemorySession, told: object) -> list[Any]:
    octets = told if isinstance(told, bytes) else frame(1, json.dumps(told).encode())
    return messages(await session.feed(octets))


def echo(id: str | None = None, **more: object) -> dict[str, object]:
    asked: dict[str, object] = {
        "@type": "Request",
        "using": [CORE],
        "methodCalls": [["Core/echo", more, "0"]],
    }
    return asked if id is None else {**asked, "id": id}


async def test_requests_are_answered_in_their_order(world: EventWorld) -> None:
    async with world.stage() as stage:
        session = stage.open(1)
        (first,) = await opened(session, frame(1, json.dumps(echo("R1", a=1)).encode()))
        assert first["@type"] == "Response" and first["requestId"] == "R1"
        assert first["methodResponses"] == [["Core/echo", {"a": 1}, "0"]] and first["sessionState"]
        both = b"".join(frame(1, json.dumps(echo(id)).encode()) for id in ("R2", "R3"))
        assert [each["requestId"] for each in await say(session, both)] == ["R2", "R3"]
        (told,) = await say(session, {**echo(), "createdIds": {"k": "F1"}})
        assert "requestId" not in told and told["createdIds"] == {"k": "F1"}


async def test_octet_by_octet(world: EventWorld) -> None:
    async with world.stage() as stage:
        session = stage.open(1)
        said = b""
        for octet in hello(*HANDSHAKE) + frame(1, json.dumps(echo("R1")).encode()):
            said += await session.feed(bytes((octet,)))
        assert messages(said.partition(b"\r\n\r\n")[2])[0]["requestId"] == "R1"


async def test_errors_name_the_request(world: EventWorld) -> None:
    error = "urn:ietf:params:jmap:error:"
    calls = [["Core/echo", {}, "0"]] * (limits.MAX_CALLS + 1)
    async with world.stage() as stage:
        session = stage.open(1)
        await opened(session)
        for given, type, id in (
            (frame(1, b"{"), "notJSON", None),
            (frame(1, b'{"@type":"Request","@type":"Request"}'), "notJSON", None),
            ([], "notRequest", None),
            ({"@type": "Other", "id": "R1"}, "notRequest", "R1"),
            ({"id": "R1"}, "notRequest", "R1"),
            ({"@type": "Request", "id": "R2", "using": []}, "notRequest", "R2"),
            ({"@type": "Request", "id": 5, "using": []}, "notRequest", None),
            ({**echo("R3"), "using": ["urn:no"]}, "unknownCapability", "R3"),
            ({**echo("R4"), "methodCalls": calls}, "limit", "R4"),
            ({"@type": "WebSocketPushEnable", "dataTypes": 5}, "notRequest", None),
        ):
            (told,) = await say(session, given)
            assert (told["@type"], told["type"], told["requestId"]) == ("RequestError", error + type, id), (
                given
            )
        assert told["status"] == 400 and not session.closed


async def test_changes_are_pushed_while_that_is_enabled(world: EventWorld) -> None:
    async with world.stage() as stage:
        session = stage.open(1)
        await opened(session)
        await world.deliver(MAIL)
        assert messages(await session.feed(b"")) == []
        assert await say(session, {"@type": "WebSocketPushEnable", "dataTypes": ["Email"]}) == []
        await world.deliver(MAIL)
        (told,) = messages(await session.feed(b""))
        assert told["@type"] == "StateChange" and told["changed"] == {"A1": {"Email": "3"}}
        assert unpacked(told["pushState"]) == {"A1": {"Email": "3"}}
        assert await say(session, {"@type": "WebSocketPushDisable"}) == []
        await world.deliver(MAIL)
        assert messages(await session.feed(b"")) == []
        enable = {"@type": "WebSocketPushEnable", "dataTypes": None, "pushState": told["pushState"]}
        (missed,) = await say(session, enable)
        assert missed["changed"] == {"A1": {"Email": "4", "Mailbox": "6"}}


async def test_pings_closes_and_what_breaks_a_rule(world: EventWorld) -> None:
    async with world.stage() as stage:
        first, second, third = (stage.open(n) for n in (1, 2, 3))
        await opened(first)
        assert await say(first, frame(9, b"hi")) == [(10, b"hi")]
        assert await say(first, frame(8, b"\x03\xe8")) == [(8, b"\x03\xe8")] and first.closed
        await opened(second)
        ((opcode, payload),) = await say(second, frame(2, b"binary"))
        assert (opcode, payload[:2]) == (8, (1003).to_bytes(2, "big")) and second.closed
        await opened(third)
        ((opcode, payload),) = await say(third, bytes.fromhex("81ff0000000000ffffff"))
        assert payload[:2] == (1009).to_bytes(2, "big") and third.closed


async def test_it_ends_with_the_credentials(world: EventWorld) -> None:
    async with world.stage() as stage:
        session = stage.open(1)
        await opened(session)
        await world.store.commit(Transaction((op.BumpEpoch(world.accounts["alice"]),)))
        ((opcode, payload),) = messages(await session.feed(b""))
        assert opcode == 8 and payload[:2] == (1008).to_bytes(2, "big") and session.closed


@pytest.mark.parametrize(
    ("without", "instead", "status"),
    [
        ("Upgrade", "", 426), ("Connection", "", 426),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8", 426),
        ("Sec-WebSocket-Key", "", 400), ("Sec-WebSocket-Key", "Sec-WebSocket-Key: x", 400),
        ("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: chat", 400), ("Sec-WebSocket-Protocol", "", 400),
    ],
)  # fmt: skip
async def test_a_handshake_that_is_none(world: EventWorld, without: str, instead: str, status: int) -> None:
    fields = [each for each in HANDSHAKE if not each.startswith(f"{without}:")]
    async with world.stage() as stage:
        session = stage.open(1)
        answer = await session.feed(hello(*fields, *([instead] if instead else [])))
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer


class Lazy(MemoryConnection):
    """A client that takes nothing of what is written."""

    __slots__ = ("deadlines",)

    async def drain(self) -> None:
        self.deadlines.append(self.deadline - asyncio.get_running_loop().time())


async def test_a_client_that_takes_nothing_has_a_deadline(world: EventWorld) -> None:
    lazy = Lazy(("127.0.0.1", 1), ("127.0.0.1", 443), secure=True)
    lazy.deadlines = []
    async with Stage(lambda connection: world.door.serve(connection, ""), lambda _: lazy) as stage:
        session = stage.open(1)
        await opened(session)
        await say(session, echo("R1"))
        await say(session, {"@type": "WebSocketPushEnable", "dataTypes": None})
        await world.deliver(MAIL)
        await session.feed(b"")
    own = lazy.deadlines[1:]
    assert own and all(0 < each <= events.SEND_SECONDS for each in own)
