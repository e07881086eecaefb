"""Lists of emails that are kept as JSON say what reading them anew would say, whatever happened between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from a3mailer.access import account_mail
from a3mailer.mail.flags import DELETED
from a3mailer.mail.ids import INBOX, Uid
from a3mailer.store import operations as op
from a3mailer.store.ports import Transaction
from tests.transcripts.jmap_world import JmapSession, JmapWorld

PROPERTIES = ["threadId", "mailboxIds", "keywords", "from", "subject", "receivedAt", "size", "preview"]
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

    async def listed(self, *further: str) -> dict[str, Any]:
        return (await self.calls(("Email/get", {"ids": IDS, "properties": [*PROPERTIES, *further]})))[0]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    world = JmapWorld({"messages": "plain mixed short"})
    await world.fill()
    async with world.stage() as stage:
        session = JmapSession(stage.open(1), lambda octets: [octets])
        await session.greeting()
        yield Client(world, session)
    world.close()


async def agree(client: Client) -> dict[str, Any]:
    """The list, kept and as it is read; ``headers`` cannot be kept."""
    kept = await client.listed()
    anew = await client.listed("headers")
    for each in anew["list"]:
        del each["headers"]
    assert kept == anew
    assert await client.listed() == kept
    return kept


async def test_what_is_kept_is_what_is_read(client: Client) -> None:
    first = await client.listed()  # nothing is known of the account yet
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
    listed = await agree(client)
    monkeypatch.setattr(account_mail, "KEPT_OCTETS", 100)
    mail = await client.world.jmap.services.mail.of(client.account)
    assert mail.octets == sum(len(octets) for page in mail.made.values() for octets in page.values()) > 100
    client.world.jmap.services.mail.make_room_for_octets()
    assert (mail.octets, mail.made) == (0, {})
    assert await agree(client) == listed
    assert mail.octets == 0


async def test_references_look_into_what_is_kept(client: Client) -> None:
    await client.calls(("Email/query", {}))
    reference = {"resultOf": "0", "name": "Email/get", "path": "/list/*/threadId"}
    for _ in range(2):
        listed, threads = await client.calls(
            ("Email/get", {"ids": ["M2", "M1"], "properties": ["threadId"]}),
            ("Thread/get", {"#ids": reference}),
        )
        assert {each["id"] for each in threads["list"]} == {each["threadId"] for each in listed["list"]}
