"""shareWith of mailboxes: what IMAP's letters are in it, and what becomes of them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from a3mailer.edge.http.jmap.capabilities import CAPABILITIES, SHARE
from a3mailer.edge.http.jmap.mailbox_rights import ALL, RIGHTS, letters_of, shown, shown_of_others
from a3mailer.identity.principal import Principal
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX
from a3mailer.mail.rights import ALL_RIGHTS, ANYONE, canonical, of_account, of_group
from a3mailer.store import operations as op
from tests.unit.edge.http.jmap.test_sharing import Town

LETTERS = [
    canonical(letter for bit, letter in enumerate(ALL_RIGHTS) if number >> bit & 1)
    for number in range(1 << len(ALL_RIGHTS))
]


def test_what_is_shown_comes_back_as_it_was() -> None:
    for letters in LETTERS:
        assert letters_of(letters, shown(letters)) == letters
    assert shown(ALL_RIGHTS) == dict.fromkeys(ALL, True) and not any(shown("lt").values())
    assert shown_of_others(frozenset(), "a") == dict.fromkeys(RIGHTS, False)
    assert shown_of_others(frozenset((SHARE,)), "a")["mayShare"] is True


def test_nobody_gains_what_was_not_asked_for() -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for had in LETTERS:
        names = chance.sample(sorted(ALL), chance.randrange(len(ALL) + 1))
        wanted = {name: chance.random() < 0.7 for name in names}
        letters = letters_of(had, wanted)
        after = shown(letters)
        for right, needed in ALL.items():
            asked = wanted.get(right, False)
            if right in ("mayRename", "mayDelete"):
                both = wanted.get("mayRename", False) and wanted.get("mayDelete", False)
                assert after[right] is both, (had, wanted)
            else:
                assert after[right] is asked, (had, wanted)
                assert asked or set(letters) & set(needed) <= set(had)


class Street(Town):
    using = tuple(each.urn for each in CAPABILITIES)

    async def set(self, who: str, shares: Any, box: str = "F1") -> Any:
        """What is told of the record."""
        told = await self.ask("Mailbox/set", who, update={box: {"shareWith": shares}})
        if "error" in told:
            return told["error"]
        return (told["notUpdated"] or {}).get(box, {}).get("type") or told["updated"]

    async def get(self, who: str, box: str = "F1") -> dict[str, Any] | None:
        told = await self.ask("Mailbox/get", who, ids=[box], properties=["shareWith"])
        (record,) = told["list"]
        found = record["shareWith"]
        return found and {id: {name for name, may in rights.items() if may} for id, rights in found.items()}

    async def acl(self) -> dict[str, str]:
        rows = await self.store.grants(self.accounts["alice"])
        return {row.identifier: row.rights for row in rows if row.mailbox == INBOX}


@pytest.fixture
async def street() -> Street:
    made = Street()
    await made.settle_in()
    await made.do(op.PutAlias(DEFAULT_TENANT, "sales@example.test", ("bob@example.test",), "group"))
    made.rights.forget()
    return made


async def test_grants_of_imap_are_shown_and_kept(street: Street) -> None:
    bob, carol = of_account(street.accounts["bob"]), of_account(street.accounts["carol"])
    alice = street.accounts["alice"]
    grants = {
        bob: "lrst", "-" + bob: "s", carol: "lr", of_group("sales@example.test"): "li", ANYONE: "l",
        "-" + ANYONE: "p",
    }  # fmt: skip
    for identifier, letters in grants.items():
        await street.do(op.ChangeGrant(alice, INBOX, identifier, "=", letters))
    street.rights.forget()
    shown_now = await street.get("alice")
    assert shown_now is not None
    (group,) = [id for id in shown_now if id.startswith("G")]
    p2, p3 = street.key("bob", "P"), street.key("carol", "P")
    assert shown_now == {p2: {"mayReadItems"}, p3: {"mayReadItems"}, group: {"mayAddItems"}, "anyone": set()}
    told = await street.ask("Mailbox/get", "alice", ids=["F1"], properties=["shareWith"])
    (record,) = told["list"]
    assert await street.set("alice", record["shareWith"]) == {"F1": None}
    assert await street.acl() == grants, "what is sent back as it was changes nothing"
    record["shareWith"][p2]["mayAddItems"] = True
    del record["shareWith"][p3]
    assert await street.set("alice", record["shareWith"]) == {"F1": None}
    grants[bob] = "lrsit"
    del grants[carol]
    assert await street.acl() == grants
    assert await street.set("alice", None) == {"F1": None}
    assert await street.acl() == {"-" + bob: "s", "-" + ANYONE: "p"}
    assert await street.get("alice") is None


async def test_a_change_is_a_change_of_the_mailbox(street: Street) -> None:
    state = (await street.ask("Mailbox/get", "alice", ids=[]))["state"]
    p2 = street.key("bob", "P")
    assert await street.set("alice", {p2: {"mayReadItems": True}})
    changes = await street.ask("Mailbox/changes", "alice", sinceState=state)
    assert changes["updated"] == ["F1"] and changes["updatedProperties"] is None
    (notice,) = (await street.of("bob", "ShareNotification/get"))["list"]
    assert notice["newRights"] == {**dict.fromkeys(ALL, False), "mayReadItems": True}


async def test_who_may_share(street: Street) -> None:
    p2, p3 = street.key("bob", "P"), street.key("carol", "P")
    await street.share("bob", "lr")
    assert await street.set("bob", {p2: {"mayReadItems": True, "mayAddItems": True}}) == "accountReadOnly"
    await street.share("bob", "lrw")
    assert await street.set("bob", {p2: {"mayReadItems": True, "mayAddItems": True}}) == "forbidden"
    assert await street.get("bob") is None, "nor does he know who else may"
    await street.share("bob", "lra")
    assert await street.get("bob") == {p2: {"mayReadItems", "mayShare"}}
    assert await street.set(
        "bob", {p2: {"mayReadItems": True, "mayShare": True}, p3: {"mayReadItems": True}}
    ) == ("invalidProperties"), "he does not see carol"
    everybody = {"mayReadItems": True}
    assert "F1" in await street.set(
        "bob", {p2: {"mayReadItems": True, "mayShare": True}, "anyone": everybody}
    )
    assert (await street.acl())[ANYONE] == "lr"
    for wrong in (
        {street.key("alice", "P"): everybody}, {"P99": everybody}, {p2: {"may": True}}, {p2: {"mayShare": 1}},
    ):  # fmt: skip
        assert await street.set("alice", wrong) == "invalidProperties", wrong
    assert await street.set("alice", {f"P{n}": everybody for n in range(1001)}) == "invalidProperties"
    assert await street.set("alice", {p2: {}}, "F99") == "notFound"
    assert "F1" in await street.set("bob", {"anyone": everybody})
    assert await street.get("alice") == {"anyone": {"mayReadItems"}}


async def test_a_token_that_may_not_share(street: Street) -> None:
    plain = street.who

    def who(name: str) -> Principal:
        one = plain(name)
        scopes = frozenset(("mailbox.list", "mailbox.change", "message"))
        return Principal(one.account, one.tenant, one.address, one.role, one.login, scopes)

    street.who = who  # type: ignore[method-assign]
    assert await street.set("alice", {street.key("bob", "P"): {"mayReadItems": True}}) == "forbidden"
    told = await street.ask("Mailbox/set", "alice", create={"x": {"name": "X", "shareWith": {"anyone": {}}}})
    assert told["notCreated"]["x"]["type"] == "forbidden"


async def test_new_mailboxes_begin_with_the_rights_of_their_parent(street: Street) -> None:
    p2 = street.key("bob", "P")
    all_rights = dict.fromkeys(ALL, True)
    told = await street.ask(
        "Mailbox/set",
        "alice",
        create={"a": {"name": "A", "shareWith": {p2: all_rights}}, "b": {"name": "B", "parentId": "#a"}},
    )
    first, second = told["created"]["a"], told["created"]["b"]
    assert first["shareWith"] == second["shareWith"] == {p2: all_rights}
    told = await street.ask(
        "Mailbox/set",
        create={
            "c": {"name": "C", "parentId": first["id"], "shareWith": {p2: {"mayReadItems": True}}},
            "d": {"name": "D", "parentId": "F1", "shareWith": {"anyone": {}}},
            "e": {"name": "A/E"},
        },
    )
    assert {key: each["type"] for key, each in told["notCreated"].items()} == {
        "d": "forbidden",
        "e": "invalidProperties",
    }
    made = told["created"]["c"]
    assert made["shareWith"] is None and made["myRights"]["mayShare"] is False, "he gave his rights away"
    told = await street.ask(
        "Mailbox/set",
        "alice",
        update={first["id"]: {"name": "Z", "shareWith": {"P99": {}}}, "F99": {"shareWith": {"anyone": {}}}},
    )
    assert {each["type"] for each in told["notUpdated"].values()} == {"invalidProperties", "notFound"}
    (box,) = (await street.ask("Mailbox/get", "alice", ids=[first["id"]]))["list"]
    assert box["name"] == "A", "all of a record or nothing"
    told = await street.ask(
        "Mailbox/set", "alice", update={first["id"]: {"name": "Z", f"shareWith/{p2}": None}}
    )
    assert told["updated"] == {first["id"]: {"shareWith": None}}
