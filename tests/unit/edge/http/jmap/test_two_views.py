"""IMAP and JMAP are two views of one store: what one changes the other is told, with the same ids."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from a3mailer.access.view import View
from a3mailer.mail.flags import FLAGGED, SEEN
from a3mailer.mail.ids import INBOX, MailboxId, Uid
from a3mailer.store import operations as op
from a3mailer.store.ports import Transaction
from tests.transcripts.jmap_world import JmapSession, JmapWorld


class Two:
    """One account, asked by JMAP and looked at as IMAP sessions do."""

    def __init__(self, world: JmapWorld, session: JmapSession) -> None:
        self.world = world
        self.account = world.accounts["alice"]
        self._session = session

    async def jmap(self, method: str, **arguments: Any) -> dict[str, Any]:
        call = json.dumps([[method, {"accountId": f"A{self.account}", **arguments}, "0"]])
        answer = json.loads((await self._session.feed(call.encode() + b"\r\n")).decode())
        assert answer[0] == method, answer
        return dict(answer[1])

    async def view(self, mailbox: int = INBOX) -> View:
        return await self.world.views.open(self.account, MailboxId(mailbox))

    async def told(self, view: View) -> Any:
        await view.mailbox.refresh()
        return view.news()

    async def imap(self, operation: op.Operation) -> op.Result:
        (result,) = await self.world.store.commit(Transaction((operation,)))
        return result


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    world = JmapWorld({"messages": "plain mixed short"})
    await world.fill()
    async with world.stage() as stage:
        session = JmapSession(stage.open(1), lambda octets: [octets])
        await session.greeting()
        yield Two(world, session)
    world.close()


async def test_imap_is_told_of_what_jmap_does(two: Two) -> None:
    view, archive = await two.view(), await two.view(6)
    await two.jmap("Email/set", update={"M1": {"keywords/$seen": True, "keywords/work": True}})
    news = await two.told(view)
    assert (news.changed, view.flags(0)[:2]) == ((0,), (SEEN, "work"))
    await two.jmap("Email/set", update={"M2": {"mailboxIds": {"F6": True}}}, destroy=["M3"])
    news = await two.told(view)
    assert (news.vanished, news.places) == ((2, 3), (1, 2))
    assert (await two.told(archive)).exists == 1
    assert list(archive.columns.emails) == [2]
    draft = {"mailboxIds": {"F1": True, "F6": True}, "subject": "new", "keywords": {"$flagged": True}}
    made = await two.jmap("Email/set", create={"d": draft})
    assert made["created"]["d"]["id"] == "M4"
    assert (await two.told(view)).exists == (await two.told(archive)).exists == 2
    assert view.flags(1)[0] == archive.flags(1)[0] == FLAGGED
    assert view.columns.emails[1] == archive.columns.emails[1] == 4
    for each in (view, archive):
        each.close()


async def test_jmap_is_told_of_what_imap_does(two: Two) -> None:
    state = (await two.jmap("Email/get", ids=[]))["state"]
    await two.imap(op.StoreFlags(two.account, INBOX, (Uid(1),), "+", SEEN, ("Work",)))
    await two.imap(op.Copy(two.account, INBOX, (Uid(2),), MailboxId(6), move=True))
    await two.imap(op.Copy(two.account, INBOX, (Uid(1),), MailboxId(6)))
    await two.imap(op.Expunge(two.account, INBOX, (Uid(3),)))
    changes = await two.jmap("Email/changes", sinceState=state)
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([], ["M2", "M1"], ["M3"])
    got = await two.jmap("Email/get", ids=["M1", "M2"], properties=["mailboxIds", "keywords"])
    one, other = got["list"]
    assert (one["mailboxIds"], one["keywords"]) == ({"F1": True, "F6": True}, {"$seen": True, "work": True})
    assert other["mailboxIds"] == {"F6": True}
    boxes = await two.jmap("Mailbox/changes", sinceState=state)
    assert set(boxes["updated"]) == {"F1", "F6"}
    assert "totalEmails" in boxes["updatedProperties"]
    counts = (await two.jmap("Mailbox/get", ids=["F1", "F6"], properties=["totalEmails", "unreadEmails"]))[
        "list"
    ]
    assert [(each["totalEmails"], each["unreadEmails"]) for each in counts] == [(1, 0), (2, 1)]


async def test_what_imap_marks_deleted_is_gone_for_jmap(two: Two) -> None:
    state = (await two.jmap("Email/get", ids=[]))["state"]
    await two.imap(op.StoreFlags(two.account, INBOX, (Uid(1),), "+", 8))
    changes = await two.jmap("Email/changes", sinceState=state)
    assert changes["destroyed"] == ["M1"]
    assert (await two.jmap("Email/get", ids=["M1"], properties=["id"]))["notFound"] == ["M1"]
    query = await two.jmap("Email/query", filter={"inMailbox": "F1"}, calculateTotal=True)
    assert (query["ids"], query["total"]) == (["M3", "M2"], 2)
    assert (await two.jmap("Email/set", destroy=["M1"]))["notDestroyed"] == {"M1": {"type": "notFound"}}


async def test_mailboxes_are_the_same_in_both(two: Two) -> None:
    made = await two.jmap("Mailbox/set", create={"a": {"name": "Ä", "parentId": "F6"}})
    box = await two.world.store.mailbox_named(two.account, "Archive/Ä")
    assert made["created"]["a"]["id"] == f"F{box.id}"
    await two.imap(op.RenameMailbox(two.account, box.id, "Top"))
    (record,) = (await two.jmap("Mailbox/get", ids=[f"F{box.id}"], properties=["name", "parentId"]))["list"]
    assert (record["name"], record["parentId"]) == ("Top", None)
    await two.imap(op.CreateMailbox(two.account, "x/y/z"))
    await two.imap(
        op.DeleteMailbox(two.account, (await two.world.store.mailbox_named(two.account, "x/y")).id)
    )
    found = (await two.jmap("Mailbox/get", properties=["name", "parentId"]))["list"]
    names = {each["name"]: each["parentId"] for each in found}
    assert names["y/z"] == next(each["id"] for each in found if each["name"] == "x")


async def test_a_thread_shows_its_emails_by_date(two: Two) -> None:
    (thread,) = (await two.jmap("Thread/get", ids=["T1"]))["list"]
    assert thread["emailIds"] == ["M1", "M2"]
    await two.jmap("Email/set", destroy=["M1"])
    (thread,) = (await two.jmap("Thread/get", ids=["T1"]))["list"]
    assert thread["emailIds"] == ["M2"]


SHOWN = ["threadId", "mailboxIds", "keywords", "from", "subject", "sentAt", "receivedAt", "preview", "size"]


async def test_what_is_kept_of_emails_is_what_would_be_made_anew(two: Two) -> None:
    """A list is answered from what was made before, until the email changes; whether it is known or not."""

    async def get(*ids: str) -> dict[str, Any]:
        return await two.jmap("Email/get", ids=[*ids], properties=SHOWN)

    two.world.mail._known.clear()
    anew = await get("M1", "M2", "M3", "M77", "x")
    assert len(anew["list"]) == 3
    await two.jmap("Email/query")
    assert await get("M1", "M2", "M3", "M77", "x") == anew
    assert [len(each) for each in (await two.world.mail.of(two.account)).made.values()] == [3]
    assert await get("M3", "M1", "M3") == {**anew, "list": [anew["list"][2], anew["list"][0]], "notFound": []}
    await two.imap(op.StoreFlags(two.account, INBOX, (Uid(2),), "+", FLAGGED, ("Work",)))
    await two.imap(op.Copy(two.account, INBOX, (Uid(3),), MailboxId(6), move=True))
    await two.imap(op.Expunge(two.account, INBOX, (Uid(1),)))
    kept = await get("M1", "M2", "M3")
    assert kept["notFound"] == ["M1"]
    assert kept["list"][0]["keywords"] == {"$flagged": True, "work": True}
    assert kept["list"][1]["mailboxIds"] == {"F6": True}
    two.world.mail._known.clear()
    assert await get("M1", "M2", "M3") == kept


async def test_what_is_made_of_emails_is_forgotten_beyond_its_octets(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("a3mailer.access.account_mail.KEPT_OCTETS", 10)
    await two.jmap("Email/query")
    first = await two.jmap("Email/get", ids=["M1"], properties=SHOWN)
    mail = await two.world.mail.of(two.account)
    assert mail.octets == 0
    assert mail.made == {}
    assert await two.jmap("Email/get", ids=["M1"], properties=SHOWN) == first
