"""What a JMAP program does, and what becomes true by it (RFC 8621, and ADR 0042: one email, many rows)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from a3mailer.access.account_mail import AllMail
from a3mailer.access.blobs import Blobs
from a3mailer.access.loans import Loans
from a3mailer.access.people import People
from a3mailer.access.pushes import Making
from a3mailer.access.rights import Rights
from a3mailer.access.scripts import Scripts
from a3mailer.access.sharing import Sharing
from a3mailer.access.signatures import Authorities, Signatures
from a3mailer.edge.http.api.authorise import Authorise
from a3mailer.edge.http.door import HttpDoor
from a3mailer.edge.http.jmap.door import Jmap
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.routes import Routes
from a3mailer.identity.directory import Directory
from a3mailer.testing.memory_connection import MemoryConnection, MemorySession
from a3mailer.wire.webpush.vapid import private_key
from tests.property.agreement import Box, Client, Doing, Letter, Stage
from tests.property.agreement_acts import MAILS, THREADS
from tests.property.agreement_imap import flag
from tests.transcripts.jmap_world import submitting_of

SECRET: Final = base64.b64encode(b"alice@a.test:secret-a").decode()
USING: Final = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"]
KEYWORDS: Final = {
    b"\\Seen": "$seen",
    b"\\Answered": "$answered",
    b"\\Flagged": "$flagged",
    b"\\Draft": "$draft",
    b"work": "work",
    b"$Junk": "$junk",
}
COMPARED: Final = ("mailboxIds", "keywords", "size")
FLAGS: Final = {keyword: flag for flag, keyword in KEYWORDS.items()}
COUNTS: Final = ("totalEmails", "unreadEmails", "totalThreads", "unreadThreads")
QUERIES: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"collapseThreads": True},
    {"sort": [{"property": "size"}]},
    {"sort": [{"property": "hasKeyword", "keyword": "$flagged"}], "collapseThreads": True},
)
"""Arguments of queries that a program keeps; each of one mailbox."""


MAY_BE: Final = ("cannotCalculateChanges",)
"""Errors that are no disagreement."""


class Program:
    """It keeps every email, by what it is told of changes."""

    def __init__(self, session: MemorySession) -> None:
        self.session = session
        self.account = ""
        self.state = ""
        self.emails: dict[str, dict[str, Any]] = {}
        self.mailboxes: dict[str, dict[str, Any]] = {}
        self.mailbox_state = ""
        self.queries: dict[tuple[str, int], tuple[str, list[str]]] = {}
        """State and ids by mailbox and number of the query."""

    async def ask(self, verb: str, path: str, body: str = "") -> dict[str, Any]:
        head = (
            f"{verb} {path} HTTP/1.1\r\nHost: mx.a.test\r\nAuthorization: Basic {SECRET}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        answer = await self.session.feed(head.encode() + body.encode())
        assert answer.startswith(b"HTTP/1.1 200 "), answer[:300]
        return dict(json.loads(answer.partition(b"\r\n\r\n")[2]))

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """One method; its response."""
        calls = [[name, {"accountId": self.account, **arguments}, "c"]]
        answer = await self.ask("POST", "/jmap/api", json.dumps({"using": USING, "methodCalls": calls}))
        ((told, result, _),) = answer["methodResponses"]
        assert told == name or result.get("type") in MAY_BE, (told, result)
        return dict(result)

    async def get(self, ids: list[str] | None) -> dict[str, Any]:
        properties = ["mailboxIds", "keywords", "size", "threadId"]
        found = await self.call("Email/get", ids=ids, properties=properties)
        self.emails |= {one["id"]: one for one in found["list"]}
        return found

    async def begin(self) -> None:
        session = await self.ask("GET", "/.well-known/jmap")
        self.account = session["primaryAccounts"]["urn:ietf:params:jmap:mail"]
        self.state = (await self.get(None))["state"]
        found = await self.call("Mailbox/get", ids=None)
        self.mailboxes, self.mailbox_state = {one["id"]: one for one in found["list"]}, found["state"]

    async def catch_up(self) -> None:
        """By changes alone (RFC 8620 section 5.2)."""
        more = True
        while more:
            told = await self.call("Email/changes", sinceState=self.state, maxChanges=3)
            for gone in told["destroyed"]:
                self.emails.pop(gone, None)  # it may have been marked \\Deleted: there was none here
            assert not self.emails.keys() & set(told["created"])
            # what is no longer marked \\Deleted is told as updated, though nobody knows of it
            found = await self.get(told["created"] + told["updated"])
            for gone in found["notFound"]:  # since: it will be told
                self.emails.pop(gone, None)
            self.state, more = told["newState"], told["hasMoreChanges"]

    async def catch_up_mailboxes(self) -> None:
        """Where only counts changed it asks for no more than those (RFC 8621 section 2.2)."""
        more = True
        while more:
            told = await self.call("Mailbox/changes", sinceState=self.mailbox_state, maxChanges=2)
            for gone in told["destroyed"]:
                self.mailboxes.pop(gone, None)
            assert not self.mailboxes.keys() & set(told["created"])
            assert set(told["updated"]) <= self.mailboxes.keys()
            only = told["updatedProperties"]
            for ids, properties in ((told["created"], None), (told["updated"], only)):
                found = await self.call("Mailbox/get", ids=ids, properties=properties)
                for one in found["list"]:
                    self.mailboxes[one["id"]] = {**self.mailboxes.get(one["id"], {}), **one}
                for gone in found["notFound"]:
                    self.mailboxes.pop(gone, None)
            self.mailbox_state, more = told["newState"], told["hasMoreChanges"]

    async def query(self, mailbox: str, number: int) -> list[str]:
        """A query anew; what was kept of it, with what changed since, is the same."""
        arguments = {"filter": {"inMailbox": mailbox}, **QUERIES[number]}
        found = await self.call("Email/query", **arguments, calculateTotal=True)
        ids: list[str] = found["ids"]
        assert found["total"] == len(ids) == len(set(ids))
        if (mailbox, number) in self.queries:
            state, kept = self.queries[mailbox, number]
            told = await self.call(
                "Email/queryChanges", **arguments, sinceQueryState=state, calculateTotal=True
            )
            if "type" not in told:
                assert (told["oldQueryState"], told["newQueryState"]) == (state, found["queryState"])
                kept = [id for id in kept if id not in told["removed"]]
                for added in told["added"]:
                    kept.insert(added["index"], added["id"])
                assert kept == ids and told["total"] == len(ids), told
        self.queries[mailbox, number] = found["queryState"], ids
        return ids


async def program(stage: Stage) -> Program:
    """The one of this history."""
    if stage.jmap is None:
        rights = Rights(stage.store, Directory(stage.store, stage.settings))
        jmap = Jmap.of(
            Services(
                stage.store,
                stage.clock,
                lambda: stage.settings,
                Blobs(stage.store, stage.clock),
                AllMail(stage.store),
                Making(lambda url: None),
                private_key(b"v" * 32),
                submitting_of(stage.store, stage.clock, stage.settings),
                Scripts(stage.store, stage.settings),
                Loans(stage.store, rights, stage.clock),
                Signatures(stage.store, stage.clock, Authorities(Path("/nowhere"), lambda: stage.settings)),
                People(stage.store, rights, lambda: stage.settings),
                Sharing(stage.store, rights, stage.clock),
            ),
            stage.authenticator.current,
        )
        web = HttpDoor(
            Routes(jmap.routes()),
            now=stage.clock.now,
            authorise=Authorise(stage.authenticator, lambda: stage.settings),
        )
        connection = MemoryConnection(("127.0.0.1", 50001), ("127.0.0.1", 443), secure=True)
        stage.jmap = Program(stage.open(connection, web))
        await stage.jmap.begin()
    return stage.jmap


def emails(stage: Stage) -> dict[int, list[tuple[int, Letter]]]:
    """Emails of the model by the number the store gave them: (mailbox, row) of those that count."""
    found: dict[int, list[tuple[int, Letter]]] = {}
    for box in stage.boxes.values():
        for one in box.letters.values():
            if b"\\Deleted" not in one.flags:
                found.setdefault(stage.emails[one.origin], []).append((box.id, one))
    return found


def described(rows: list[tuple[int, Letter]]) -> dict[str, Any]:
    """As Email/get has it."""
    every = frozenset.intersection(*(one.flags for _, one in rows))
    some = frozenset.union(*(one.flags for _, one in rows))
    words = {KEYWORDS[each] for each in some if each != b"\\Seen" or each in every}
    return {
        "mailboxIds": {f"F{box}": True for box, _ in rows},
        "keywords": dict.fromkeys(words, True),
        "size": len(MAILS[rows[0][1].content]),
    }


def group(content: int) -> tuple[int, ...]:
    """Contents of one thread."""
    return next((together for together in THREADS if content in together), (content,))


def threads(stage: Stage, rows: Mapping[int, list[tuple[int, Letter]]]) -> dict[int, tuple[int, ...]]:
    """What emails of one thread have together."""
    return {id: group(mine[0][1].content) for id, mine in rows.items()}


def counted(stage: Stage, box: Box) -> dict[str, int]:
    """As Mailbox/get has it (RFC 8621 section 2)."""
    rows = emails(stage)
    of = threads(stage, rows)
    here = {id for id, mine in rows.items() if box.id in [number for number, _ in mine]}
    words = {id: described(mine)["keywords"] for id, mine in rows.items()}
    unread = {id for id in rows if not words[id].keys() & {"$seen", "$draft"}}
    return {
        "totalEmails": len(here),
        "unreadEmails": len(here & unread),
        "totalThreads": len({of[id] for id in here}),
        "unreadThreads": len({of[id] for id in here} & {of[id] for id in unread}),
    }


async def jmap_boxes(stage: Stage, client: Client, number: int, name: str) -> None:
    """Its mailboxes, a query it keeps, and the threads of what it finds."""
    here = await program(stage)
    await here.catch_up()
    await here.catch_up_mailboxes()
    for title, box in stage.boxes.items():
        told = here.mailboxes[f"F{box.id}"]
        assert told["name"] == title
        assert {key: told[key] for key in COUNTS} == counted(stage, box), title
    if (box := stage.boxes.get(name)) is None:
        return
    ids = await here.query(f"F{box.id}", number)
    rows = emails(stage)
    of = threads(stage, rows)
    there = {f"M{id}" for id, mine in rows.items() if box.id in [at for at, _ in mine]}
    assert set(ids) <= there
    found = [of[int(id[1:])] for id in ids]
    if "collapseThreads" in QUERIES[number]:
        assert len(found) == len(set(found)) and set(found) == {of[int(id[1:])] for id in there}
    else:
        assert set(ids) == there
    wanted = sorted({here.emails[id]["threadId"] for id in ids})
    answer = await here.call("Thread/get", ids=wanted)
    told = {frozenset(one["emailIds"]) for one in answer["list"]}
    expected = {frozenset(f"M{id}" for id in rows if of[id] == thread) for thread in found}
    assert told == expected and not answer["notFound"], (told, expected, of)


async def jmap_move(stage: Stage, client: Client, what: str, number: int, names: tuple[str, str]) -> None:
    """Other mailboxes for an email: instead of its own, or one more, or one less (ADR 0042)."""
    here = await program(stage)
    await here.catch_up()
    boxes = [stage.boxes[name] for name in sorted(set(names)) if name in stage.boxes]
    if not here.emails or not boxes:
        return
    id = sorted(here.emails)[number % len(here.emails)]
    rows = [(box, one) for box, one in rows_of(stage) if stage.emails[one.origin] == int(id[1:])]
    rows.sort(key=lambda pair: (pair[0].id, pair[1].uid))
    shown = [(box, one) for box, one in rows if b"\\Deleted" not in one.flags]
    have = {box.id for box, _ in shown}
    if what == "to":
        wanted = {box.id for box in boxes}
        patch: dict[str, Any] = {"mailboxIds": {f"F{each}": True for each in wanted}}
    else:
        on = True if what == "into" else None
        wanted = have | {boxes[0].id} if on else have - {boxes[0].id}
        patch = {f"mailboxIds/F{boxes[0].id}": on}
    answer = await here.call("Email/set", update={id: patch})
    if not wanted:
        assert answer["notUpdated"][id]["type"] == "invalidProperties", answer
        return
    assert id in answer["updated"], answer
    every = [FLAGS[word] for word in described([(box.id, one) for box, one in shown])["keywords"]]
    flags = frozenset(every)
    hidden = {box.id for box, _ in rows} - have
    for box in stage.boxes.values():
        if box.id in wanted & hidden:
            for uid in [one.uid for other, one in rows if other is box]:
                flag(box, uid, flags)
        elif box.id in wanted - have:
            first = shown[0][1]
            box.add(first.content, flags, first.origin, first.twin, seen=first.seen)
        elif box.id in have - wanted:
            box.remove([one.uid for other, one in shown if other is box])


async def jmap(stage: Stage, client: Client, what: str, number: int, name: bytes) -> None:
    """It looks, or changes one email; then it knows what is true."""
    here = await program(stage)
    await here.catch_up()
    told = {int(id[1:]): {key: one[key] for key in COMPARED} for id, one in here.emails.items()}
    assert told == {id: described(rows) for id, rows in emails(stage).items()}
    if what == "look" or not here.emails:
        return
    id = sorted(here.emails)[number % len(here.emails)]
    mine = [one for one in rows_of(stage) if stage.emails[one[1].origin] == int(id[1:])]
    if what == "destroy":
        answer = await here.call("Email/set", destroy=[id])
        assert answer["destroyed"] == [id], answer
        for box, one in mine:
            box.remove([one.uid])
        return
    on = True if what == "set" else None
    answer = await here.call("Email/set", update={id: {f"keywords/{KEYWORDS[name]}": on}})
    assert id in answer["updated"], answer
    had = KEYWORDS[name] in here.emails[id]["keywords"]
    if had != (what == "set"):
        for box, one in mine:
            if b"\\Deleted" not in one.flags:
                flag(box, one.uid, one.flags | {name} if on else one.flags - {name})


def rows_of(stage: Stage) -> list[tuple[Any, Letter]]:
    return [(box, one) for box in stage.boxes.values() for one in box.letters.values()]


ACTS: Final[Mapping[str, Doing]] = {"jmap": jmap, "jmap boxes": jmap_boxes, "jmap move": jmap_move}
