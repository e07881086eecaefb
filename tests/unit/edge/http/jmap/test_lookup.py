"""Blob/lookup (RFC 9404): the emails, threads and mailboxes in which a blob is found."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from a3mailer.edge.http.jmap.capabilities import BLOB, CORE, MAIL
from tests.transcripts.jmap_world import JmapSession, JmapWorld

ALL = ["Mailbox", "Thread", "Email"]
NOWHERE: dict[str, list[str]] = {"Mailbox": [], "Thread": [], "Email": []}


class Asked:
    """alice's account."""

    def __init__(self, session: JmapSession) -> None:
        self._session = session

    async def __call__(self, method: str, using: tuple[str, ...] = (CORE, MAIL, BLOB), **given: Any) -> Any:
        call = [method, {"accountId": "A1", **given}, "0"]
        request = json.dumps({"using": using, "methodCalls": [call]})
        answer = json.loads((await self._session.feed(request.encode() + b"\r\n")).decode())
        return answer[1]

    async def lookup(self, *ids: str) -> dict[str, Any]:
        told = await self("Blob/lookup", typeNames=ALL, ids=ids)
        return {each["id"]: each["matchedIds"] for each in told["list"]}

    async def email(self, id: str) -> Any:
        properties = ["blobId", "threadId", "attachments", "textBody"]
        return (await self("Email/get", ids=[id], properties=properties))["list"][0]


@pytest.fixture
async def ask() -> AsyncIterator[Asked]:
    world = JmapWorld({"messages": "plain mixed"})
    await world.fill()
    async with world.stage() as stage:
        session = JmapSession(stage.open(1), lambda octets: [octets])
        await session.greeting()
        yield Asked(session)
    world.close()


async def test_a_mail_is_found_where_it_lies(ask: Asked) -> None:
    await ask("Email/set", update={"M1": {"mailboxIds/F6": True}})
    one, two = await ask.email("M1"), await ask.email("M2")
    unknown = "B" + "f" * 32
    assert await ask.lookup(one["blobId"], two["blobId"], unknown) == {
        one["blobId"]: {"Mailbox": ["F1", "F6"], "Thread": [one["threadId"]], "Email": ["M1"]},
        two["blobId"]: {"Mailbox": ["F1"], "Thread": [two["threadId"]], "Email": ["M2"]},
        unknown: NOWHERE,
    }
    await ask("Email/set", destroy=["M1"])
    assert (await ask.lookup(one["blobId"]))[one["blobId"]] == NOWHERE


async def test_a_part_is_found_by_the_name_it_is_told_by(ask: Asked) -> None:
    two = await ask.email("M2")
    attached = two["attachments"][0]["blobId"]
    digits = attached[1:33]
    others = [f"P{digits}_0_1_n", f"P{'f' * 32}{attached[33:]}"]
    found = await ask.lookup(attached, *others)
    assert found[attached]["Email"] == ["M2"]
    assert [found[each] for each in others] == [NOWHERE, NOWHERE]


async def test_an_upload_is_in_no_record(ask: Asked) -> None:
    made = await ask("Blob/upload", create={"b": {"data": [{"data:asText": "words"}]}})
    name = made["created"]["b"]["id"]
    assert await ask.lookup(name) == {name: NOWHERE}


async def test_what_is_no_blob_is_not_found(ask: Asked) -> None:
    told = await ask("Blob/lookup", typeNames=["Email"], ids=["not-a-blob", "B12"])
    assert told == {"accountId": "A1", "list": [], "notFound": ["not-a-blob", "B12"]}


async def test_types_are_known_with_their_capability(ask: Asked) -> None:
    assert (await ask("Blob/lookup", typeNames=["Email", "Quota"], ids=[]))["type"] == "unknownDataType"
    without = await ask("Blob/lookup", (CORE, BLOB), typeNames=["Email"], ids=[])
    assert without["type"] == "unknownDataType"
    assert "list" in await ask("Blob/lookup", (CORE, BLOB), typeNames=[], ids=[])


async def test_ids_are_limited(ask: Asked) -> None:
    many = [f"B{number:032x}" for number in range(1001)]
    assert (await ask("Blob/lookup", typeNames=["Email"], ids=many))["type"] == "requestTooLarge"
