"""Mailboxes that want each other's names or roles in one Mailbox/set (RFC 8620 section 5.3)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from a3mailer.edge.http.jmap.mailbox_exchange import Claim, circles
from tests.transcripts.jmap_world import JmapSession, JmapWorld


class Boxes:
    """Those of alice: Work (with Sub below it), Home and Old beside what everybody has."""

    def __init__(self, session: JmapSession) -> None:
        self._session = session
        self.ids: dict[str, str] = {}

    async def ask(self, method: str, **given: Any) -> Any:
        call = json.dumps([[method, {"accountId": "A1", **given}, "0"]])
        return json.loads((await self._session.feed(call.encode() + b"\r\n")).decode())[1]

    async def make(self) -> None:
        for name, above in (("Work", None), ("Sub", "Work"), ("Home", None), ("Old", None)):
            new = {"name": name, "parentId": self.ids.get(above or "")}
            told = await self.ask("Mailbox/set", create={"a": new})
            self.ids[name] = told["created"]["a"]["id"]

    async def set(self, **updates: Any) -> Any:
        return await self.ask("Mailbox/set", update={self.ids[name]: each for name, each in updates.items()})

    async def shown(self) -> dict[str, tuple[str, str | None, str | None]]:
        """Name, name of the parent and role, by the name each had first."""
        got = (await self.ask("Mailbox/get", ids=list(self.ids.values())))["list"]
        found = {each["id"]: each for each in got}
        names = {each["id"]: each["name"] for each in got}
        return {
            first: (found[id]["name"], names.get(found[id]["parentId"]), found[id]["role"])
            for first, id in self.ids.items()
        }


@pytest.fixture
async def boxes() -> AsyncIterator[Boxes]:
    world = JmapWorld()
    await world.fill()
    async with world.stage() as stage:
        session = JmapSession(stage.open(1), lambda octets: [octets])
        await session.greeting()
        made = Boxes(session)
        await made.make()
        yield made
    world.close()


async def test_names_are_exchanged_and_what_is_below_goes_along(boxes: Boxes) -> None:
    told = await boxes.set(Work={"name": "Home"}, Home={"name": "Work"})
    assert (set(told["updated"]), told["notUpdated"]) == ({boxes.ids["Work"], boxes.ids["Home"]}, None)
    shown = await boxes.shown()
    assert (shown["Work"][0], shown["Home"][0]) == ("Home", "Work")
    assert shown["Sub"] == ("Sub", "Home", None)


async def test_three_go_round(boxes: Boxes) -> None:
    told = await boxes.set(Work={"name": "Home"}, Home={"name": "Old"}, Old={"name": "Work", "sortOrder": 3})
    assert told["notUpdated"] is None
    shown = await boxes.shown()
    assert [shown[each][0] for each in ("Work", "Home", "Old")] == ["Home", "Old", "Work"]


async def test_roles_are_exchanged(boxes: Boxes) -> None:
    assert (await boxes.set(Work={"role": "flagged"}, Home={"role": "important"}))["notUpdated"] is None
    told = await boxes.set(Work={"role": "important"}, Home={"role": "flagged"})
    assert told["notUpdated"] is None
    shown = await boxes.shown()
    assert (shown["Work"][2], shown["Home"][2]) == ("important", "flagged")


async def test_a_mailbox_changes_places_with_the_one_above(boxes: Boxes) -> None:
    up = {"parentId": None, "name": "Work"}
    down = {"parentId": boxes.ids["Sub"], "name": "Sub"}
    told = await boxes.set(Work=down, Sub=up)
    assert told["notUpdated"] is None
    shown = await boxes.shown()
    assert (shown["Sub"][:2], shown["Work"][:2]) == (("Work", None), ("Sub", "Work"))


async def test_a_circle_that_cannot_be_changes_nothing(boxes: Boxes) -> None:
    before = await boxes.shown()
    told = await boxes.set(Work={"name": "Home"}, Home={"name": "Work", "role": "inbox"})
    assert told["updated"] is None
    told_of = {each["type"] for each in told["notUpdated"].values()}
    assert told_of == {"alreadyExists", "invalidProperties"}
    assert await boxes.shown() == before


async def test_what_another_keeps_is_not_taken(boxes: Boxes) -> None:
    told = await boxes.set(Work={"name": "Home"}, Home={"name": "Old"}, Sub={"sortOrder": 1})
    assert told["updated"] == {boxes.ids["Sub"]: None}
    assert (await boxes.shown())["Work"][0] == "Work"


async def test_one_circle_goes_on_without_the_other(boxes: Boxes) -> None:
    told = await boxes.set(
        Work={"name": "Home"}, Home={"name": "Work"}, Old={"name": "Inbox"}, Sub={"name": "a/b"}
    )
    assert set(told["updated"]) == {boxes.ids["Work"], boxes.ids["Home"]}
    assert set(told["notUpdated"]) == {boxes.ids["Old"], boxes.ids["Sub"]}


def test_circles() -> None:
    def claim(wants: str, gives_up: str) -> Claim:
        return Claim(frozenset(wants), frozenset(gives_up))

    holders = {"a": "1", "b": "2", "c": "3", "d": "4"}
    claims = {"1": claim("b", "a"), "2": claim("a", "b"), "3": claim("d", "c"), "5": claim("a", "")}
    assert list(circles(claims, holders)) == [("1", "2")]
    assert list(circles({"1": claim("bc", "a"), "2": claim("a", "b"), "3": claim("", "c")}, holders)) == [
        ("1", "2", "3")
    ]
    assert list(circles({"1": claim("z", "a")}, holders)) == []
