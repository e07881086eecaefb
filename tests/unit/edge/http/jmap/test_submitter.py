"""Who submits by JMAP is the client of the request, by HTTP and by WebSocket: never somebody on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from a3mailer.edge.http.jmap.capabilities import CAPABILITIES
from a3mailer.testing.memory_connection import MemoryConnection, Stage
from a3mailer.transfer import receive
from tests.transcripts.jmap_world import JmapSession, JmapWorld
from tests.unit.edge.http.jmap.test_websocket import opened, say

PEER = "203.0.113.7"
SUBMIT = ["EmailSubmission/set", {"accountId": "A1", "create": {"s": {"identityId": "I0", "emailId": "M1"}}}]


@pytest.fixture
async def world() -> AsyncIterator[JmapWorld]:
    made = JmapWorld({"messages": "plain"})
    await made.fill()
    yield made
    made.close()


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The events of mails that were taken."""
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(receive, "emit", lambda event, **words: told.append({"event": event, **words}))
    return told


def stage(world: JmapWorld, *, secure: bool = True) -> Stage:
    return Stage(
        lambda connection: world.door.serve(connection, ""),
        lambda number: MemoryConnection((PEER, number), ("192.0.2.25", 443), secure=secure),
    )


async def test_a_submission_by_http_is_the_clients(world: JmapWorld, received: list[dict[str, Any]]) -> None:
    async with stage(world) as connections:
        session = JmapSession(connections.open(1), lambda octets: [octets])
        await session.greeting()
        answer = json.loads(await session.feed(json.dumps([[*SUBMIT, "0"]]).encode() + b"\r\n"))
    assert answer[1]["created"]["s"]["undoStatus"] == "final", answer
    assert [(each["event"], each["client"]) for each in received] == [("mail.received", PEER)]
    assert received[0]["account"] == world.accounts["alice"]


async def test_a_submission_by_websocket_is_the_clients(
    world: JmapWorld, received: list[dict[str, Any]]
) -> None:
    request = {
        "@type": "Request",
        "using": [each.urn for each in CAPABILITIES],
        "methodCalls": [[*SUBMIT, "0"]],
    }
    async with stage(world) as connections:
        session = connections.open(1)
        await opened(session)
        (answer,) = await say(session, request)
    assert answer["methodResponses"][0][1]["created"], answer
    assert [each["client"] for each in received] == [PEER]
