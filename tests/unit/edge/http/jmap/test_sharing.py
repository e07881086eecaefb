"""Principals and ShareNotifications (RFC 9670): the session, whom one sees, and what one is told."""

from __future__ import annotations

from typing import Any

import pytest

from a3mailer.access.subscriptions import subscribe
from a3mailer.edge.http.jmap.capabilities import OWNER, PRINCIPALS
from a3mailer.edge.http.jmap.methods import principal
from a3mailer.edge.http.jmap.methods.principal import time_zones
from a3mailer.edge.http.jmap.news import Hub
from a3mailer.edge.http.jmap.session import session
from a3mailer.edge.http.jmap.types import TYPES
from a3mailer.identity.principal import Principal
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId, MailboxId
from a3mailer.mail.rights import of_account
from a3mailer.store import operations as op
from tests.unit.edge.http.jmap.test_lent_accounts import Two


class Town(Two):
    """Alice and bob, who see each other; carol is of another domain."""

    async def settle_in(self) -> None:
        await self.fill()
        self.boxes = {"INBOX": INBOX}
        await self.do(op.PutDomain(DEFAULT_TENANT, "b.test"))
        (made,) = await self.do(op.CreateAccount(DEFAULT_TENANT, "carol@b.test", display_name="Carol"))
        assert isinstance(made, op.AccountCreated)
        self.accounts["carol"] = made.account
        self.rights.forget()

    def who(self, name: str) -> Principal:
        if name == "carol":
            return Principal(self.accounts[name], DEFAULT_TENANT, "carol@b.test", "user", "carol@b.test")
        return super().who(name)

    async def share(self, to: str, rights: str, *, by: str = "alice", mailbox: int = INBOX) -> None:
        grant = op.ChangeGrant(
            self.accounts[by], MailboxId(mailbox), of_account(self.accounts[to]), "=", rights
        )
        await self.do(*await self.sharing.announced(self.who(by), grant))
        self.rights.forget()

    def key(self, name: str, letter: str = "A") -> str:
        return f"{letter}{self.accounts[name]}"

    async def of(self, who: str, method: str, **arguments: Any) -> dict[str, Any]:
        """Of one's own account."""
        return await self.ask(method, who, accountId=self.key(who), **arguments)

    async def session(self, who: str) -> dict[str, Any]:
        accounts = await self.jmap.dispatcher.accounts(self.who(who))
        return session(self.jmap.services, self.who(who), accounts, "https://x.test")

    async def seen(self, who: str) -> set[str]:
        return {each["name"].partition("@")[0] for each in (await self.of(who, "Principal/get"))["list"]}


@pytest.fixture
async def town() -> Town:
    made = Town()
    await made.settle_in()
    return made


async def test_the_session_says_who_one_is(town: Town) -> None:
    told = await town.session("alice")
    mine = told["accounts"][town.key("alice")]["accountCapabilities"]
    assert told["capabilities"][PRINCIPALS] == {} and OWNER not in told["capabilities"]
    assert mine[PRINCIPALS] == {"currentUserPrincipalId": town.key("alice", "P")}
    owner = {"accountIdForPrincipal": town.key("alice"), "principalId": town.key("alice", "P")}
    assert mine[OWNER] == owner
    assert told["primaryAccounts"][PRINCIPALS] == town.key("alice") and OWNER not in told["primaryAccounts"]
    scoped = Principal(
        town.accounts["alice"], DEFAULT_TENANT, "alice@example.test", "user", "alice", frozenset(("mailbox",))
    )
    (account,) = (await town.jmap.dispatcher.accounts(scoped)).values()
    assert not {PRINCIPALS, OWNER} & set(account.capabilities)


async def test_whom_one_sees_and_what_of_theirs(town: Town) -> None:
    assert await town.seen("bob") == {"alice", "bob", "anyone"}
    assert await town.seen("carol") == {"Carol", "anyone"}
    for name in ("accountIds", "email", "name", "text", "type", "timeZone"):
        told = await town.of("bob", "Principal/query", filter={name: None})
        assert told == {"error": "invalidArguments"}, name
    before = (await town.of("carol", "Principal/get"))["state"]
    query = (await town.of("carol", "Principal/query", filter={"type": "individual"}))["queryState"]
    await town.share("carol", "lr")
    told = await town.of("carol", "Principal/get", ids=[town.key("alice", "P")])
    (alice,) = told["list"]
    assert set(alice["accounts"]) == {town.hers}, "though she has not subscribed to anything of it"
    hers = alice["accounts"][town.hers]
    assert hers["isReadOnly"] is True and hers["accountCapabilities"][OWNER] == {
        "accountIdForPrincipal": town.key("carol"),
        "principalId": town.key("alice", "P"),
    }
    assert town.hers not in (await town.session("carol"))["accounts"]
    found = await town.of("carol", "Principal/query", filter={"accountIds": [town.hers]})
    assert found["ids"] == [town.key("alice", "P")]
    changes = await town.of("carol", "Principal/changes", sinceState=before)
    assert (changes["created"], changes["updated"]) == ([town.key("alice", "P")], [])
    changes = await town.of("carol", "Principal/changes", sinceState=told["state"])
    assert not changes["created"] and changes["newState"] == told["state"]
    added = await town.of(
        "carol", "Principal/queryChanges", sinceQueryState=query, filter={"type": "individual"}
    )
    assert added["added"] == [{"id": town.key("alice", "P"), "index": 0}]
    (own,) = (await town.of("carol", "Principal/get", ids=[town.key("carol", "P")]))["list"]
    assert set(own["accounts"]) == {town.key("carol")}
    await town.share("carol", "")
    changes = await town.of("carol", "Principal/changes", sinceState=told["state"])
    assert changes["destroyed"] == [town.key("alice", "P")]


async def test_what_changed_for_many(town: Town) -> None:
    before = (await town.of("alice", "Principal/get"))["state"]
    await town.do(op.CreateAccount(DEFAULT_TENANT, "dave@example.test"))
    town.rights.forget()
    dave = "P4"
    changes = await town.of("alice", "Principal/changes", sinceState=before)
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([dave], [], [])
    after = changes["newState"]
    await town.do(
        op.ChangeAccount(town.accounts["bob"], display_name="Bob"), op.RemoveAccount(AccountId(4), 0)
    )
    town.rights.forget()
    changes = await town.of("alice", "Principal/changes", sinceState=after)
    assert (changes["updated"], changes["destroyed"]) == ([town.key("bob", "P")], [dave])
    refused = await town.of("alice", "Principal/changes", sinceState=after, maxChanges=1)
    assert refused == {"error": "cannotCalculateChanges"}
    foreign = (await town.of("bob", "Principal/get"))["state"]
    refused = await town.of("alice", "Principal/changes", sinceState=foreign)
    assert refused == {"error": "cannotCalculateChanges"}, "a state of another"


async def test_one_says_ones_own_name(town: Town) -> None:
    own = town.key("alice", "P")

    async def update(**changed: Any) -> Any:
        told = await town.of("alice", "Principal/set", update={own: changed})
        refused = (told["notUpdated"] or {}).get(own, {})
        return (refused["type"], refused.get("properties")) if refused else told["updated"][own]

    assert await update(name="Alice", timeZone="Asia/Shanghai", description="a\nb") is None
    for wrong in ("A\u202ee", "a\u0000", "a\u2028b", "\u200b"):
        assert await update(name=wrong) == ("invalidProperties", ["name"]), wrong
    assert await update(description="\u202e") == ("invalidProperties", ["description"])
    for zone in ("Mars/Phobos", "../etc/passwd", "posix/UTC", ""):
        assert await update(timeZone=zone) == ("invalidProperties", ["timeZone"]), zone
    for name in ("bob@example.test", "bob\uff20example.test"):
        assert await update(name=name) == ("forbidden", None)
    assert await update(name="e\u0301") == {"name": "\u00e9"}
    assert await update(name="x" * 256) == ("invalidProperties", ["name"])
    assert await update(timeZone=None, description=None, name="alice@example.test") is None
    row = await town.store.account(town.accounts["alice"])
    assert row is not None and (row.display_name, row.settings) == ("", "{}")
    (first, *_) = await town.store.audit()
    assert (first.action, first.target) == ("principal.change", "alice@example.test")
    assert "Asia/Shanghai" in first.detail
    assert {"Europe/Berlin", "Asia/Shanghai", "UTC"} <= time_zones()


async def test_what_one_is_told_is_pushed(town: Town) -> None:
    hub = Hub(town.jmap.services, town.store, TYPES, town.jmap.dispatcher.accounts, lambda who: never())
    types = frozenset(("ShareNotification", "Principal", "Email"))
    bob = town.who("bob")
    before = await hub.states(bob, types)
    await town.share("bob", "lr")
    after = await hub.states(bob, types)
    assert set(before) == set(after) == {town.his}
    assert {name for name, state in after[town.his].items() if before[town.his][name] != state} == {
        "ShareNotification",
        "Principal",
    }
    await town.do(subscribe(town.accounts["bob"], "Other Users/alice/INBOX"))
    now = await hub.states(bob, types)
    assert set(now[town.hers]) == {"Email"}
    hub.close()


async def never() -> bool:
    return True


async def test_notifications_are_told_until_they_are_dismissed(town: Town) -> None:
    state = (await town.of("bob", "ShareNotification/get"))["state"]
    town.clock.advance(10)
    await town.share("bob", "lrs")
    town.clock.advance(10)
    await town.share("alice", "lr", by="bob")
    await town.share("bob", "lr")
    (one,) = (await town.of("bob", "ShareNotification/get"))["list"]
    assert one["oldRights"] is None and one["newRights"]["mayReadItems"] is True
    assert one["newRights"]["maySetSeen"] is False
    assert one["changedBy"]["principalId"] == town.key("alice", "P")
    changes = await town.of("bob", "ShareNotification/changes", sinceState=state)
    assert changes["created"] == [one["id"]] and len(changes["destroyed"]) == 1
    newest = await town.of(
        "bob", "ShareNotification/query", sort=[{"property": "created", "isAscending": False}]
    )
    assert newest["ids"] == [one["id"]]
    for filter, ids in (
        ({"after": one["created"]}, [one["id"]]),
        ({"before": one["created"]}, []),
        ({"objectAccountId": town.his}, []),
        ({"operator": "NOT", "conditions": [{"objectType": "Mailbox"}]}, []),
    ):
        assert (await town.of("bob", "ShareNotification/query", filter=filter))["ids"] == ids, filter
    told = await town.of("bob", "ShareNotification/query", filter={"after": "2026-02-30T00:00:00Z"})
    assert told == {"error": "invalidArguments"}
    assert (await town.of("bob", "ShareNotification/set", destroy=[one["id"]]))["destroyed"] == [one["id"]]
    assert (await town.of("bob", "ShareNotification/get"))["list"] == []
    too_many = {f"x{n}": {} for n in range(2000)}
    assert await town.of("bob", "ShareNotification/set", create=too_many) == {"error": "requestTooLarge"}


async def test_who_shares_and_is_not_seen(town: Town) -> None:
    await town.share("carol", "lr")
    await town.share("carol", "")
    (one,) = (await town.of("carol", "ShareNotification/get"))["list"]
    assert (one["oldRights"] is None, one["newRights"]) == (False, None)
    assert one["changedBy"] == {
        "name": "alice@example.test", "email": "alice@example.test", "principalId": None
    }  # fmt: skip


async def test_whoever_looks_through_many_lets_others_work(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(principal, "SLICE", 1)
    assert len((await town.of("alice", "Principal/query"))["ids"]) == 3
    await test_what_changed_for_many(town)
