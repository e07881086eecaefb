"""What a JMAP program does, and what becomes true by it (RFC 8621, and ADR 0042: one email, many rows)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from a3mailer.access.account_mail import AllMail
from a3mailer.access.blobs import Blobs
from a3mailer.access.pushes import Making
from a3mailer.access.scripts import Scripts
from a3mailer.edge.http.api.authorise import Authorise
from a3mailer.edge.http.door import HttpDoor
from a3mailer.edge.http.jmap.door import Jmap
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.routes import Routes
from a3mailer.testing.memory_connection import MemoryConnection, MemorySession
from a3mailer.wire.webpush.vapid import private_key
from tests.property.agreement import Client, Doing, Letter, Stage
from tests.property.agreement_acts import MAILS
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


class Program:
    """It keeps every email, by what it is told of changes."""

    def __init__(self, session: MemorySession) -> None:
        self.session = session
        self.account = ""
        self.state = ""
        self.emails: dict[str, dict[str, Any]] = {}

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
        assert told == name, (told, result)
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


async def program(stage: Stage) -> Program:
    """The one of this history."""
    if stage.jmap is None:
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


ACTS: Final[Mapping[str, Doing]] = {"jmap": jmap}
