"""dsnBlobIds and mdnBlobIds of EmailSubmission (RFC 8621 section 7): what came back for which submission."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from a3mailer.wire.dsn.compose import compose
from a3mailer.wire.dsn.disposition import Disposition, entity
from a3mailer.wire.dsn.report import Action, Original, RecipientStatus, Report
from tests.transcripts.jmap_world import JmapSession, JmapWorld

ORIGINAL = b"Message-ID: <%b>\r\nFrom: alice@example.test\r\nSubject: hi\r\n\r\nHello\r\n"

NEWEST = {"filter": {"inMailbox": "F1"}, "sort": [{"property": "receivedAt", "isAscending": False}]}


def dsn(message_id: bytes, envelope_id: str = "", *, full: bool = True) -> bytes:
    report = Report(
        "mx.else.test", (RecipientStatus("carol@else.test", Action.FAILED, "5.1.1"),), envelope_id
    )
    octets = ORIGINAL % message_id
    original = Original(octets if full else octets.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", full)
    return compose(report, original, to="alice@example.test", now=1, token="t")


def mdn(message_id: bytes) -> bytes:
    told = Disposition("", "carol@else.test", "displayed", original_message_id=f"<{message_id.decode()}>")
    return b"From: carol@else.test\r\n" + entity(told, "seen", ORIGINAL % message_id, "b")


class Sender:
    """alice, who submits."""

    def __init__(self, world: JmapWorld, session: JmapSession) -> None:
        self.world = world
        self._session = session

    async def __call__(self, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
        listed = [[name, {"accountId": "A1", **given}, str(at)] for at, (name, given) in enumerate(calls)]
        told = await self._session.feed(json.dumps(listed).encode() + b"\r\n")
        return [json.loads(line)[1] for line in told.decode().splitlines()]

    async def submit(self, message_id: str, envelope_id: str = "") -> str:
        draft = {
            "mailboxIds": {"F3": True}, "from": [{"email": "alice@example.test"}], "messageId": [message_id],
            "to": [{"email": "carol@else.test"}], "subject": "hi",
        }  # fmt: skip
        path = {"email": "alice@example.test", "parameters": {"ENVID": envelope_id} if envelope_id else None}
        envelope = {"mailFrom": path, "rcptTo": [{"email": "carol@else.test"}]}
        wanted = {"identityId": "I0", "emailId": "#d", "envelope": envelope}
        answers = await self(
            ("Email/set", {"create": {"d": draft}}), ("EmailSubmission/set", {"create": {"s": wanted}})
        )
        self.world.clock.advance(1)
        return str(answers[1]["created"]["s"]["id"])

    async def returned(self, id: str) -> tuple[list[str], list[str]]:
        properties = ["dsnBlobIds", "mdnBlobIds"]
        (told,) = await self(("EmailSubmission/get", {"ids": [id], "properties": properties}))
        return told["list"][0]["dsnBlobIds"], told["list"][0]["mdnBlobIds"]

    async def blob(self, number: int) -> str:
        """Of the newest mails in INBOX, counted from the newest."""
        (found,) = await self(("Email/query", NEWEST))
        (got,) = await self(("Email/get", {"ids": found["ids"], "properties": ["blobId"]}))
        blobs = {each["id"]: each["blobId"] for each in got["list"]}
        return str(blobs[found["ids"][number]])


@pytest.fixture
async def alice() -> AsyncIterator[Sender]:
    world = JmapWorld({"messages": "plain mixed"})
    await world.fill()
    async with world.stage() as stage:
        session = JmapSession(stage.open(1), lambda octets: [octets])
        await session.greeting()
        yield Sender(world, session)
    world.close()


@pytest.mark.parametrize("full", [True, False])
async def test_a_bounce_is_found_by_the_mail_it_is_about(alice: Sender, full: bool) -> None:
    one, two = await alice.submit("one@example.test"), await alice.submit("two@example.test")
    assert await alice.returned(one) == ([], [])
    await alice.world.deliver(dsn(b"one@example.test", full=full))
    assert await alice.returned(one) == ([await alice.blob(0)], [])
    assert await alice.returned(two) == ([], [])


async def test_a_receipt_is_one_of_its_own(alice: Sender) -> None:
    one = await alice.submit("one@example.test")
    await alice.world.deliver(mdn(b"one@example.test"))
    await alice.world.deliver(dsn(b"one@example.test"))
    assert await alice.returned(one) == ([await alice.blob(0)], [await alice.blob(1)])


async def test_an_envelope_id_tells_submissions_of_one_mail_apart(alice: Sender) -> None:
    one, two = await alice.submit("one@example.test", "e=1"), await alice.submit("one@example.test", "e=2")
    await alice.world.deliver(dsn(b"one@example.test", "e=2"))
    assert await alice.returned(one) == ([], [])
    assert await alice.returned(two) == ([await alice.blob(0)], [])


async def test_what_came_before_is_about_another(alice: Sender) -> None:
    await alice.world.deliver(dsn(b"one@example.test"))
    one = await alice.submit("one@example.test")
    assert await alice.returned(one) == ([], [])


async def test_the_state_changes_with_it(alice: Sender) -> None:
    one = await alice.submit("one@example.test")
    (before,) = await alice(("EmailSubmission/get", {"ids": []}))
    await alice.world.deliver(b"Subject: no notification\r\n\r\none@example.test\r\n")
    (still,) = await alice(("EmailSubmission/get", {"ids": []}))
    assert still["state"] == before["state"]
    await alice.world.deliver(dsn(b"one@example.test"))
    (told,) = await alice(("EmailSubmission/changes", {"sinceState": before["state"]}))
    assert told["newState"] != before["state"]
    assert one in (*told["updated"], *told["created"])
    assert await alice.returned(one) == ([await alice.blob(0)], [])


async def test_a_notification_that_is_destroyed_is_told_no_more(alice: Sender) -> None:
    one = await alice.submit("one@example.test")
    await alice.world.deliver(dsn(b"one@example.test"))
    assert len((await alice.returned(one))[0]) == 1
    (found,) = await alice(("Email/query", NEWEST))
    await alice(("Email/set", {"destroy": found["ids"][:1]}))
    assert await alice.returned(one) == ([], [])
