"""Accounts of others in JMAP: alice lends, bob sees what he may and nothing else."""

from __future__ import annotations

import json
from typing import Any

from a3mailer.edge.http.jmap.capabilities import BLOB, CAPABILITIES, CORE, MAIL, OWNER, SHARE, SMIME
from a3mailer.edge.http.jmap.session import session
from a3mailer.identity.principal import Principal
from a3mailer.mail.envelope import Client
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX
from a3mailer.mail.message import index
from a3mailer.mail.objectids import ACCOUNT_LETTER, EMAIL_LETTER, MAILBOX_LETTER, object_id
from a3mailer.mail.rights import of_account
from a3mailer.store import operations as op
from a3mailer.store.ports import Content, Transaction
from a3mailer.wire.jmap.request import Request
from tests.transcripts.jmap_world import JmapWorld

CLIENT = Client("192.0.2.1", 40000)
USING = tuple(each.urn for each in CAPABILITIES if each.urn != SHARE)


class Two(JmapWorld):
    """Alice lends bob her INBOX and Work, and Private not at all."""

    async def begin(self, inbox: str = "lrs", work: str = "lrswipkxte") -> None:
        await self.fill()
        self.boxes = {"INBOX": INBOX}
        for name in ("Private", "Work"):
            (made,) = await self.do(op.CreateMailbox(self.accounts["alice"], name))
            assert isinstance(made, op.MailboxCreated)
            self.boxes[name] = made.mailbox
        await self.grant("INBOX", inbox)
        await self.grant("Work", work)

    async def do(self, *operations: op.Operation) -> tuple[op.Result, ...]:
        return await self.store.commit(Transaction(operations))

    async def grant(self, name: str, letters: str) -> None:
        to = of_account(self.accounts["bob"])
        await self.do(op.ChangeGrant(self.accounts["alice"], self.boxes[name], to, "=", letters))
        self.rights.forget()

    async def put(self, *names: str, subject: str = "x", flags: int = 0, octets: bytes = b"") -> str:
        octets = octets or f"From: a@b.test\r\nSubject: {subject}\r\n\r\ny\r\n".encode()
        first, *also = (self.boxes[name] for name in names)
        append = op.Append(self.accounts["alice"], first, 0, flags, also=tuple(also))
        (made,) = await self.store.commit(Transaction((append,), (Content(octets, index(octets)),)))
        assert isinstance(made, op.Appended)
        return object_id(EMAIL_LETTER, made.email)

    def who(self, name: str) -> Principal:
        address = f"{name}@example.test"
        return Principal(self.accounts[name], DEFAULT_TENANT, address, "user", address)

    @property
    def hers(self) -> str:
        return object_id(ACCOUNT_LETTER, self.accounts["alice"])

    @property
    def his(self) -> str:
        return object_id(ACCOUNT_LETTER, self.accounts["bob"])

    def box(self, name: str) -> str:
        return object_id(MAILBOX_LETTER, self.boxes[name])

    using: tuple[str, ...] = USING

    async def ask(self, method: str, who: str = "bob", **arguments: Any) -> dict[str, Any]:
        request = Request(self.using, ((method, {"accountId": self.hers, **arguments}, "c"),))
        response = await self.jmap.dispatcher.perform(self.who(who), CLIENT, request)
        ((name, told, _), *_) = response.method_responses
        return {"error": told["type"]} if name == "error" else told


async def two(**letters: str) -> Two:
    world = Two()
    await world.begin(**letters)
    return world


async def test_the_session_shows_what_is_lent() -> None:
    world = await two()
    bob = world.who("bob")
    accounts = await world.jmap.dispatcher.accounts(bob)
    told: Any = session(world.jmap.services, bob, accounts, "https://x.test")
    assert set(told["accounts"]) == {world.his}, "not before he subscribes (RFC 9670 section 1.4)"
    done = await world.ask("Mailbox/set", update={world.box("Work"): {"isSubscribed": True}})
    assert done["updated"] == {world.box("Work"): None}
    accounts = await world.jmap.dispatcher.accounts(bob)
    told = session(world.jmap.services, bob, accounts, "https://x.test")
    hers = told["accounts"][world.hers]
    assert (hers["name"], hers["isPersonal"]) == ("alice@example.test", False)
    assert set(hers["accountCapabilities"]) == {CORE, MAIL, SMIME, BLOB, OWNER}
    assert hers["accountCapabilities"][OWNER] == {"accountIdForPrincipal": world.his, "principalId": "P1"}
    assert hers["accountCapabilities"][MAIL]["mayCreateTopLevelMailbox"] is False
    assert set(told["primaryAccounts"].values()) == {world.his}
    before = told["state"]
    for name in ("INBOX", "Work"):
        await world.grant(name, "")
    told = session(world.jmap.services, bob, await world.jmap.dispatcher.accounts(bob), "https://x.test")
    assert set(told["accounts"]) == {world.his} and told["state"] != before
    assert await world.ask("Email/query") == {"error": "accountNotFound"}


async def test_mailboxes_that_may_be_listed_with_the_rights_there() -> None:
    world = await two()
    found = {each["name"]: each for each in (await world.ask("Mailbox/get"))["list"]}
    assert set(found) == {"INBOX", "Work"}
    allowed = {name for name, may in found["INBOX"]["myRights"].items() if may}
    assert allowed == {"mayReadItems", "maySetSeen"}
    assert all(found["Work"]["myRights"].values())
    told = await world.ask("Mailbox/get", ids=[world.box("Private")])
    assert told["notFound"] == [world.box("Private")]


async def test_emails_that_may_be_read() -> None:
    world = await two()
    shown = await world.put("INBOX", subject="shown", flags=SEEN)
    hidden = await world.put("Private", subject="hidden")
    both = await world.put("Private", "Work", subject="both")
    assert set((await world.ask("Email/query"))["ids"]) == {shown, both}
    for properties in (
        ["subject", "mailboxIds", "keywords"],
        ["subject", "mailboxIds", "keywords", "header:X-None"],
    ):
        told = await world.ask("Email/get", ids=[shown, hidden, both], properties=properties)
        assert told["notFound"] == [hidden]
        (first, second) = told["list"] if isinstance(told["list"], list) else json.loads(bytes(told["list"]))
        assert first["subject"] == "shown" and first["keywords"] == {}, "bob has seen nothing"
        assert second["mailboxIds"] == {world.box("Work"): True}
    assert (await world.ask("Email/query", filter={"text": "hidden"}))["ids"] == []
    assert (await world.ask("Email/query", filter={"subject": "both"}))["ids"] == [both]
    told = await world.ask("SearchSnippet/get", emailIds=[shown, hidden], filter={"subject": "shown"})
    assert told["notFound"] == [hidden] and "<mark>shown</mark>" in told["list"][0]["subject"]
    threads = (await world.ask("Thread/get"))["list"]
    assert [email for each in threads for email in each["emailIds"]] == [shown, both]


async def test_json_that_is_kept_is_the_readers_own() -> None:
    world = await two()
    shown = await world.put("INBOX", flags=SEEN)
    for who, seen in (("alice", {"$seen": True}), ("bob", {}), ("alice", {"$seen": True}), ("bob", {})):
        await world.ask("Email/query", who)
        told = await world.ask("Email/get", who, ids=[shown], properties=["keywords"])
        assert json.loads(bytes(told["list"]))[0]["keywords"] == seen


async def test_blobs_that_may_be_read() -> None:
    world = await two()
    shown, hidden = await world.put("INBOX", subject="shown"), await world.put("Private", subject="hidden")
    told = await world.ask("Email/get", "alice", ids=[shown, hidden], properties=["blobId"])
    blobs = [each["blobId"] for each in told["list"]]
    told = await world.ask("Email/parse", blobIds=blobs, properties=["subject"])
    assert set(told["parsed"]) == {blobs[0]} and told["notFound"] == [blobs[1]]
    told = await world.ask("Blob/copy", fromAccountId=world.hers, accountId=world.his, blobIds=blobs)
    assert set(told["copied"]) == {blobs[0]} and set(told["notCopied"]) == {blobs[1]}


async def test_blobs_are_looked_up_where_mail_may_be_read() -> None:
    world = await two()
    names = ("INBOX", "Private", "Work")
    shown, hidden = await world.put("INBOX", subject="shown"), await world.put("Private", subject="hidden")
    both = await world.put("Private", "Work", subject="both")
    same, _ = await world.put("Work", subject="same"), await world.put("Private", subject="same")
    properties = ["blobId", "threadId", "textBody"]
    told = await world.ask("Email/get", "alice", ids=[shown, hidden, both, same], properties=properties)
    emails = {each["id"]: each for each in told["list"]}

    async def found(id: str, who: str = "bob", **account: str) -> list[tuple[list[str], ...]]:
        """Of the whole mail and of its text."""
        blobs = [emails[id]["blobId"], emails[id]["textBody"][0]["blobId"]]
        kinds = ["Mailbox", "Thread", "Email"]
        told = await world.ask("Blob/lookup", who, ids=blobs, typeNames=kinds, **account)
        assert told["notFound"] == [] and [each["id"] for each in told["list"]] == blobs
        return [tuple(each["matchedIds"][kind] for kind in kinds) for each in told["list"]]

    def at(id: str, *boxes: str) -> list[tuple[list[str], ...]]:
        return [([world.box(each) for each in boxes], [emails[id]["threadId"]], [id])] * 2

    nowhere: list[tuple[list[str], ...]] = [([], [], [])] * 2
    assert await found(shown) == at(shown, "INBOX")
    assert await found(hidden) == nowhere
    assert await found(both) == at(both, "Work")
    assert await found(same) == at(same, "Work")
    assert await found(both, "alice") == at(both, *sorted(names[1:], key=world.box))
    assert await found(shown, accountId=world.his) == nowhere
    for letters in ("l", "r", ""):
        await world.grant("INBOX", letters)
        assert await found(shown) == nowhere, letters
    await world.grant("Work", "")
    told = await world.ask("Blob/lookup", ids=[emails[both]["blobId"]], typeNames=["Email"])
    assert told == {"error": "accountNotFound"}


async def test_states_are_of_what_is_lent() -> None:
    world = await two()
    shown = await world.put("INBOX")
    state = (await world.ask("Email/get", ids=[]))["state"]
    query = (await world.ask("Email/query"))["queryState"]
    await world.put("Private", subject="p")
    new = await world.put("Work", subject="w")
    told = await world.ask("Email/changes", sinceState=state)
    assert (told["created"], told["updated"], told["destroyed"]) == ([new], [], [])
    told = await world.ask("Email/queryChanges", sinceQueryState=query)
    assert [each["id"] for each in told["added"]] == [new]
    for method in ("Mailbox", "Thread"):
        assert "newState" in await world.ask(f"{method}/changes", sinceState=state)
    plain = state.rpartition("-")[2]
    assert await world.ask("Email/changes", sinceState=plain) == {"error": "cannotCalculateChanges"}
    assert await world.ask("Email/changes", "alice", sinceState=state) == {"error": "cannotCalculateChanges"}
    await world.grant("Work", "l")
    assert await world.ask("Email/changes", sinceState=state) == {"error": "cannotCalculateChanges"}
    assert (await world.ask("Email/query"))["ids"] == [shown]


async def test_who_may_only_read_changes_nothing() -> None:
    world = await two(inbox="lr", work="")
    id = await world.put("INBOX")
    told = await world.ask("Email/set", update={id: {"keywords/$seen": True}})
    assert told == {"error": "accountReadOnly"}
    box = world.box("INBOX")
    for wrong in ({"create": {"x": {"name": "y"}}}, {"destroy": [box]}, {"update": {box: {"name": "z"}}}):
        assert await world.ask("Mailbox/set", **wrong) == {"error": "accountReadOnly"}, wrong
    told = await world.ask("Mailbox/set", update={box: {"isSubscribed": True}})
    assert told["updated"] == {box: None}, "what one subscribes to is one's own"
    for method in ("Identity/get", "EmailSubmission/get", "Quota/get", "SieveScript/get"):
        assert await world.ask(method) == {"error": "accountNotSupportedByMethod"}


# --- changing ----------------------------------------------------------------------------------------


async def shown(world: Two, id: str, who: str = "bob") -> tuple[set[str], set[str]]:
    """Keywords and names of mailboxes, as somebody sees them."""
    told = await world.ask("Email/get", who, ids=[id], properties=["keywords", "mailboxIds", "header:X-None"])
    names = {world.box(name): name for name in world.boxes}
    if not told["list"]:
        return set(), set()
    (email,) = told["list"]
    return set(email["keywords"]), {names[each] for each in email["mailboxIds"]}


def forbidden(told: dict[str, Any], id: str) -> bool:
    refused = {k: v for name in told if name.startswith("not") for k, v in (told[name] or {}).items()}
    return id in refused and refused[id]["type"] == "forbidden"


async def test_what_bob_has_seen_is_his_mark() -> None:
    world = await two()
    id = await world.put("INBOX")
    before = (await world.ask("Email/get", ids=[]))["state"]
    told = await world.ask("Email/set", update={id: {"keywords/$seen": True}})
    assert told["updated"] == {id: None} and told["oldState"] == before != told["newState"]
    assert await shown(world, id) == ({"$seen"}, {"INBOX"})
    assert await shown(world, id, "alice") == (set(), {"INBOX"})
    counts = (await world.ask("Mailbox/get", ids=[world.box("INBOX")]))["list"][0]
    assert counts["unreadEmails"] == 0
    told = await world.ask("Email/changes", sinceState=before)
    assert told["updated"] == [id]
    told = await world.ask("Email/set", update={id: {"keywords": {}}})
    assert await shown(world, id) == (set(), {"INBOX"})


async def test_keywords_need_the_right_on_all_mailboxes() -> None:
    world = await two()
    id = await world.put("INBOX")
    assert forbidden(await world.ask("Email/set", update={id: {"keywords/$flagged": True}}), id)
    work = await world.put("Work", "Private", subject="w")
    told = await world.ask("Email/set", update={work: {"keywords": {"$flagged": True, "todo": True}}})
    assert told["updated"] == {work: None}
    assert await shown(world, work) == ({"$flagged", "todo"}, {"Work"})
    told = await world.ask("Email/set", update={work: {"keywords": {"$seen": True}}})
    assert await shown(world, work) == ({"$seen"}, {"Work"})
    both = await world.put("Work", "INBOX", subject="b")
    assert forbidden(await world.ask("Email/set", update={both: {"keywords/$flagged": True}}), both)
    hidden = await world.put("Private", subject="p")
    told = await world.ask("Email/set", update={hidden: {"keywords/$flagged": True}})
    assert told["notUpdated"][hidden]["type"] == "notFound"


async def test_mailboxes_of_emails_need_rights_on_both_sides() -> None:
    world = await two()
    id = await world.put("INBOX")
    to_work = {f"mailboxIds/{world.box('Work')}": True}
    away = {f"mailboxIds/{world.box('INBOX')}": None}
    assert forbidden(await world.ask("Email/set", update={id: to_work | away}), id), "it may not leave INBOX"
    told = await world.ask("Email/set", update={id: to_work})
    assert told["updated"] == {id: None} and await shown(world, id) == (set(), {"INBOX", "Work"})
    told = await world.ask("Email/set", update={id: {f"mailboxIds/{world.box('Work')}": None}})
    assert told["updated"] == {id: None} and await shown(world, id) == (set(), {"INBOX"})
    work = await world.put("Work", subject="w", flags=SEEN)
    gone = {"mailboxIds": {world.box("INBOX"): True}}
    assert forbidden(await world.ask("Email/set", update={work: gone}), work), "nothing comes into INBOX"
    nowhere = {"mailboxIds": {world.box("Private"): True}}
    told = await world.ask("Email/set", update={work: nowhere})
    assert told["notUpdated"][work]["type"] == "invalidProperties"
    await world.grant("INBOX", "lrite")
    told = await world.ask("Email/set", update={work: gone})
    assert told["updated"] == {work: None} and await shown(world, work) == (set(), {"INBOX"})


async def test_destroying_leaves_what_is_not_seen() -> None:
    world = await two()
    inbox, work = await world.put("INBOX"), await world.put("Work", "Private", subject="w")
    told = await world.ask("Email/set", destroy=[inbox, work, "M999"])
    assert told["destroyed"] == [work] and forbidden(told, inbox)
    assert told["notDestroyed"]["M999"]["type"] == "notFound"
    assert await shown(world, work) == (set(), set())
    assert await shown(world, work, "alice") == (set(), {"Private"})


async def test_mail_is_put_where_the_right_is() -> None:
    world = await two()

    async def create(name: str, **keywords: bool) -> dict[str, Any]:
        email = {"mailboxIds": {world.box(name): True}, "keywords": keywords, "subject": "new"}
        return await world.ask("Email/set", create={"k": email})

    assert forbidden(await create("INBOX"), "k")
    told = await create("Work", **{"$seen": True, "$draft": True})
    id = told["created"]["k"]["id"]
    assert await shown(world, id) == ({"$seen", "$draft"}, {"Work"})
    assert await shown(world, id, "alice") == ({"$draft"}, {"Work"})
    await world.grant("Work", "lri")
    assert forbidden(await create("Work", **{"$seen": True}), "k")
    assert forbidden(await create("Work", **{"$draft": True}), "k")
    assert (await create("Work"))["created"]


async def test_mail_comes_and_goes_between_accounts() -> None:
    world = await two()
    await world.deliver(b"Subject: his\r\n\r\nx\r\n", account="bob")
    (mine,) = (await world.ask("Email/query", accountId=world.his))["ids"]
    target = {"id": mine, "mailboxIds": {world.box("Work"): True}}
    told = await world.ask("Email/copy", fromAccountId=world.his, create={"k": target})
    assert await shown(world, told["created"]["k"]["id"]) == (set(), {"Work"})
    lent, hidden = await world.put("INBOX", subject="a"), await world.put("Private", subject="b")
    inbox = {world.box("INBOX"): True}
    wanted = {name: {"id": id, "mailboxIds": inbox} for name, id in (("a", lent), ("b", hidden))}
    told = await world.ask(
        "Email/copy",
        fromAccountId=world.hers,
        accountId=world.his,
        create=wanted,
        onSuccessDestroyOriginal=True,
    )
    assert set(told["created"]) == {"a"} and told["notCreated"]["b"]["type"] == "notFound"
    assert await shown(world, lent) == (set(), {"INBOX"}), "it may not be destroyed there"


# --- mailboxes ---------------------------------------------------------------------------------------


async def test_subscriptions_to_what_is_lent_are_the_readers_own() -> None:
    world = await two()
    inbox = world.box("INBOX")
    told = await world.ask("Mailbox/set", update={inbox: {"isSubscribed": True}})
    assert told["updated"] == {inbox: None} and told["oldState"] != told["newState"]

    async def subscribed() -> bool:
        return bool((await world.ask("Mailbox/get", ids=[inbox]))["list"][0]["isSubscribed"])

    assert await subscribed()
    assert [each.name for each in await world.store.documents(world.accounts["bob"], "subscription")] == [
        "Other Users/alice/INBOX"
    ]
    await world.ask("Mailbox/set", update={inbox: {"isSubscribed": False}})
    assert not await subscribed()
    for patch in ({"role": "junk"}, {"sortOrder": 7}, {"name": "Other"}, {"parentId": world.box("Work")}):
        assert forbidden(await world.ask("Mailbox/set", update={inbox: patch}), inbox), patch


async def test_mailboxes_are_made_moved_and_removed_by_right() -> None:
    world = await two()
    work = world.box("Work")
    for parent in (None, world.box("INBOX")):
        told = await world.ask("Mailbox/set", create={"k": {"name": "New", "parentId": parent}})
        assert forbidden(told, "k")
    before = (await world.ask("Mailbox/get", ids=[]))["state"]
    told = await world.ask(
        "Mailbox/set", create={"k": {"name": "New", "parentId": work, "isSubscribed": True}}
    )
    new = told["created"]["k"]["id"]
    assert all(told["created"]["k"]["myRights"].values()), "it has the rights of its parent"
    assert told["oldState"] == before != told["newState"] == (await world.ask("Mailbox/get", ids=[]))["state"]
    (made,) = (await world.ask("Mailbox/get", ids=[new]))["list"]
    assert (made["name"], made["parentId"], made["isSubscribed"]) == ("New", work, True)
    told = await world.ask("Mailbox/set", update={new: {"name": "Newer"}})
    assert told["updated"] == {new: None}
    (made,) = (await world.ask("Mailbox/get", ids=[new]))["list"]
    assert (made["name"], made["isSubscribed"]) == ("Newer", True)
    assert forbidden(await world.ask("Mailbox/set", update={new: {"parentId": None}}), new)
    assert forbidden(await world.ask("Mailbox/set", destroy=[world.box("INBOX")]), world.box("INBOX"))
    assert (await world.ask("Mailbox/set", destroy=[work]))["notDestroyed"][work]["type"] == "mailboxHasChild"
    id = await world.put("Work")
    told = await world.ask("Email/set", update={id: {"mailboxIds": {new: True}}})
    assert told["updated"] == {id: None}
    told = await world.ask("Mailbox/set", destroy=[new])
    assert told["notDestroyed"][new]["type"] == "mailboxHasEmail"
    told = await world.ask("Mailbox/set", destroy=[new], onDestroyRemoveEmails=True)
    assert told["destroyed"] == [new]
    names = {box.name for box in await world.store.mailboxes(world.accounts["alice"])}
    assert "Work/Newer" not in names and "Work" in names


async def test_names_are_exchanged_by_right() -> None:
    world = await two()
    ids = {}
    for name in ("A", "B"):
        (made,) = await world.do(op.CreateMailbox(world.accounts["alice"], f"Work/{name}"))
        assert isinstance(made, op.MailboxCreated)
        world.boxes[name] = made.mailbox
        await world.grant(name, "lrskx")
        ids[name] = world.box(name)
    await world.ask("Mailbox/set", update={ids["A"]: {"isSubscribed": True}})
    swap = {ids["A"]: {"name": "B"}, ids["B"]: {"name": "A"}}

    async def names() -> dict[str, tuple[str, bool]]:
        told = (await world.ask("Mailbox/get", ids=list(ids.values())))["list"]
        first = {id: name for name, id in ids.items()}
        return {first[each["id"]]: (each["name"], each["isSubscribed"]) for each in told}

    before = await names()
    for lacking in ("A", "B", "Work"):
        await world.grant(lacking, "lrs")
        told = await world.ask("Mailbox/set", update=swap)
        assert told["updated"] is None and set(told["notUpdated"]) == set(ids.values())
        assert await names() == before, lacking
        await world.grant(lacking, "lrskx")
    of_the_owner = {id: {**each, "role": "flagged"} for id, each in swap.items()}
    assert (await world.ask("Mailbox/set", update=of_the_owner))["updated"] is None
    told = await world.ask("Mailbox/set", update=swap)
    assert set(told["updated"]) == set(ids.values()) and told["notUpdated"] is None
    assert await names() == {"A": ("B", True), "B": ("A", False)}
    assert [each.name for each in await world.store.documents(world.accounts["bob"], "subscription")] == [
        "Other Users/alice/Work/B"
    ]
    told = await world.ask(
        "Mailbox/set", update={ids["A"]: {"name": "A"}, ids["B"]: {"name": "B", "isSubscribed": True}}
    )
    assert told["notUpdated"] is None and await names() == {"A": ("A", True), "B": ("B", True)}


async def test_subscriptions_follow_what_is_renamed_above() -> None:
    world = await two()
    told = await world.ask(
        "Mailbox/set", create={"k": {"name": "Sub", "parentId": world.box("Work"), "isSubscribed": True}}
    )
    sub = told["created"]["k"]["id"]
    (made,) = await world.do(op.CreateMailbox(world.accounts["alice"], "Top"))
    assert isinstance(made, op.MailboxCreated)
    world.boxes["Top"] = made.mailbox
    await world.grant("Top", "lk")
    told = await world.ask("Mailbox/set", update={world.box("Work"): {"parentId": world.box("Top")}})
    assert told["notUpdated"] is None
    (found,) = (await world.ask("Mailbox/get", ids=[sub]))["list"]
    assert (found["name"], found["isSubscribed"]) == ("Sub", True)


async def test_what_was_just_made_may_be_used() -> None:
    world = await two()
    id = await world.put("Work")
    made = {"k": {"name": "New", "parentId": world.box("Work")}}
    calls = (
        ("Mailbox/set", {"accountId": world.hers, "create": made}, "a"),
        ("Email/set", {"accountId": world.hers, "update": {id: {"mailboxIds": {"#k": True}}}}, "b"),
    )  # fmt: skip
    response = await world.jmap.dispatcher.perform(world.who("bob"), CLIENT, Request(USING, calls))
    assert response.method_responses[1][1]["updated"] == {id: None}
