"""Lists of emails that are kept as JSON say what reading them anew would say, whatever happened between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from a3mailer.access import account_mail
from a3mailer.edge.http.jmap import email_listed
from a3mailer.mail.errors import DamagedContent
from a3mailer.mail.flags import DELETED, FLAGGED
from a3mailer.mail.ids import INBOX, Uid
from a3mailer.store import operations as op
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import Fragments
from tests.transcripts.jmap_world import JmapSession, JmapWorld

FEW = ["threadId", "mailboxIds", "keywords", "from", "subject", "receivedAt", "size", "preview"]
MANY = [
    *FEW,
    "references",
    "replyTo",
    "sender",
    "headers",
    "bodyStructure",
    "bodyValues",
    "textBody",
    "attachments",
]
IDS = ["M2", "M1", "M9", "M3", "x"]


class Client:
    """Asks of one account."""

    def __init__(self, world: JmapWorld, session: JmapSession) -> None:
        self.world = world
        self.account = world.accounts["alice"]
        self._session = session

    async def calls(self, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        account = {"accountId": f"A{self.account}"}
        asked = [[name, {**account, **given}, str(at)] for at, (name, given) in enumerate(calls)]
        said = (await self._session.feed(json.dumps(asked).encode() + b"\r\n")).decode()
        return [json.loads(line)[1] for line in said.splitlines() if line.strip()]

    async def listed(self, names: list[str], **further: Any) -> dict[str, Any]:
        return (await self.calls(("Email/get", {"ids": IDS, "properties": names, **further})))[0]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    world = JmapWorld({"messages": "plain mixed short"})
    await world.fill()
    async with world.stage() as stage:
        session = JmapSession(stage.open(1), lambda octets: [octets])
        await session.greeting()
        yield Client(world, session)
    world.close()


async def agree(client: Client, names: list[str] | None = None) -> dict[str, Any]:
    """The list, kept and as it is read; a field that the client names cannot be kept."""
    told = {}
    for each in (FEW, MANY) if names is None else (names,):
        kept = await client.listed(each)
        anew = await client.listed([*each, "header:X-None"])
        for email in anew["list"]:
            del email["header:X-None"]
        assert kept == anew
        assert await client.listed(each) == kept
        told = told or kept
    return told


async def test_what_is_kept_is_what_is_read(client: Client) -> None:
    first = await client.listed(FEW)  # nothing is known of the account yet
    await client.calls(("Email/query", {}))
    assert await agree(client) == first
    assert [each["id"] for each in first["list"]] == ["M2", "M1", "M3"]
    assert first["notFound"] == ["M9", "x"]
    await client.calls(("Email/set", {"update": {"M1": {"keywords/$seen": True, "keywords/a": True}}}))
    assert {"$seen": True, "a": True}.items() <= (await agree(client))["list"][1]["keywords"].items()
    await client.calls(("Email/set", {"update": {"M2": {"mailboxIds": {"F6": True}}}, "destroy": ["M3"]}))
    listed = await agree(client)
    assert listed["list"][0]["mailboxIds"] == {"F6": True}
    assert listed["notFound"] == ["M9", "M3", "x"]
    hidden = op.StoreFlags(client.account, INBOX, (Uid(1),), "+", DELETED)
    await client.world.store.commit(Transaction((hidden,)))
    assert [each["id"] for each in (await agree(client))["list"]] == ["M2"]


async def test_octets_are_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    await client.calls(("Email/query", {}))
    listed = await agree(client, FEW)
    monkeypatch.setattr(account_mail, "KEPT_OCTETS", 100)
    mail = await client.world.jmap.services.mail.of(client.account)
    assert mail.octets == sum(len(octets) for page in mail.made.values() for octets in page.values()) > 100
    client.world.jmap.services.mail.make_room_for_octets()
    assert (mail.octets, mail.made) == (0, {})
    assert await agree(client, FEW) == listed
    assert mail.octets == 0


async def test_what_is_kept_is_counted_once(client: Client) -> None:
    await client.calls(("Email/query", {}))
    await agree(client)
    mail = await client.world.jmap.services.mail.of(client.account)
    before, names = mail.octets, frozenset((*FEW, "id"))
    mail.keep(names, 1, b"x" * len(mail.made[names][1]))
    assert mail.octets == before
    assert mail.octets == sum(len(octets) for page in mail.made.values() for octets in page.values())


async def test_what_a_client_chooses_is_not_kept(client: Client) -> None:
    await client.calls(("Email/query", {}))
    await client.listed(["header:Subject:asText"])
    await client.listed(["textBody"], bodyProperties=["partId"])
    await client.listed(["textBody", "bodyValues"], fetchTextBodyValues=True)
    mail = await client.world.jmap.services.mail.of(client.account)
    assert not mail.made
    listed = await client.listed(["textBody", "bodyValues"])
    assert mail.made and not any(each["bodyValues"] for each in listed["list"])
    listed = await client.listed(["textBody", "bodyValues"], fetchTextBodyValues=True)
    assert all(each["bodyValues"] for each in listed["list"])
    listed = await client.listed(["subject"], bodyProperties=["partId"], fetchTextBodyValues=True)
    assert len(mail.made) == 2, "what is asked of parts is nothing to a list without them"


async def test_what_is_large_is_not_kept(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    await client.calls(("Email/query", {}))
    monkeypatch.setattr(email_listed, "MAX_KEPT", 60)
    await agree(client, ["id", "headers"])
    mail = await client.world.jmap.services.mail.of(client.account)
    assert not mail.made
    await agree(client, ["id", "size"])
    assert [len(page) for page in mail.made.values()] == [3]


async def test_what_cannot_be_read_is_not_kept(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    await client.calls(("Email/query", {}))
    kind = type(client.world.store)

    async def damaged(*_: Any) -> bytes:
        raise DamagedContent("for a while")

    with monkeypatch.context() as patch:
        patch.setattr(kind, "octets", damaged)
        assert all(each["headers"] == [] for each in (await client.listed(["headers"]))["list"])
    assert all(each["headers"] for each in (await agree(client, ["headers"]))["list"])


async def test_what_is_read_by_a_damaged_index(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    await client.calls(("Email/query", {}))
    ask = ["bodyStructure", "headers", "attachments", "hasAttachment"]
    kind = type(client.world.store)
    read = kind.fragments

    async def damaged(*given: Any) -> tuple[Fragments, ...]:
        return tuple([replace(row, index=row.index[:-3]) for row in await read(*given)])

    async def gone(*_: Any) -> bytes:
        raise DamagedContent("for a while")

    with monkeypatch.context() as patch:
        patch.setattr(kind, "fragments", damaged)
        with monkeypatch.context() as both:
            both.setattr(kind, "octets", gone)
            assert all(each["headers"] == [] for each in (await client.listed(["headers"]))["list"])
        told = (await client.listed(ask))["list"]
    (await client.world.jmap.services.mail.of(client.account)).made.clear()
    assert told == (await client.listed(ask))["list"] and all(each["headers"] for each in told)


async def test_what_changes_while_it_is_read_is_not_kept(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.calls(("Email/query", {}))
    kind = type(client.world.store)
    whole = kind.octets
    mail = client.world.jmap.services.mail

    async def overtaken(*given: Any) -> bytes:
        flags = op.StoreFlags(client.account, INBOX, (Uid(1), Uid(2), Uid(3)), "+", FLAGGED)
        await client.world.store.commit(Transaction((flags,)))
        await mail.of(client.account)
        return await whole(*given)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "octets", overtaken)
        await client.listed(["keywords", "headers"])
    for each in (await agree(client, ["keywords", "headers"]))["list"]:
        assert each["keywords"]["$flagged"] is True


async def test_threads_of_what_is_known_are_those_of_the_store(client: Client) -> None:
    for each in (0, 3, 1, 4, 2):
        reply = f"Message-ID: <{each}@x>\r\nReferences: <0@x>\r\nSubject: {each}\r\n\r\nx\r\n"
        await client.world.deliver(reply.encode())
    ids = {"ids": ["T1", "T4", "T5", "T6", "T99", "x"]}
    (stored,) = await client.calls(("Thread/get", ids))
    await client.calls(("Email/query", {}))
    assert await client.world.jmap.services.mail.known(client.account) is not None
    assert (await client.calls(("Thread/get", ids)))[0] == stored
    found = {each["id"]: each["emailIds"] for each in stored["list"]}
    assert found["T4"] == ["M4", "M5", "M6", "M7", "M8"] and stored["notFound"] == ["T5", "T6", "T99", "x"]
    await client.calls(("Email/set", {"destroy": ["M4", "M6"]}))
    (told,) = await client.calls(("Thread/get", {"ids": ["T4", "T5"]}))
    assert [each["emailIds"] for each in told["list"]] == [["M5", "M7", "M8"]]
    await client.calls(("Email/set", {"destroy": ["M5", "M7", "M8"]}))
    (told,) = await client.calls(("Thread/get", {"ids": ["T4"]}))
    assert told["notFound"] == ["T4"]


async def test_references_look_into_what_is_kept(client: Client) -> None:
    await client.calls(("Email/query", {}))
    reference = {"resultOf": "0", "name": "Email/get", "path": "/list/*/threadId"}
    for _ in range(2):
        listed, threads = await client.calls(
            ("Email/get", {"ids": ["M2", "M1"], "properties": ["threadId"]}),
            ("Thread/get", {"#ids": reference}),
        )
        assert {each["id"] for each in threads["list"]} == {each["threadId"] for each in listed["list"]}
